"""One strict reader of the environment: typed values, secrets from files, all faults in one message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_MAX_DIGITS = 12


class Env:
    """Reads settings from a mapping and gathers every fault instead of stopping at the first.

    A value is never repeated in a message, because it may be a secret. Call ``finish`` once, after
    the last read.
    """

    def __init__(self, source: Mapping[str, str]) -> None:
        self._source = source
        self._faults: list[str] = []

    def fault(self, sentence: str) -> None:
        """Remember one fault; ``finish`` reports it."""
        self._faults.append(sentence)

    def finish(self) -> None:
        """Raise ``ImproperlyConfigured`` naming every fault found so far, or do nothing."""
        if self._faults:
            lines = "\n".join(f"  - {fault}" for fault in self._faults)
            raise ImproperlyConfigured(f"The environment needs mending:\n{lines}")

    def text(self, name: str, default: str = "") -> str:
        """Return the stripped value of ``name``, or ``default`` when it is absent or empty."""
        return self._source.get(name, "").strip() or default

    def secret(self, name: str) -> str:
        """Return a required secret from ``NAME`` or from the file that ``NAME_FILE`` names.

        Only the line break at the end of the file is removed. Setting both is a fault, because a
        reader could not tell which one counts.
        """
        direct, path = self._source.get(name, ""), self._source.get(f"{name}_FILE", "")
        if direct and path:
            self.fault(f"{name} and {name}_FILE are both set: keep one of them.")
        elif direct:
            return direct
        elif path:
            return self._from_file(name, path)
        else:
            self.fault(f"{name} (or {name}_FILE) is missing.")
        return ""

    def _from_file(self, name: str, path: str) -> str:
        try:
            value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            self.fault(f"{name}_FILE cannot be read ({type(error).__name__}).")
            return ""
        # An empty file is a mount that failed, and must not count as a secret that is not wanted.
        if not value:
            self.fault(f"{name}_FILE names an empty file.")
        return value

    def optional_secret(self, name: str) -> str:
        """Return a secret that may be absent; the rules of ``secret`` hold when it is there."""
        if self._source.get(name) or self._source.get(f"{name}_FILE"):
            return self.secret(name)
        return ""

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a yes or no; anything but the listed words is a fault, never a silent no."""
        value = self.text(name).lower()
        if value in _TRUE | _FALSE:
            return value in _TRUE
        if value:
            self.fault(f"{name} must be true or false.")
        return default

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number between ``low`` and ``high``, both included."""
        value = self.text(name)
        if not value:
            return default
        readable = value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS
        if not readable or not low <= int(value) <= high:
            self.fault(f"{name} must be a whole number from {low} to {high}.")
            return default
        return int(value)

    def choice(self, name: str, default: str, among: tuple[str, ...]) -> str:
        """Return one of the words of ``among``; anything else is a fault."""
        value = self.text(name, default).lower()
        if value not in among:
            self.fault(f"{name} must be one of: {', '.join(among)}.")
            return default
        return value

    def items(self, name: str) -> list[str]:
        """Return a comma-separated list, stripped, without empty entries."""
        return [item.strip() for item in self.text(name).split(",") if item.strip()]

    def base_url(self, name: str, default: str) -> str:
        """Return an ``http`` or ``https`` address without path, query or trailing slash."""
        value = self.text(name, default).rstrip("/")
        parts = _split(value)
        bare = f"{parts.scheme}://{parts.netloc}" if parts else ""
        if (
            parts is None
            or parts.scheme not in {"http", "https"}
            or not parts.hostname
            or "@" in parts.netloc
            or bare.lower() != value.lower()
        ):
            self.fault(f"{name} must look like https://console.example.com, without a path.")
            return default
        return value

    def folder(self, name: str, path: Path) -> None:
        """Make the folder that ``name`` tells of where it is missing, for its owner alone."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self.fault(f"{name} cannot be made ({type(error).__name__}).")

    def database(self, name: str, embedded: Path) -> dict[str, Any]:
        """Return Django's settings of the database that ``name`` names, else of the embedded one."""
        url = self.optional_secret(name)
        if not url:
            return _sqlite(embedded)
        parts = _split(url)
        if parts and parts.scheme == "sqlite" and parts.path.strip("/"):
            return _sqlite(Path(unquote(parts.path)))
        if (
            parts is None
            or parts.scheme not in {"postgres", "postgresql"}
            or not parts.path.strip("/")
        ):
            self.fault(
                f"{name} must be postgresql://user:password@host:5432/name or sqlite:///path."
            )
            return _sqlite(embedded)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "OPTIONS": dict(parse_qsl(parts.query)),
            "CONN_MAX_AGE": 600,
            "CONN_HEALTH_CHECKS": True,
        }


def _split(address: str) -> SplitResult | None:
    """Return the parts of an address; None when it is none, since the fault would repeat the value."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _sqlite(path: Path) -> dict[str, Any]:
    # IMMEDIATE takes the write lock at BEGIN: a deferred transaction that reads and then writes
    # fails with "database is locked" whenever another writer came in between.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
