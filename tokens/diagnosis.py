"""What is wrong with this installation, and how it is mended: what ``manage.py doctor`` asks.

Whether timers run is read from what they leave undone, so that no job has to report to anybody.
"""

from __future__ import annotations

import filecmp
import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.mail import get_connection
from django.db import DatabaseError, connection

from tokens import health
from tokens.audit import seals
from tokens.mailer import FAULTS
from tokens.models import AccessToken, EventDetail, Notice, TokenEvent
from tokens.models.liveness import ended_q
from tokens.reminders import unused

DAY = timedelta(days=1)
MAIL_WAITS = timedelta(hours=1)
SEALED_WITHIN = timedelta(days=2)
PURGED_WITHIN = timedelta(days=97)
BACKED_UP_WITHIN = timedelta(hours=26)
SECRET_FILES = (
    "SECRET_KEY_FILE",
    "TOKEN_PEPPERS_FILE",
    "EMAIL_HOST_PASSWORD_FILE",
    "DATABASE_URL_FILE",
    "METRICS_SECRET_FILE",
)
_LATEST = 200
_LOOPBACK_SHARE = 0.9
_FEW = 20


# How the faults that make the console unready are mended, by a part of their sentence.
_MEND = {
    "does not answer": "Look at DATABASE_URL and at the database's own log.",
    "Migrations": "Run manage.py migrate, before the new version serves.",
    "triggers": "Find out who took them away, run audit verify, and put them up again with the "
    "statements called GUARDS in tokens/migrations/0001_initial.py.",
}


class Verdict(StrEnum):
    """How bad it is; only a fault makes the command fail."""

    WELL = "well"
    WARNING = "warning"
    FAULT = "fault"


class Finding(NamedTuple):
    """One thing that was looked at."""

    about: str
    verdict: Verdict
    what: str
    mend: str = ""


Check = Callable[[datetime], Iterator[Finding]]


def examine(now: datetime) -> Iterator[Finding]:
    """Yield what every check found; one that finds nothing wrong says so in one line."""
    for about, check in CHECKS.items():
        found = []
        try:
            found = list(check(now))
        except DatabaseError as error:
            # Without a database most of the checks have nothing to ask, and the rest still do.
            mend = "Mend the database first."
            found = [_fault(about, f"It cannot be told ({type(error).__name__}).", mend)]
        yield from found or [Finding(about, Verdict.WELL, "Nothing is wrong.")]


def _settings(now: datetime) -> Iterator[Finding]:
    if settings.DEBUG:
        yield _fault("settings", "DEBUG shows the console's insides.", "Remove DEBUG.")
    if not settings.TLS and not _is_loopback(settings.PUBLIC_URL):
        yield _fault(
            "settings",
            "PUBLIC_URL does not begin with https, so tokens travel in the clear.",
            "Put a proxy with TLS in front, and set PUBLIC_URL to its https address.",
        )
    if settings.CONSOLE_BENCH:
        yield _fault(
            "settings",
            "CONSOLE_BENCH lets values of tokens be written to a file.",
            "Remove CONSOLE_BENCH.",
        )
    for name in SECRET_FILES:
        path = os.environ.get(name, "")
        if path and Path(path).exists() and Path(path).stat().st_mode & 0o077:
            yield _fault(
                "settings",
                f"Others on this machine can read the file of {name}.",
                f"Run chmod 600 {path}, then change the secret if somebody may have read it.",
            )


def _pages(now: datetime) -> Iterator[Finding]:
    """Compare the collected files with this release's: pages fail without them, or look like old ones."""
    if settings.DEBUG:
        return
    # Of two files with one name, the first that is found is collected.
    sources = {
        name: storage.path(name)
        for finder in reversed(list(finders.get_finders()))
        for name, storage in reversed(list(finder.list(None)))
    }
    folder = Path(settings.STATIC_ROOT)
    copies = ((source, folder / name) for name, source in sources.items())
    if not all(
        copy.exists() and filecmp.cmp(source, copy, shallow=False) for source, copy in copies
    ):
        yield _fault(
            "pages",
            f"The static files in {folder} are not those of this release.",
            "Run manage.py collectstatic --no-input, then reload or restart the console.",
        )


def _database(now: datetime) -> Iterator[Finding]:
    faults = health.faults()
    for sentence in faults:
        mend = next((words for part, words in _MEND.items() if part in sentence), "")
        yield _fault("database", sentence, mend)
    if faults == [health.NO_ANSWER]:
        return
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        (mode,) = cursor.fetchone()
        cursor.execute("PRAGMA quick_check(1)")
        (state,) = cursor.fetchone()
    if str(mode).lower() != "wal":
        yield _fault(
            "database",
            f"The journal mode is {mode}, so readers and the writer wait for each other.",
            "Keep STATE_DIR on a local disk: a network drive has no WAL.",
        )
    if state != "ok":
        yield _fault("database", "The file is damaged.", "Restore the last backup, and replay.")
    path = Path(str(settings.DATABASES["default"]["NAME"]))
    if path.exists() and path.stat().st_mode & 0o077:
        yield _fault(
            "database",
            "Others on this machine can read the database.",
            f"Run chmod 600 {path}* and chmod 700 on its folder.",
        )


