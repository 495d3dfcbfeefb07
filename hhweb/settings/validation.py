"""What production asks of its settings. All faults are found before any is reported."""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from pydantic import ValidationError

from hhweb.settings.environment import Environment, readable_faults, refusal

LEAST_SECRET = 50
LEAST_PEPPER = 32
LEAST_TOKEN = 24
_HOW = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def _weak(secret: str, least: int) -> str:
    """Why a secret is too weak, or ''."""
    if len(secret) < least:
        return f"has {len(secret)} characters, at least {least} are needed; make one: {_HOW}"
    if len(set(secret)) < 10 or secret.startswith(("django-insecure", "changeme", "test-only")):
        return f"can be guessed; make one: {_HOW}"
    return ""


def production_faults(env: Environment) -> list[str]:
    """Every requirement of production that `env` does not meet, one sentence each."""
    faults = []
    for name, secret, least in (
        ("HHWEB_SECRET_KEY", env.secret_key, LEAST_SECRET),
        ("HHWEB_KEY_PEPPER", env.key_pepper, LEAST_PEPPER),
        ("HHWEB_TELEMETRY_TOKEN", env.telemetry_token, LEAST_TOKEN),
    ):
        if not secret.get_secret_value():
            faults.append(f"{name} is not set; make one: {_HOW}")
        elif why := _weak(secret.get_secret_value(), least):
            faults.append(f"{name} {why}")
    if env.secret_key.get_secret_value() and env.secret_key == env.key_pepper:
        faults.append("HHWEB_KEY_PEPPER equals HHWEB_SECRET_KEY; use two different secrets")
    hosts = [host.strip() for host in env.allowed_hosts.split(",") if host.strip()]
    if not hosts:
        faults.append("HHWEB_ALLOWED_HOSTS is not set; name the hosts this server answers for, e.g. eval.example.org")
    if "*" in hosts:
        faults.append("HHWEB_ALLOWED_HOSTS is '*', which lets any Host header through; name the hosts")
    for origin in filter(None, (part.strip() for part in env.csrf_trusted_origins.split(","))):
        if urlsplit(origin).scheme not in {"http", "https"} or not urlsplit(origin).netloc:
            faults.append(f"HHWEB_CSRF_TRUSTED_ORIGINS: {origin!r} is no origin; write it as https://eval.example.org")
    if not env.database_url:
        faults.append("HHWEB_DATABASE_URL is not set; name a PostgreSQL: postgresql://user:password@host/name")
    elif urlsplit(env.database_url).scheme not in {"postgresql", "postgres"}:
        faults.append("HHWEB_DATABASE_URL is not a postgresql:// address; production needs PostgreSQL 15 or later")
    if not env.redis_url:
        faults.append("HHWEB_REDIS_URL is not set; name a Redis: redis://host:6379/0")
    elif urlsplit(env.redis_url).scheme not in {"redis", "rediss", "unix"}:
        faults.append("HHWEB_REDIS_URL is not a redis://, rediss:// or unix:// address")
    if env.telemetry_dir is None:
        faults.append("HHWEB_TELEMETRY_DIR is not set; name a folder that web and worker processes share")
    elif not env.telemetry_dir.is_dir():
        faults.append(f"HHWEB_TELEMETRY_DIR: {env.telemetry_dir} is not a folder; create it, writable for the server")
    return faults


def refuse_faults() -> None:
    """Raise `ImproperlyConfigured` with one message that lists all faults of the environment, if there are any."""
    faults: list[str] = []
    try:
        env = Environment()
    except ValidationError as error:
        faults = readable_faults(error)
        wrong = {str(fault["loc"][0]) for fault in error.errors()}
        # Judge the rest too: wrong values count as set here, each has its own sentence already.
        sound = {name: field.get_default() for name, field in Environment.model_fields.items() if name in wrong}
        env = Environment(**sound)
        faults += [fault for fault in production_faults(env) if not _about(fault, wrong)]
    else:
        faults = production_faults(env)
    if faults:
        raise ImproperlyConfigured(refusal(faults))


def _about(fault: str, fields: set[str]) -> bool:
    return any(fault.startswith(f"HHWEB_{field.upper()}") for field in fields)
