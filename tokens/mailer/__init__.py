"""Who sends what is owed: after each commit, in a thread of its own, and again under a timer.

A mail goes out once as a rule and twice at worst: a sender that dies between sending and noting it
leaves a claim that ends, and both mails carry one Message-ID, by which mailboxes drop the second.
"""

from __future__ import annotations

import atexit
import logging
import os
import smtplib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection
from django.template.loader import render_to_string
from django.utils import timezone

from tokens import notices
from tokens.mailer import policy, rotation
from tokens.mailer.pieces import Mail, page
from tokens.mailer.reminding import mail_about as mail_of_reminders, still_news
from tokens.mailer.revoked import mail_about_revoked
from tokens.mailer.words import mail_about
from tokens.models import Notice
from tokens.notices import Kind, preferences
from tokens.notices.reminding import REMINDERS, claim_mail, mails_due

logger = logging.getLogger(__name__)

BATCH = 200
RETRY_SECONDS = 60
# What a mail server can answer, refuse or fail to do; an address it cannot write is a ValueError.
FAULTS = (OSError, smtplib.SMTPException, ValueError)


class Delivered(NamedTuple):
    """How many mails went out, and how many could not."""

    sent: int
    failed: int


def deliver_due() -> Delivered:
    """Send what is owed now. Safe at the same time in many processes; never raises for the server."""
    outcomes = _round()
    return Delivered(outcomes.count(True), outcomes.count(False))


def deliver_all(progress: Callable[[int], None] = lambda number: None) -> Delivered:
    """Send what is owed, a batch at a time, until nothing is left or no mail of a batch gets through."""
    sent = failed = 0
    while True:
        outcomes = _round()
        sent, failed = sent + outcomes.count(True), failed + outcomes.count(False)
        progress(len(outcomes) - outcomes.count(None))
        # A batch in which nothing was news any more is settled, and others may wait behind it.
        if all(outcome is False for outcome in outcomes):
            return Delivered(sent, failed)


def _round() -> list[bool | None]:
    """Send one batch of what is owed; return what became of each mail, as ``_deliver`` says it."""
    with _sender.lock:
        waiting = notices.due(timezone.now(), BATCH)
        if not waiting:
            return []
        server = get_connection()
        try:
            server.open()
        except FAULTS as error:
            # Nothing was claimed, so the next round finds all of it, and not only this batch.
            logger.warning("The mail server cannot be reached (%s).", type(error).__name__)
            return [False] * mails_due(timezone.now())
        try:
            return list(_deliver_each(waiting, server))
        finally:
            _close(server)


def _deliver_each(waiting: Sequence[int], server: BaseEmailBackend) -> Iterator[bool | None]:
    """Send a mail for each notice that none before it had with it: one may be about hundreds."""
    done: set[int] = set()
    for pk in waiting:
        if pk not in done:
            claimed = claim_mail(pk, timezone.now())
            done.update(notice.pk for notice in claimed)
            # What is not claimed is somebody else's to send.
            yield _deliver(claimed, server) if claimed else None


def _deliver(claimed: Sequence[Notice], server: BaseEmailBackend) -> bool | None:
    """Send one mail. None when it is no news any more."""
    # What its owner switched off after it was owed is not sent either.
    wanted = preferences.wanted_by(claimed[0].owner_id)
    news = [notice for notice in claimed if notice.kind in wanted and _is_news(notice)]
    try:
        if news:
            # A server that hung up after a refusal is called again.
            server.open()
            message(*news, server=server).send()
    except FAULTS as error:
        # What a server answers may hold an address, so only the kind of the fault is written down.
        kind = type(error).__name__
        logger.warning("Mail %s could not be sent (%s).", claimed[0].pk, kind)
        notices.put_back(claimed, timezone.now())
        return False
    notices.mark_sent([notice.pk for notice in claimed], timezone.now())
    return True if news else None


def _is_news(notice: Notice) -> bool:
    if notice.kind in rotation.KINDS:
        return rotation.is_still_true(notice, timezone.now())
    if notice.kind == Kind.POLICY_CHANGED:
        return policy.is_still_true(notice, timezone.now())
    return notice.kind not in REMINDERS or still_news(notice, timezone.now())


