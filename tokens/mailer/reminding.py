"""What a mail says that time alone brought about, about one token or about several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import NoReverseMatch

from tokens.mailer.pieces import (
    Fact,
    Item,
    Life,
    Link,
    Mail,
    address,
    instant,
    look,
    meaning,
    page,
    revocation,
    rotation,
    value_of,
)
from tokens.models import AccessToken, Notice
from tokens.models.liveness import is_ended, is_expired
from tokens.notices import Kind

_DAY = timedelta(days=1)
_EXPIRES = {Kind.EXPIRES_30, Kind.EXPIRES_7, Kind.EXPIRES_1, Kind.EXPIRES_0}
_ORDER = (
    Kind.EXPIRES_0,
    Kind.EXPIRES_1,
    Kind.REVOKED_SOON,
    Kind.EXPIRES_7,
    Kind.EXPIRES_30,
    Kind.NEVER_STORED,
    Kind.UNUSED,
)
_MORE = {
    Kind.EXPIRES_30: "More reminders follow 7 days and 1 day before, and on the day.",
    Kind.EXPIRES_7: "More reminders follow 1 day before and on the day.",
    Kind.EXPIRES_1: "One more reminder follows on the day.",
}
_MOST_ITEMS = 50


class Told(NamedTuple):
    """One reminder in words: its title, what is said, the part of it that matters, what can be done."""

    title: str
    sentence: str
    strong: str
    links: tuple[Link, ...]


def still_news(notice: Notice, now: datetime) -> bool:
    """Say whether the reminder is still true: nothing was done about its token meanwhile.

    Needs the notice's token with its activity, and ``rotating`` on the token.
    """
    token = _token(notice)
    if notice.kind in _EXPIRES:
        gone = token.revoked_at is not None or token.retire_at is not None
        return not (gone or getattr(token, "rotating", False))
    if is_ended(token.liveness(), now):
        return False
    used = _last_used(token)
    if notice.kind == Kind.NEVER_STORED:
        return token.stored_at is None and used is None
    return used is None or used <= datetime.fromisoformat(notice.data["since"])


def mail_about(notices: Sequence[Notice], now: datetime) -> Mail:
    """Return one person's reminders as one mail: in full for one token, in short for several."""
    ordered = sorted(notices, key=lambda each: _ORDER.index(Kind(each.kind)))
    if len(ordered) == 1:
        return _about_one(ordered[0], now)
    told = [_told(notice, now) for notice in ordered]
    owner = ordered[0]
    rest = len(told) - _MOST_ITEMS
    tokens = len({notice.token_id for notice in ordered})
    which = f"{tokens} of your tokens need" if tokens > 1 else f"{_token(owner).name} needs"
    return Mail(
        notice=owner,
        subject=f"{which} a look",
        lede="What needs it soonest comes first. Every link asks before it does anything.",
        button=Link("Look at your tokens", page("tokens:list")),
        items=tuple(Item(each.title, each.sentence, each.links) for each in told[:_MOST_ITEMS]),
        note=f"The list has {rest} more." if rest > 0 else "",
        because=f"the tokens belong to {address(owner)}",
    )


def _about_one(notice: Notice, now: datetime) -> Mail:
    token, told = _token(notice), _told(notice, now)
    first, *others = told.links
    return Mail(
        notice=notice,
        subject=told.title,
        lede=told.sentence,
        strong=told.strong,
        life=_life(token, now) if notice.kind in _EXPIRES else None,
        button=first,
        note=_note(first),
        facts=(
            value_of(token),
            Fact("Can", meaning(token)),
            Fact("Last used", _last_use(token, now)),
        ),
        **_question(notice, others),
        more=_MORE.get(Kind(notice.kind), ""),
    )


def _told(notice: Notice, now: datetime) -> Told:
    tell = {
        Kind.REVOKED_SOON: _revoked_soon,
        Kind.UNUSED: _unused,
        Kind.NEVER_STORED: _never_stored,
    }.get(Kind(notice.kind), _expires)
    return tell(notice, _token(notice), now)


def _expires(notice: Notice, token: AccessToken, now: datetime) -> Told:
    end = token.expires_at
    assert end is not None  # noqa: S101 - nothing else is reminded of its end
    over = is_expired(token.liveness(), now)
    when = _when(notice, end, now)
    strong = instant(end)
    stops = "It stopped working on" if over else "It stops working on"
    title = f"{token.name} {'expired' if over else 'expires'} {when}"
    links = [_renewal(token) if over else _rotation(token)]
    if not over:
        links.append(revocation(token))
    return Told(title, f"{stops} {strong}. {_dependence(token, now)}", strong, tuple(links))


