"""All settings in one file, read from the environment through ``Env``; README.md lists the names."""

from __future__ import annotations

import importlib.util
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skytells_console.env import Env

env = Env(os.environ)

# --- Where things are ---------------------------------------------------------------------------

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env.text("STATE_DIR", str(BASE_DIR / ".state")))
PUBLIC_URL = env.base_url("PUBLIC_URL", "http://127.0.0.1:8000")
_public = urlsplit(PUBLIC_URL)
_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]

# --- Secrets ------------------------------------------------------------------------------------

SECRET_KEY = env.secret("SECRET_KEY")
if 0 < len(SECRET_KEY) < 50:
    env.fault("SECRET_KEY must be at least 50 characters long.")
# The peppers are parsed and judged in tokens.secret, which refuses a missing or short one at start.
TOKEN_PEPPERS = env.secret("TOKEN_PEPPERS")
TOKEN_PEPPER_ID = env.number("TOKEN_PEPPER_ID", 0, low=0, high=32767)

# --- The installation ---------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", default=False)
ALLOWED_HOSTS = [_public.hostname or "", *env.items("ALLOWED_HOSTS")]
if _public.hostname in {"localhost", "127.0.0.1", "::1"}:
    ALLOWED_HOSTS += _LOOPBACK
TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 0, low=0, high=9)
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
TLS = _public.scheme == "https"
if DEBUG and TLS:
    env.fault("DEBUG shows the console's insides: switch it off where PUBLIC_URL is https.")

INSTALLED_APPS = [
    # Simple: nothing registers itself, and tokens.admin alone decides what is shown there.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "skytells_console",
    "tokens",
    "allauth",
    "allauth.account",
]

