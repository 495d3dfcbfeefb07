"""The servers that the test session brings along."""

import os
import threading

import pytest
import redis
from django.db import connection

from governance.models import Project


@pytest.mark.django_db
def test_session_runs_on_the_chosen_database():
    expected = {"postgres": "postgresql", "sqlite": "sqlite"}[os.environ.get("HHWEB_TEST_DATABASE", "postgres")]
    assert connection.vendor == expected


def test_redis_is_real_and_empty():
    with redis.Redis.from_url(os.environ["HHWEB_REDIS_URL"]) as client:
        assert client.info("server")["redis_version"].startswith("6.2.")
        assert client.dbsize() == 0


@pytest.mark.django_db(transaction=True)
def test_threads_see_committed_rows(project):
    seen: list[int] = []

    def count() -> None:
        seen.append(Project.objects.filter(pk=project.pk).count())
        connection.close()

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert seen == [1]


@pytest.mark.django_db
def test_api_key_fixture_authenticates(api_key, project):
    from governance.services.api_keys import authenticate

    assert authenticate(token=api_key).project_id == project.pk


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_pgvector_is_available():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
        assert cursor.fetchone() == (1,)
