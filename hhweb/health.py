"""`/health/live`: the process answers. `/health/ready`: what it needs answers too."""

from collections.abc import Callable
from pathlib import Path

import redis
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_safe

_applied = False  # once all migrations are applied they stay so for the life of this code


def migrations_on_disk() -> set[tuple[str, str]]:
    """(app, name) of every migration file of the installed apps, without importing them."""
    return {
        (config.label, file.stem)
        for config in apps.get_app_configs()
        for file in (Path(config.path) / "migrations").glob("[0-9]*.py")
    }


def check_database() -> None:
    """The database answers a statement."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_migrations() -> None:
    """Every migration of this code is applied."""
    global _applied
    if _applied:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        missing = migrations_on_disk() - {(app, name) for app, name in cursor.fetchall()}
    if missing:
        app, name = min(missing)
        raise RuntimeError(
            f"{len(missing)} migration(s) are not applied, first {app}.{name}; run: hhweb manage migrate"
        )
    _applied = True


def check_redis() -> None:
    """The broker answers."""
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
}


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process serves requests."""
    return JsonResponse({"status": "live"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when every check passes, else 503 with the reason of each that does not."""
    reasons: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            check()
        except (DatabaseError, redis.RedisError, OSError, RuntimeError) as error:
            reasons[name] = _reason(error)
    checks = {name: reasons.get(name, "ok") for name in CHECKS}
    return JsonResponse(
        {"status": "unavailable" if reasons else "ready", "checks": checks}, status=503 if reasons else 200
    )


def _reason(error: Exception) -> str:
    """Our own sentences as they are; of others only the kind, since they may show addresses."""
    return str(error) if type(error) is RuntimeError else type(error).__name__


urlpatterns = [path("health/live", live), path("health/ready", ready)]
