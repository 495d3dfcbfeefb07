"""Tests: the database and the broker are real and come from the test session (tests/conftest.py) by environment."""

from hhweb.settings.base import *  # noqa: F403
from hhweb.settings.base import DATABASES, ENV

SECRET_KEY = "test-only-signing-key-of-sufficient-length-0123456789"  # noqa: S105
KEY_PEPPER = "test-only-pepper"
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # speed; no real password here
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},  # nothing is collected
}

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in real life: threads of one test share it, which an in-memory database cannot do.
    DATABASES["default"]["TEST"] = {"NAME": str(ENV.data_dir.resolve() / "test.sqlite3")}
else:
    # Tests make and drop databases, for which no pooled connection may stay behind; process tests use the pool.
    DATABASES["default"]["OPTIONS"].pop("pool")
