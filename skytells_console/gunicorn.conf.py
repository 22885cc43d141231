"""How gunicorn serves the console; options on its command line win over this file."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import Any

import gunicorn
from django.core.exceptions import ImproperlyConfigured
from gunicorn.glogging import Logger

from skytells_console import handover
from skytells_console.env import Env
from skytells_console.logging import JsonFormatter, RedactFilter

# The embedded database and its side files are their owner's alone. gunicorn's own setting of this
# name is about socket files only, whose mode stays an operator's choice.
os.umask(0o077)

# Answers do not name the server program; whoever looks for a known fault gains nothing from them.
gunicorn.SERVER = "skytells-console"

# Without this line gunicorn would listen on every address as soon as PORT is set.
bind = "127.0.0.1:8000"

# One process with threads suits SQLite, which has one writer at a time anyway. With PostgreSQL,
# two processes a core are a good start.
worker_class = "gthread"
env = Env(os.environ)
workers = env.number("WEB_CONCURRENCY", 1, low=1, high=256)
threads = env.number("WEB_THREADS", 8, low=1, high=256)
log_format = env.choice("LOG_FORMAT", "text", ("text", "json"))
try:
    env.finish()
except ImproperlyConfigured as error:
    sys.exit(f"gunicorn.conf.py: {error}")

# The application is imported by each worker after the fork, never by the master: a database
# connection or a flush thread that was made before a fork would be shared or lost.
preload_app = False

# A worker that is stuck for this long is replaced. On a stop or a reload, requests under way may
# finish within the graceful time; it is shorter than the 30 seconds after which supervisors kill.
timeout = 60
graceful_timeout = 20
keepalive = 5

# gunicorn would believe headers about the scheme and the path of whoever connects from this machine
# or through a socket file. Which proxy is believed is said once, by TRUSTED_PROXY_COUNT, and Django
# acts on it; here nobody is, whatever FORWARDED_ALLOW_IPS says.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers = {}

# Addresses may hold one-time links, such as a password reset; so nothing logs them by default.
# Faults and starts go to standard error.
accesslog = None
errorlog = "-"


class RedactingLogger(Logger):
    """gunicorn's own log, without tokens: a request that cannot be read is quoted in it.

    A logging configuration would do the same, but it would also switch the access log on.
    """

    def setup(self, cfg: Any) -> None:
        """Put the console's filter before every handler."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.addFilter(RedactFilter())
                if log_format == "json":
                    handler.setFormatter(JsonFormatter())


logger_class = RedactingLogger


def on_starting(server: Any) -> None:
    """Give the workers a folder to count requests in together; each start begins with an empty one."""
    handover.begin(server.cfg.workers)
    if not (os.environ.get("METRICS_SECRET") or os.environ.get("METRICS_SECRET_FILE")):
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="console-metrics-")


def post_worker_init(worker: Any) -> None:
    """Say that this worker answers from now on."""
    handover.worker_is_ready()


def pre_exec(server: Any) -> None:
    """Hand the sockets on, where systemd gave them, and start where the link to the release leads by now."""
    server.START_CTX["cwd"] = os.environ.get("RELEASE_LINK", server.START_CTX["cwd"])
    if server.systemd:
        handover.put_where_systemd_does(server.LISTENERS)


def on_exit(server: Any) -> None:
    """Remove that folder."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(folder, ignore_errors=True)


# By default gunicorn opens a control socket in the home directory, which may be missing or
# read-only, and which nobody asked for.
control_socket_disable = True