def _mail(now: datetime) -> Iterator[Finding]:
    if not settings.EMAIL_HOST:
        yield _warning(
            "mail",
            "No mail server is set, so mails are only printed.",
            "Set EMAIL_HOST and DEFAULT_FROM_EMAIL.",
        )
        return
    if settings.DEFAULT_FROM_EMAIL.endswith("@localhost>"):
        yield _warning(
            "mail",
            "DEFAULT_FROM_EMAIL is nobody's address, so many servers drop the mails.",
            "Set DEFAULT_FROM_EMAIL to an address of your domain.",
        )
    server = get_connection()
    try:
        server.open()
        server.close()
    except FAULTS as error:
        yield _fault(
            "mail",
            f"The mail server cannot be reached ({type(error).__name__}).",
            "Look at EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS and the server's own log.",
        )


def _timers(now: datetime) -> Iterator[Finding]:
    oldest = Notice.objects.filter(sent_at__isnull=True, due_at__lt=now - MAIL_WAITS)
    if number := oldest.count():
        yield _fault(
            "timers",
            f"Mails that have waited for more than an hour: {number}.",
            "Start skytells-console-notices.timer, which runs send_token_notices, and look at its log.",
        )
    last = seals.head()
    unsealed = TokenEvent.objects.filter(
        pk__gt=last.last_id if last else 0, at__lt=now - SEALED_WITHIN
    )
    if unsealed.exists():
        yield _fault(
            "timers",
            "Events of days ago are not sealed.",
            "Start skytells-console-seal.timer, which runs audit seal every hour.",
        )
    if AccessToken.objects.filter(ended_q(now - PURGED_WITHIN)).exists():
        yield _warning(
            "timers",
            "Tokens that ended more than 97 days ago are still there.",
            "Start skytells-console-purge.timer, which runs purge_expired_tokens every night.",
        )
    after = unused.limit()
    if after and unused.to_revoke(now - 2 * DAY, after=after, warning=7 * DAY).exists():
        yield _fault(
            "timers",
            "Tokens that the policy ends for not being used still work.",
            "Start skytells-console-unused.timer, which runs revoke_unused_tokens every day.",
        )


def _proxies(now: datetime) -> Iterator[Finding]:
    if settings.TLS and not settings.TRUSTED_PROXY_COUNT:
        yield _fault(
            "proxies",
            "PUBLIC_URL is https, but no proxy is believed, so every request is redirected for ever.",
            "Set TRUSTED_PROXY_COUNT to how many proxies stand in front, and have the first one set "
            "X-Forwarded-For and X-Forwarded-Proto.",
        )
    recent = EventDetail.objects.filter(address__isnull=False).order_by("-event_id")
    addresses = list(recent.values_list("address", flat=True)[:_LATEST])
    inside = sum(ipaddress.ip_address(str(each)).is_loopback for each in addresses)
    if (
        len(addresses) >= _FEW
        and inside > _LOOPBACK_SHARE * len(addresses)
        and not _is_loopback(settings.PUBLIC_URL)
    ):
        yield _fault(
            "proxies",
            "Nearly all requests seem to come from this machine, so the proxy's address is taken for "
            "everybody's, and limits count all people as one.",
            "Have the proxy set X-Forwarded-For, and set TRUSTED_PROXY_COUNT.",
        )


def _backups(now: datetime) -> Iterator[Finding]:
    if not settings.BACKUP_MARK:
        yield _warning(
            "backups",
            "Nothing tells when the last backup was made.",
            "Name a file in BACKUP_MARK; the command backup touches it when a copy is whole.",
        )
        return
    try:
        age = timedelta(seconds=time.time() - Path(settings.BACKUP_MARK).stat().st_mtime)
    except OSError as error:
        yield _fault(
            "backups",
            f"The file that BACKUP_MARK names cannot be looked at ({type(error).__name__}).",
            "Run the backup, and see whether it touches this file at its end.",
        )
        return
    if age > BACKED_UP_WITHIN:
        yield _fault(
            "backups",
            f"The last backup is {age // timedelta(hours=1)} hours old.",
            "Look at skytells-console-backup.timer and at the log of its service.",
        )


def _is_loopback(url: str) -> bool:
    return any(f"//{host}" in url for host in ("localhost", "127.0.0.1", "[::1]"))


def _fault(about: str, what: str, mend: str) -> Finding:
    return Finding(about, Verdict.FAULT, what, mend)


def _warning(about: str, what: str, mend: str) -> Finding:
    return Finding(about, Verdict.WARNING, what, mend)


CHECKS: dict[str, Check] = {
    "settings": _settings,
    "pages": _pages,
    "database": _database,
    "mail": _mail,
    "timers": _timers,
    "proxies": _proxies,
    "backups": _backups,
}
