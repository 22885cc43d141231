"""Every address of the console. Paths under ``/api/`` are answered by ``tokens.api.urls`` alone."""

from __future__ import annotations

from allauth.account import views as account
from django.conf import settings
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from skytells_console.accounts import (
    forgotten_by_the_browser,
    limited_by_place,
    says_when_mail_fails,
    says_when_to_retry,
)
from skytells_console.password import change_password
from skytells_console.profile import profile
from skytells_console.theme import choose_theme
from tokens.admin.site import site as admin_site
from tokens.api import well_known
from tokens.health import backlog
from tokens.views.calendar import (
    calendar_feed,
    choose_names,
    make_address,
    replace_address,
    revoke_address,
)
from tokens.views.notifications import notifications
from tokens.views.reference import api_reference
from tokens.views.wellbeing import healthz, readyz

# Only what is used of allauth is routed: a page that is not linked is a page nobody looks after.
account_patterns = [
    path("sign-in", says_when_to_retry(account.login), name="account_login"),
    path("sign-out", forgotten_by_the_browser(account.logout), name="account_logout"),
    path("sign-up", account.signup, name="account_signup"),
    path("inactive", account.account_inactive, name="account_inactive"),
    path(
        "password/reset",
        limited_by_place(says_when_mail_fails(says_when_to_retry(account.password_reset))),
        name="account_reset_password",
    ),
    path("password/reset/sent", account.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/finished",
        account.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
]

settings_patterns = [
    path("profile", profile, name="profile"),
    path("password", change_password, name="password"),
    path("notifications", notifications, name="notifications"),
    path("notifications/address", make_address, name="calendar_make"),
    path("notifications/address/names", choose_names, name="calendar_names"),
    path("notifications/address/replace", replace_address, name="calendar_replace"),
    path("notifications/address/revoke", revoke_address, name="calendar_revoke"),
    path("theme", choose_theme, name="theme"),
]

well_known_patterns = [
    path("oauth-authorization-server", well_known.authorization_server, name="oauth_server"),
    path("oauth-protected-resource", well_known.protected_resource, name="oauth_resource"),
    path("security.txt", well_known.security_txt, name="security_txt"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="tokens:list"), name="home"),
    path("", include("tokens.urls")),
    path("api/docs", api_reference, name="api_docs"),
    path("api/docs/<slug:operation>", api_reference, name="api_operation"),
    path("", include("tokens.api.urls")),
    path("settings/tokens/", RedirectView.as_view(pattern_name="tokens:list")),
    path("account/", include(account_patterns)),
    path("settings/", include(settings_patterns)),
    path(".well-known/", include(well_known_patterns)),
    path("calendar/<str:value>.ics", calendar_feed, name="calendar"),
    path("admin/", admin_site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]

if settings.METRICS_SECRET:
    # Its library is an extra, and need not be there where nobody asks for metrics.
    from skytells_console.metrics import metrics_page

    urlpatterns += [path("metrics", metrics_page(backlog), name="metrics")]

handler400 = "tokens.views.errors.bad_request"
handler403 = "tokens.views.errors.permission_denied"
handler404 = "tokens.views.errors.not_found"
handler500 = "tokens.views.errors.server_error"
