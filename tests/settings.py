"""The console's own settings with throw-away secrets, cheap passwords and no background thread."""

from __future__ import annotations

import os
import secrets
import tempfile

os.environ.setdefault("SECRET_KEY", secrets.token_hex(32))
os.environ.setdefault("TOKEN_PEPPERS", f"1:{secrets.token_hex(32)}")
os.environ.setdefault("STATE_DIR", tempfile.mkdtemp(prefix="console-tests-"))
os.environ.setdefault("USE_FLUSH_SECONDS", "0")
for name in ("SECRET_KEY_FILE", "TOKEN_PEPPERS_FILE", "EMAIL_HOST", "PUBLIC_URL"):
    os.environ.pop(name, None)

from skytells_console.settings import *  # noqa: E402, F403

ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The manifest storage needs collectstatic first, which a test run has no use for.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # In memory, the connections of two threads would share one cache and its locks; in a file they
    # are as separate as those of two workers, which the tests of races rest on.
    DATABASES["default"]["TEST"] = {"NAME": STATE_DIR / "test.sqlite3"}  # noqa: F405
