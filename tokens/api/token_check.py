"""A rehearsal: would a request with this token pass? Nothing happens and nothing is counted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.http import HttpResponse

from tokens import authentication, policy, scopes as catalogue
from tokens.api.answers import answer, refusal, tell_expiry, unauthenticated
from tokens.api.door import ApiRequest, BadBody, facts_of, read_json

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII | re.IGNORECASE
)
# The asker's clock may be this far behind.
SLACK = timedelta(minutes=5)


class Question(NamedTuple):
    """A request that has not been made: what it needs, for which project, and when."""

    scopes: list[str]
    project: str | None
    at: datetime


def check(request: ApiRequest) -> HttpResponse:
    """Say whether a request with all these scopes, for this project, at this time would pass.

    The answer is the one forward authentication would give for each scope. A token that is paused or
    blocked may ask too, since that is part of the answer; one that is unknown or has ended may not.
    """
    facts = facts_of(request)
    try:
        found = authentication.recognise(facts)
    except authentication.Unauthenticated as refused:
        return unauthenticated(request, refused)
    try:
        asked = _question(read_json(request), facts.now)
    except BadBody as bad:
        response = refusal(request, bad.status, bad.code, bad.sentence)
    except policy.Refused as refused:
        response = refusal(request, 422, refused.code, refused.sentence)
    else:
        response = answer(_told(asked, found, facts.address))
    return tell_expiry(response, found.principal.expires_at, facts.now)


check.scope = ""  # type: ignore[attr-defined]


def _told(asked: Question, found: authentication.Recognised, address: str | None) -> dict[str, Any]:
    refused = authentication.foresee(
        found, scopes=asked.scopes, project=asked.project, address=address, at=asked.at
    )
    told: dict[str, Any] = {
        "allowed": refused is None,
        "at": f"{asked.at:%Y-%m-%dT%H:%M:%SZ}",
        "missing_scopes": [name for name in asked.scopes if name not in found.principal.scopes],
    }
    if refused is not None:
        told.update(code=refused.code, reason=refused.sentence)
    return told


def _question(body: dict[str, Any], now: datetime) -> Question:
    names = body.get("scopes")
    if names is None:
        names = []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise policy.Refused("scopes", "not_text", "Send scopes as an array of texts.")
    if catalogue.unknown(names):
        listed = ", ".join(catalogue.BY_NAME)
        raise policy.Refused(
            "scopes", "unknown_scope", f"There is no such scope. The scopes are: {listed}."
        )
    project = body.get("project")
    if project is not None and not isinstance(project, str):
        raise policy.Refused("project", "not_text", "Send the project's id as text.")
    return Question(list(dict.fromkeys(names)), project, _instant(body.get("at"), now))


def _instant(text: Any, now: datetime) -> datetime:
    """Return the instant that is asked about, in UTC; now where none is named."""
    if text is None:
        return now
    try:
        if not isinstance(text, str) or not _RFC_3339.match(text):
            raise ValueError(text)
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise policy.Refused(
            "at", "invalid_time", "Send the time as in 2026-12-31T23:59:59Z."
        ) from None
    if at < now - SLACK:
        raise policy.Refused("at", "time_passed", "Ask about now or about a time to come.")
    return max(at, now)
