"""What a mail says of several tokens that somebody else than their owner revoked at one stroke."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tokens.mailer.pieces import Fact, Item, Link, Mail, address, instant, look, page
from tokens.models import Notice, RevokeKind

MOST_ITEMS = 50
_REVOKED_BY = {
    str(RevokeKind.ADMIN): "An administrator revoked them on {at}.",
    str(RevokeKind.LEAKED): (
        "They were revoked on {at}, because their values were found where others can read them."
    ),
    str(RevokeKind.UNUSED): (
        "They were revoked on {at}, because nothing had used them for a long time."
    ),
}
_REVOKED_BY_SOMEBODY = "Somebody else than you revoked them on {at}."


def mail_about_revoked(notices: Sequence[Notice]) -> Mail:
    """Return one mail about them; each notice comes with its owner and its token."""
    first = notices[0]
    tokens = sorted(
        (notice.token for notice in notices if notice.token is not None),
        key=lambda token: (token.name.casefold(), token.pk),
    )
    at = instant(datetime.fromisoformat(first.data["at"]))
    sentence = _REVOKED_BY.get(tokens[0].revoke_kind, _REVOKED_BY_SOMEBODY).format(at=at)
    rest = len(tokens) - MOST_ITEMS
    return Mail(
        notice=first,
        subject=f"{len(tokens)} of your tokens were revoked",
        lede=f"{sentence} What still uses them is refused from now on.",
        button=Link("Look at your tokens", page("tokens:list")),
        facts=(Fact("Reason", tokens[0].reason),) if tokens[0].reason else (),
        items=tuple(Item(each.name, each.masked, (look(each),)) for each in tokens[:MOST_ITEMS]),
        note=f"The list has {rest} more." if rest > 0 else "",
        question="Does something still need one? Create another token and put it in its place.",
        ways_out=(Link("Create a token", page("tokens:create")),),
        because=f"the tokens belonged to {address(first)}",
    )
