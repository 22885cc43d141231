"""How a main process of gunicorn takes over from the one before it, on the same socket, without a gap.

On USR2 gunicorn starts a second main process beside the first. Once as many of its workers as it has
have said that they can answer, the last of them tells systemd who is in charge now, and has the first
finish what it has begun. If the second cannot start, nothing of this happens and the first goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Sequence

# Where systemd listens. gunicorn would use the variable to say that it is ready before any worker is.
_NOTIFY = os.environ.pop("NOTIFY_SOCKET", "")
_FIRST_OF_SYSTEMD = 3
# One byte for each worker but the last, in a pipe that all of them inherit.
_turns: list[int] = []
# The main process that started this one, held by a descriptor: its number may be a stranger's one day.
_before: list[int] = []


def begin(workers: int) -> None:
    """Prepare to find out which worker is the last to be ready; called before any is forked."""
    reading, writing = os.pipe()
    os.write(writing, b"." * (workers - 1))
    os.close(writing)
    _turns[:] = [reading]
    _before.clear()
    # gunicorn's name for the main process that started this one; it may be gone, now or any moment.
    if os.environ.get("GUNICORN_PID") == str(before := os.getppid()):
        with contextlib.suppress(ProcessLookupError):
            _before.append(os.pidfd_open(before))


def worker_is_ready() -> None:
    """Called by each worker once it can answer; the last one completes the handover."""
    # Nobody writes any more, so that an empty pipe is read as its end.
    if _turns and os.read(_turns[0], 1):
        return
    main = os.getppid()
    _tell_systemd(f"READY=1\nMAINPID={main}\nSTATUS=Serving")
    for before in _before:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(before, signal.SIGTERM)


def put_where_systemd_does(listeners: Sequence[socket.socket]) -> None:
    """Give the sockets the numbers that systemd gives them, in the process that is to start anew.

    gunicorn has moved them elsewhere, and looks for them from the first of those numbers on.
    """
    last = _FIRST_OF_SYSTEMD + len(listeners)
    # gunicorn's own numbers for them would stay open beside these, one more with every start.
    for listener in listeners:
        listener.set_inheritable(False)
    aside = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, last) for each in listeners]
    for number, each in enumerate(aside, start=_FIRST_OF_SYSTEMD):
        os.dup2(each, number)


def _tell_systemd(state: str) -> None:
    if not _NOTIFY:
        return
    # A name that begins with @ stands for one that is no file.
    place = f"\0{_NOTIFY[1:]}" if _NOTIFY.startswith("@") else _NOTIFY
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
    ):
        line.sendto(state.encode(), place)
