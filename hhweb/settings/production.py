"""Production: refuses to start with a fault, and lists all faults at once."""

from hhweb.settings.validation import refuse_faults

refuse_faults()

from hhweb import structured_logs  # noqa: E402 - nothing may be built on faulty settings
from hhweb.settings.base import *  # noqa: E402, F403
from hhweb.settings.base import ENV  # noqa: E402

ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
LOGGING = structured_logs.settings(form=ENV.log_format or "json", level=ENV.log_level)
if ENV.behind_tls_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