# The API door stands before all that pages need and hands /api/ to a second handler with its own,
# much shorter chain (API_MIDDLEWARE): a bearer request needs no session, no CSRF check and no page
# headers.
MIDDLEWARE = [
    "skytells_console.middleware.RequestIdMiddleware",
    "skytells_console.middleware.HeadMiddleware",
    "skytells_console.middleware.ApiDoorMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "skytells_console.static_files.StaticFilesMiddleware",
    "skytells_console.middleware.PageHeadersMiddleware",
    "skytells_console.middleware.PageCompressionMiddleware",
    "skytells_console.middleware.BodyBoundMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "skytells_console.middleware.HtmxRedirectMiddleware",
    "skytells_console.middleware.SignInMiddleware",
    "skytells_console.middleware.TimeZoneMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
API_MIDDLEWARE = ["tokens.api.door.ApiAnswerMiddleware"]
API_PREFIX = "/api/"
# The reference is a page for people, so it passes the chain of pages.
API_PAGES = "/api/docs"
API_URLCONF = "tokens.api.urls"

ROOT_URLCONF = "skytells_console.urls"
WSGI_APPLICATION = "skytells_console.wsgi.application"
APPEND_SLASH = False

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data ---------------------------------------------------------------------------------------

_embedded = STATE_DIR / "console.sqlite3"
DATABASES = {"default": env.database("DATABASE_URL", _embedded)}
if DATABASES["default"]["NAME"] == _embedded:
    # SQLite makes the file, but not the folder it is in.
    env.folder("STATE_DIR", STATE_DIR)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Accounts -----------------------------------------------------------------------------------

AUTH_USER_MODEL = "skytells_console.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
# Passwords are what people choose, so they get Argon2id; its cost stands in the hasher.
PASSWORD_HASHERS = ["skytells_console.hashers.ConsoleArgon2PasswordHasher"]
_validation = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_validation}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_validation}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_validation}.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "tokens:list"
LOGOUT_REDIRECT_URL = "account_login"
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_ADAPTER = "skytells_console.accounts.AccountAdapter"
ACCOUNT_FORMS = {"reset_password": "skytells_console.accounts.ResetPasswordForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _public.scheme
# allauth counts in the cache, which is exact in one process only; the limits that matter (sign-in,
# proof, reset) are counted in SQL by tokens.ratelimit, so allauth's are off.
ACCOUNT_RATE_LIMITS = False

# --- Tokens -------------------------------------------------------------------------------------

TOKENS_MAX_LIVE = env.number("TOKENS_MAX_LIVE", 50, low=1, high=100_000)
TOKENS_MAX_NEW_PER_DAY = env.number("TOKENS_MAX_NEW_PER_DAY", 100, low=1, high=100_000)
TOKENS_MAX_LIFETIME = timedelta(days=env.number("TOKENS_MAX_LIFETIME_DAYS", 366, low=1, high=3660))
TOKENS_ALLOW_NO_EXPIRATION = env.flag("TOKENS_ALLOW_NO_EXPIRATION", default=True)
TOKENS_ALLOW_NEW = env.flag("TOKENS_ALLOW_NEW", default=True)
PROJECTS_MAX = env.number("PROJECTS_MAX", 1000, low=1, high=100_000)
FRESH_PROOF_AGE = timedelta(minutes=env.number("FRESH_PROOF_MINUTES", 15, low=1, high=1440))
# Seconds between two flushes of gathered use; 0 writes nothing by itself (tests flush by hand).
USE_FLUSH_SECONDS = env.number("USE_FLUSH_SECONDS", 60, low=0, high=3600)
CONSOLE_BENCH = env.flag("CONSOLE_BENCH", default=False)
# A file that the backup touches when it is done; only the command doctor looks at it.
BACKUP_MARK = env.text("BACKUP_MARK")

# --- Metrics ------------------------------------------------------------------------------------

# Without it there is no such page, and nothing is counted.
METRICS_SECRET = env.optional_secret("METRICS_SECRET")
if METRICS_SECRET:
    if len(METRICS_SECRET) < 32:
        env.fault("METRICS_SECRET must be at least 32 characters long.")
    if not importlib.util.find_spec("prometheus_client"):
        env.fault("METRICS_SECRET is set, but metrics need what requirements/metrics.txt lists.")
    # Inside the one that gives the request its id, and around all that is to be measured.
    MIDDLEWARE.insert(1, "skytells_console.metrics.MetricsMiddleware")

# --- Who to tell of a fault (RFC 9116) ----------------------------------------------------------

SECURITY_CONTACT = env.items("SECURITY_CONTACT")
if not all(re.fullmatch(r"(mailto:|https://|tel:)[!-~]+", each) for each in SECURITY_CONTACT):
    env.fault("SECURITY_CONTACT must hold addresses such as mailto:security@example.com.")
SECURITY_CONTACT_DAYS = env.number("SECURITY_CONTACT_DAYS", 180, low=1, high=365)

# --- Language and time --------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

# --- Mail ---------------------------------------------------------------------------------------

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.number("EMAIL_PORT", 587, low=1, high=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.optional_secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 10
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "skytells_console.printed_mail.EmailBackend"
)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Skytells Console <console@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Static files -------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- Browser security ---------------------------------------------------------------------------

# The policy needs neither nonces nor unsafe-inline: every script and style is a file of ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'"
)
PERMISSIONS_POLICY = (
    "camera=(), geolocation=(), microphone=(), payment=(), usb=(), "
    "clipboard-read=(self), clipboard-write=(self)"
)
# "no-referrer" would make browsers send "Origin: null" with every plain form and fail the CSRF check.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = TLS
# Who asks whether the process is alive comes from within and speaks plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TLS
SECURE_HSTS_PRELOAD = TLS
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_NAME = "__Host-session" if TLS else "session"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_COOKIE_SECURE = TLS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrf" if TLS else "csrf"
CSRF_FAILURE_VIEW = "tokens.views.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
X_FRAME_OPTIONS = "DENY"
# One form is the largest thing a browser posts here; the API has its own, smaller bound.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
# A form has fewer than 200 fields, and one for each project that a token is limited to.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200 + min(PROJECTS_MAX, 5000)
# No form takes a file. Without handlers an uploaded one is read past and never written to the disk.
FILE_UPLOAD_HANDLERS: list[str] = []
API_MAX_BODY_BYTES = 64 * 1024

# --- Logging ------------------------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "redact": {"()": "skytells_console.logging.RedactFilter"},
        "without_traceback": {"()": "skytells_console.logging.WithoutTraceback"},
    },
    "formatters": {
        "line": {
            "()": "skytells_console.logging.UtcFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s",
        },
        "json": {"()": "skytells_console.logging.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json" if LOG_FORMAT == "json" else "line",
            "filters": ["redact"],
        },
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # Django's own configuration mails and hides errors when DEBUG is off; here all goes to stderr.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        **{
            f"django.security.{each}": {"filters": ["without_traceback"]}
            for each in ("RequestDataTooBig", "TooManyFieldsSent", "TooManyFilesSent")
        },
    },
}

env.finish()
