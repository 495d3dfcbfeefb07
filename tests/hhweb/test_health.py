"""Health endpoints."""

import pytest
from django.db import connection
from django.test import Client

from hhweb import health


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(health, "_applied", False)


def test_live_needs_nothing():
    response = Client().get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


@pytest.mark.django_db
def test_ready_when_all_answers(django_assert_num_queries):
    with django_assert_num_queries(2):
        response = Client().get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "migrations": "ok", "redis": "ok"}}
    with django_assert_num_queries(1):
        Client().get("/health/ready")


@pytest.mark.django_db
def test_missing_migration_is_named_with_its_remedy():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'experiments' AND name LIKE '0001%'")
    response = Client().get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["checks"] == {
        "database": "ok",
        "migrations": "1 migration(s) are not applied, first experiments.0001_initial; run: hhweb manage migrate",
        "redis": "ok",
    }


@pytest.mark.django_db
def test_lost_redis_is_a_reason_without_its_address(settings):
    settings.REDIS_URL = "unix:///no/such/redis.sock"
    response = Client().get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "ok", "redis": "ConnectionError"}


@pytest.mark.django_db
def test_lost_database_is_a_reason(monkeypatch):
    def fail() -> None:
        from django.db import OperationalError

        raise OperationalError("password of postgres is hunter2")

    monkeypatch.setitem(health.CHECKS, "database", fail)
    response = Client().get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "OperationalError"
    assert b"hunter2" not in response.content


def test_health_cannot_be_written():
    assert Client().post("/health/live").status_code == 405