def _when(notice: Notice, end: datetime, now: datetime) -> str:
    if end <= now or notice.kind == Kind.EXPIRES_0:
        return "today" if now - end < _DAY else f"on {end.astimezone(UTC):%-d %B}"
    days = -((now - end) // _DAY)
    return "tomorrow" if days == 1 else f"in {days} days"


def _dependence(token: AccessToken, now: datetime) -> str:
    used = _last_used(token)
    if used is None:
        return "It was never used. You may not need it."
    days = (now.astimezone(UTC).date() - used.astimezone(UTC).date()).days
    if days <= 0:
        return "It was used today, so something still depends on it."
    if days == 1:
        return "It was used yesterday, so something still depends on it."
    if days <= 7:
        return f"It was used {days} days ago, so something may still depend on it."
    return f"It has not been used for {days} days. You may not need it."


def _revoked_soon(notice: Notice, token: AccessToken, now: datetime) -> Told:
    end = datetime.fromisoformat(notice.data["end"])
    strong = instant(end)
    return Told(
        f"{token.name} will be revoked on {end.astimezone(UTC):%-d %B %Y}",
        f"Nothing has used it since {_day(notice.data['since'])}, and tokens that nothing uses for "
        f"{notice.data['days']} days are revoked here. It ends on {strong}, unless something uses "
        "it before.",
        strong,
        (look(token), revocation(token)),
    )


def _unused(notice: Notice, token: AccessToken, now: datetime) -> Told:
    since = datetime.fromisoformat(notice.data["since"])
    days = (now - since).days
    if _last_used(token) is None:
        title = f"{token.name} was never used"
        sentence = f"It was made {days} days ago, on {_day(notice.data['since'])}."
    else:
        title = f"{token.name} has not been used for {days} days"
        sentence = f"It was last used on {_day(notice.data['since'])}."
    sentence += " What nothing needs is of use only to whoever finds it."
    return Told(title, sentence, "", (look(token), revocation(token)))


def _never_stored(notice: Notice, token: AccessToken, now: datetime) -> Told:
    return Told(
        f"{token.name} may never have been stored",
        f"It was made on {_day(token.created_at.isoformat())}. Nobody confirmed that its value was "
        "stored, and nothing has used it. The value cannot be shown again: if it is lost, make "
        "another token.",
        "",
        (look(token), revocation(token)),
    )


# --- Pieces -----------------------------------------------------------------------------------------


def _question(notice: Notice, others: Sequence[Link]) -> dict[str, Any]:
    if not others:
        return {}
    ends = notice.kind in _EXPIRES or notice.kind == Kind.REVOKED_SOON
    words = "Do nothing and it ends by itself, or" if ends else "You can"
    links = tuple(Link(f"{link.label[0].lower()}{link.label[1:]}", link.url) for link in others)
    return {"question": f"Not needed any more? {words}", "ways_out": links, "closing": "."}


def _note(button: Link) -> str:
    if button.label.startswith("Rotate"):
        return (
            "Rotation takes about two minutes. The old token keeps working until you have seen the "
            "new one work."
        )
    if button.label.startswith("Renew"):
        return (
            "The form comes filled in with its name and its scopes. Nothing is made by opening it."
        )
    return ""


def _life(token: AccessToken, now: datetime) -> Life:
    end = token.expires_at
    assert end is not None  # noqa: S101 - asked only for what expires
    whole, left = end - token.created_at, max(end - now, timedelta(0))
    days = -(-left // _DAY)
    percent = min(max(round(100 * (1 - left / whole)), 0), 100)
    created = f"Created {token.created_at.astimezone(UTC):%-d %b}"
    return Life(percent, created, f"{days} of {-(-whole // _DAY)} days left")


def _last_use(token: AccessToken, now: datetime) -> str:
    used = _last_used(token)
    if used is None:
        return "Never"
    today = used.astimezone(UTC).date() == now.astimezone(UTC).date()
    at = f"Today, {used.astimezone(UTC):%H:%M} UTC" if today else instant(used)
    return f"{at}, from {token.activity.address}" if token.activity.address else at


def _rotation(token: AccessToken) -> Link:
    try:
        return rotation(token)
    except NoReverseMatch:
        return _renewal(token)


def _renewal(token: AccessToken) -> Link:
    """Return the create form, filled in as the token was; the person still decides everything."""
    slugs = [project.slug for project in token.projects.all()] if token.projects_limited else []
    if token.projects_limited and not slugs:
        # No link can ask for a token without any project, and none must ask for all of them instead.
        return look(token)
    wanted = {
        "name": token.name,
        "description": token.description,
        "scopes": " ".join(token.scope_names),
        "projects": " ".join(slugs),
        "expires_in": _lifetime(token),
    }
    query = urlencode({name: value for name, value in wanted.items() if value})
    return Link("Renew this token", f"{page('tokens:create')}?{query}")


def _lifetime(token: AccessToken) -> str:
    if token.expires_at is None:
        return ""
    return str(max(round((token.expires_at - token.created_at) / _DAY), 1))


def _day(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%-d %B %Y}"


def _last_used(token: AccessToken) -> datetime | None:
    activity = getattr(token, "activity", None)
    return activity.last_used_at if activity else None


def _token(notice: Notice) -> AccessToken:
    assert notice.token is not None  # noqa: S101 - every reminder is about a token
    return notice.token