def _close(server: BaseEmailBackend) -> None:
    try:
        server.close()
    except FAULTS as error:
        logger.info("The mail server did not say goodbye (%s).", type(error).__name__)


def message(*about: Notice, server: BaseEmailBackend | None = None) -> EmailMultiAlternatives:
    """Return the mail as it is sent: the same words as text and as HTML.

    Several notices are one person's reminders, or what somebody revoked of theirs at one stroke.
    """
    mail = _mail_of(about, timezone.now())
    sent = EmailMultiAlternatives(
        subject=mail.subject,
        body=_rendered("mail.txt", mail),
        to=[mail.address],
        headers={"Message-ID": _message_id(about[0]), "Auto-Submitted": "auto-generated"},
        connection=server,
    )
    sent.attach_alternative(_rendered("mail.html", mail), "text/html")
    return sent


def _mail_of(about: Sequence[Notice], now: datetime) -> Mail:
    if about[0].kind in rotation.KINDS:
        return rotation.mail_about_rotation(about[0], now)
    if about[0].kind == Kind.POLICY_CHANGED:
        return policy.mail_about_policy(about[0], now)
    if about[0].kind in REMINDERS:
        return mail_of_reminders(about, now)
    return mail_about(about[0]) if len(about) == 1 else mail_about_revoked(about)


def _rendered(name: str, mail: Mail) -> str:
    context = {"mail": mail, "site": settings.PUBLIC_URL, "choices": page("notifications")}
    return render_to_string(f"emails/{name}", context)


def _message_id(notice: Notice) -> str:
    # The reminders that go out together keep one id, whichever of them are still news.
    what = notice.data.get("mail") or f"{notice.kind}/{notice.subject}"
    about = f"{settings.PUBLIC_URL}/{notice.owner_id}/{what}"
    host = urlsplit(settings.PUBLIC_URL).hostname
    return f"<{uuid.uuid5(uuid.NAMESPACE_URL, about)}@{host}>"


# --- The sender of this process ------------------------------------------------------------------


@dataclass
class _Sender:
    """The thread of this process, the bell that wakes it, and the lock it sends under."""

    lock: threading.Lock
    starting: threading.Lock
    bell: threading.Event
    thread: threading.Thread | None = None


def _new_sender() -> _Sender:
    return _Sender(threading.Lock(), threading.Lock(), threading.Event())


_sender = _new_sender()
_later: ContextVar[bool] = ContextVar("later", default=False)


def _start_anew() -> None:
    """Leave the parent's thread to the parent: a forked child has none, and its lock may be held."""
    global _sender  # noqa: PLW0603 - one sender a process
    _sender = _new_sender()


os.register_at_fork(after_in_child=_start_anew)


@contextmanager
def later() -> Iterator[None]:
    """Wake nobody meanwhile: whoever ends thousands of tokens sends all their mails afterwards.

    Sent at the same time, the mails would take turns with the ends, and delay the last one by minutes.
    """
    before = _later.set(True)
    try:
        yield
    except BaseException:
        # Who is interrupted sends nothing afterwards, so this process's sender does.
        _later.reset(before)
        wake()
        raise
    _later.reset(before)


def wake() -> None:
    """Have what is owed sent soon, and never while somebody waits for an answer.

    Where no thread may run beside the program, as in tests, it is sent at once.
    """
    if _later.get():
        return
    if not settings.USE_FLUSH_SECONDS:
        deliver_due()
        return
    _sender.bell.set()
    with _sender.starting:
        if _sender.thread is None:
            _sender.thread = threading.Thread(target=_deliver_forever, name="mailer", daemon=True)
            _sender.thread.start()
            atexit.register(_deliver_at_exit)


def _deliver_forever() -> None:
    while True:
        # Without a bell the round is for what could not be sent before.
        _sender.bell.wait(RETRY_SECONDS)
        _sender.bell.clear()
        try:
            deliver_due()
        except Exception:
            logger.exception("Mails could not be sent; the next round tries again.")
        finally:
            connection.close()


def _deliver_at_exit() -> None:
    # A command ends right after its commit; the lock makes it wait for a mail that is on its way.
    try:
        deliver_due()
    except Exception:
        logger.exception("Mails were left to the next sender.")
