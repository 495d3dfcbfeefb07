"""Production settings refuse every fault, all at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from hhweb.settings import base, environment, validation
from hhweb.settings.environment import Environment

SECRET = "Zr3vT0k9QmXw7bLs2nYc5dHf8gJp1aUe4iKo6xVzRtNyBqWhMj"
SOUND = {
    "HHWEB_SECRET_KEY": SECRET,
    "HHWEB_KEY_PEPPER": SECRET[::-1],
    "HHWEB_TELEMETRY_TOKEN": SECRET[:30],
    "HHWEB_ALLOWED_HOSTS": "eval.example.org, other.example.org",
    "HHWEB_CSRF_TRUSTED_ORIGINS": "https://eval.example.org",
    "HHWEB_DATABASE_URL": "postgresql://user:secret@db.example.org/hhweb",
    "HHWEB_REDIS_URL": "redis://redis.example.org:6379/0",
    "HHWEB_TELEMETRY_DIR": "/tmp",
}


@pytest.fixture
def environ(monkeypatch):
    """Sets exactly the given HHWEB_ variables."""

    def put(values: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("HHWEB_")]:
            monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def test_sound_settings_have_no_fault(environ):
    environ(SOUND)
    assert validation.production_faults(Environment()) == []
    validation.refuse_faults()


def test_nothing_set_lists_every_missing_setting_in_one_message(environ):
    environ({})
    with pytest.raises(ImproperlyConfigured) as refused:
        validation.refuse_faults()
    message = str(refused.value)
    assert message.startswith("hhweb cannot start, 7 setting(s) are wrong or missing:")
    for name in (*SOUND.keys() - {"HHWEB_CSRF_TRUSTED_ORIGINS"},):
        assert f"  - {name} is not set" in message


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HHWEB_SECRET_KEY", "short", "has 5 characters, at least 50 are needed"),
        ("HHWEB_SECRET_KEY", "a" * 60, "can be guessed"),
        ("HHWEB_SECRET_KEY", "django-insecure-" + SECRET, "can be guessed"),
        ("HHWEB_KEY_PEPPER", "short", "has 5 characters, at least 32 are needed"),
        ("HHWEB_KEY_PEPPER", SECRET, "equals HHWEB_SECRET_KEY"),
        ("HHWEB_TELEMETRY_TOKEN", "short", "has 5 characters, at least 24 are needed"),
        ("HHWEB_ALLOWED_HOSTS", "*", "lets any Host header through"),
        ("HHWEB_CSRF_TRUSTED_ORIGINS", "eval.example.org", "'eval.example.org' is no origin"),
        ("HHWEB_DATABASE_URL", "sqlite:////tmp/db", "is not a postgresql:// address"),
        ("HHWEB_REDIS_URL", "http://redis", "is not a redis://"),
        ("HHWEB_TELEMETRY_DIR", "/no/such/folder", "is not a folder"),
    ],
)
def test_weak_or_wrong_value_is_the_only_fault(environ, name, value, says):
    environ({**SOUND, name: value})
    faults = validation.production_faults(Environment())
    assert len(faults) == 1
    assert faults[0].startswith(name)
    assert says in faults[0]
    if "SECRET" in name or "PEPPER" in name or "TOKEN" in name:
        assert value not in faults[0].removeprefix(name).replace("short", "") or value == "short"


def test_values_of_a_wrong_type_stand_in_the_same_message(environ):
    environ({**SOUND, "HHWEB_WEB_THREADS": "many", "HHWEB_LOG_LEVEL": "LOUD", "HHWEB_REDIS_URL": ""})
    with pytest.raises(ImproperlyConfigured) as refused:
        validation.refuse_faults()
    message = str(refused.value)
    assert message.startswith("hhweb cannot start, 3 setting(s)")
    for start in ("HHWEB_WEB_THREADS: input should be", "HHWEB_LOG_LEVEL: input should be", "HHWEB_REDIS_URL is not"):
        assert f"  - {start}" in message
    assert "many" not in message


def test_wrong_type_outside_production_is_one_message_too(environ):
    environ({"HHWEB_WEB_THREADS": "0"})
    environment.environment.cache_clear()
    try:
        with pytest.raises(ImproperlyConfigured, match="HHWEB_WEB_THREADS: input should be greater"):
            environment.environment()
    finally:
        environment.environment.cache_clear()


def _in_production(values: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HHWEB_")}
    env = {**clean, **values, "DJANGO_SETTINGS_MODULE": "hhweb.settings.production", "PYTHONPATH": str(Path.cwd())}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_production_is_secure_by_its_settings():
    code = (
        "from django.conf import settings as s; "
        "print(s.ALLOWED_HOSTS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.DEBUG, s.SECURE_PROXY_SSL_HEADER, "
        "s.SECURE_HSTS_SECONDS, s.DATABASES['default']['OPTIONS']['pool']['max_size'], "
        "type(s.LOGGING['formatters']['structured']['processors'][-1]).__name__)"
    )
    done = _in_production({**SOUND, "HHWEB_BEHIND_TLS_PROXY": "true"}, code)
    assert done.stdout.strip() == (
        "['eval.example.org', 'other.example.org'] True True False "
        "('HTTP_X_FORWARDED_PROTO', 'https') 31536000 6 JSONRenderer"
    ), done.stderr


def test_production_process_does_not_start_with_a_fault():
    done = _in_production({**SOUND, "HHWEB_SECRET_KEY": ""}, "import django; django.setup()")
    assert done.returncode == 1
    assert "hhweb cannot start, 1 setting(s) are wrong or missing:\n  - HHWEB_SECRET_KEY is not set" in done.stderr


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("redis://host:6379/2", "redis://host:6379/2"),
    ],
)
def test_celery_gets_its_own_spelling_of_the_redis_address(url, expected):
    assert base.broker_url(url) == expected


def test_database_addresses_are_read_with_their_escapes():
    found = base.database_from_url("postgresql://us%40er:p%3Aw@/na%20me?host=/run/a%20b&sslmode=require", threads=3)
    assert {k: found[k] for k in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
        "NAME": "na me",
        "USER": "us@er",
        "PASSWORD": "p:w",
        "HOST": "/run/a b",
        "PORT": "",
    }
    assert found["OPTIONS"]["pool"]["max_size"] == 5
    assert found["OPTIONS"]["sslmode"] == "require"
    assert base.database_from_url("sqlite:////a%20b/c.db", threads=1)["NAME"] == "/a b/c.db"
    with pytest.raises(ValueError, match="scheme 'mysql' is unknown"):
        base.database_from_url("mysql://x", threads=1)
