"""Settings common to all ways of running."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hhweb import structured_logs
from hhweb.settings.console import UNFOLD as UNFOLD
from hhweb.settings.environment import environment

ENV = environment()
PACKAGE_DIR = Path(__file__).resolve().parent.parent
# In a checkout the templates stand beside the package, in the wheel inside it.
TEMPLATES_DIR = next(p for p in (PACKAGE_DIR.parent / "templates", PACKAGE_DIR / "templates") if p.is_dir())

DEBUG = False
SECRET_KEY = ENV.secret_key.get_secret_value()
OLD_SECRET_KEYS = [key for key in ENV.old_secret_keys.get_secret_value().split(",") if key]
KEY_PEPPER = ENV.key_pepper.get_secret_value()
ROOT_URLCONF = "hhweb.urls"
WSGI_APPLICATION = "hhweb.wsgi.application"
ASGI_APPLICATION = "hhweb.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
LOGIN_URL = "/console/login/"
APPEND_SLASH = False

# prometheus_client decides at import whether its values are shared between processes.
if ENV.telemetry_dir is not None:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(ENV.telemetry_dir)

# What only web processes need. Worker and beat run without it: a third of their memory.
WEB_APPS = [
    "unfold",
    "unfold.contrib.filters",
    # SimpleAdminConfig: admin modules are imported by the console's URLs only.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "csp",
]
INSTALLED_APPS = [
    *(WEB_APPS if ENV.process == "web" else []),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_prometheus",
    "django_celery_beat",
    "django_structlog",
    "governance.apps.GovernanceConfig",
    "experiments.apps.ExperimentsConfig",
    "embeddings_ab.apps.EmbeddingsAbConfig",
    "hhweb.apps.HhwebConfig",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "hhweb.middleware.RequestLog",
    "hhweb.middleware.Versions",
    "hhweb.middleware.HtmlGZip",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "style-src-attr": ["'unsafe-inline'"],  # the theme's progress bars; our own templates use no style attribute
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [origin.strip() for origin in ENV.csrf_trusted_origins.split(",") if origin.strip()]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATES_DIR],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",  # a deferred read-then-write fails at once under load
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;",
}


def database_from_url(url: str, *, threads: int) -> dict[str, Any]:
    """Django's database settings for `postgresql://…?host=/socket&sslmode=require` and `sqlite:////absolute/path`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "/" + unquote(parts.path).lstrip("/"),
            "OPTIONS": SQLITE_OPTIONS,
        }
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError(f"HHWEB_DATABASE_URL: scheme {parts.scheme!r} is unknown; use postgresql:// or sqlite:///")
    query = {
        name: unquote(value) for name, _, value in (item.partition("=") for item in parts.query.split("&")) if name
    }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "hhweb",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        # A connection is checked when it is taken: after a restart of the database no request meets a dead one.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**query, "pool": {"min_size": 1, "max_size": threads + 2, "timeout": 10}},
    }


def broker_url(redis_url: str) -> str:
    """Celery's spelling of a Redis address: `unix://path?db=1` is `redis+socket://path?virtual_host=1` there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    number = dict(item.partition("=")[::2] for item in parts.query.split("&")).get("db", "0")
    return f"redis+socket://{parts.path}?virtual_host={number}"


DATABASES: dict[str, dict[str, Any]] = {
    "default": database_from_url(
        ENV.database_url or f"sqlite:///{(ENV.data_dir / 'hhweb.sqlite3').resolve()}", threads=ENV.web_threads
    )
}

AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]

STATIC_URL = "/static/"
STATIC_ROOT = ENV.static_root or ENV.data_dir / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # File names carry a hash of their content, so browsers may keep them for ever.
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False
STATICFILES_DIRS = [PACKAGE_DIR / "static"]  # found before unfold's own: it replaces Alpine by the CSP build

DATA_UPLOAD_MAX_MEMORY_SIZE = ENV.max_body_bytes
MAX_INFLATED_BYTES = ENV.max_inflated_bytes
DATA_DIR = ENV.data_dir
EVENTS_PER_MONTH = ENV.events_per_month
INGESTION_BLOCK = ENV.ingestion_block
OUTBOUND_ALLOWED_HOSTS = [host.strip().lower() for host in ENV.outbound_allowed_hosts.split(",") if host.strip()]
PARALLEL_REQUESTS = ENV.parallel_requests
CALLS_PER_PROJECT = ENV.calls_per_project
CALLABLES = [item.strip() for item in ENV.callables.split(",") if item.strip()]
LEASE_SECONDS = ENV.lease_seconds
TELEMETRY_DIR = ENV.telemetry_dir
TELEMETRY_TOKEN = ENV.telemetry_token.get_secret_value()

REDIS_URL = ENV.redis_url
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever: the broker may be away longer than a hundred tries
# After the hard limit a message that was not acknowledged is delivered again.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_keepalive": True}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = 600  # seconds; the task is told
CELERY_TASK_TIME_LIMIT = 660  # seconds; its process is killed
CELERY_TASK_DEFAULT_QUEUE = "jobs"
# Sweeps have a queue of their own, so that they do not stand behind the jobs they look after.
QUEUES = ["jobs", "sweeps"]
CELERY_TASK_ROUTES = {
    "*.sweep_*": {"queue": "sweeps"},
    "experiments.tasks.schedules.start_due": {"queue": "sweeps"},
}
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONCURRENCY = ENV.worker_processes
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until a switch thrown in the console counts
CELERY_TIMEZONE = "UTC"
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["governance.api.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "hhweb.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["hhweb.api.parsers.JsonBody"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "hhweb.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "hhweb",
    "DESCRIPTION": "Native API of hhweb. The HoneyHive protocol is served beside it and is not described here.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["hhweb.api.schema.add_error_answers"],
}
PROMETHEUS_EXPORT_MIGRATIONS = False

LOGGING_CONFIG = "hhweb.structured_logs.configure"
LOGGING = structured_logs.settings(form=ENV.log_format or "console", level=ENV.log_level)
