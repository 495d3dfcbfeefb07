"""Real PostgreSQL and Redis for the whole test session, and the fixtures every test may ask for.

`HHWEB_TEST_DATABASE=postgres|sqlite` chooses the database (default postgres). Tests that touch it are marked
`database` here; `make test` runs the others, to which it makes no difference, on PostgreSQL only. The servers are
started once, by the process the developer started; workers of `pytest -n` inherit their addresses and use databases
of their own. Settings are loaded only after the addresses are known, so no ini option names the settings module.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hhweb.embedded.postgres_server import PostgresServer
from hhweb.embedded.redis_server import RedisServer

DATABASE = os.environ.get("HHWEB_TEST_DATABASE", "postgres")
KEPT = {"HHWEB_TEST_DATABASE", "HHWEB_PROOF"}  # the second asks for the full form of the long proofs
# Root's PostgreSQL runs as another user, who may not reach a private TMPDIR.
TEMPORARY = "/tmp" if os.geteuid() == 0 else None
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
SERVED = ("process", "browser")
LONG = {"test_malformed_bodies.py", "test_isolation.py", "test_migrations.py"}  # of the last folder
SHARED_SERVERS = ("tests/contract/", "tests/hhweb/client_cli/")
FAST = {
    # Tests never outlive a crash of the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "autovacuum_naptime": "10min",
}


def _start_servers(config: pytest.Config) -> None:
    if DATABASE not in {"postgres", "sqlite"}:
        raise pytest.UsageError(f"HHWEB_TEST_DATABASE={DATABASE!r} is unknown; use postgres or sqlite")
    folder = Path(tempfile.mkdtemp(prefix="hhweb-tests-", dir=TEMPORARY))
    folder.chmod(0o711)  # the unprivileged user of PostgreSQL passes through; names inside stay unlisted
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    redis = RedisServer(folder / "redis", durable=False)
    config.add_cleanup(redis.stop)
    redis.start()
    os.environ["HHWEB_TEST_REDIS"] = redis.url
    os.environ["HHWEB_TEST_FOLDER"] = str(folder)
    if DATABASE == "postgres":
        postgres = PostgresServer(folder / "postgres", password="tests", settings=FAST)
        config.add_cleanup(postgres.stop)
        postgres.start()
        os.environ["HHWEB_DATABASE_URL"] = postgres.url


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest-django loads the settings: start the servers (once) and say where they are."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell, which makes everything below deaf to Ctrl-C; tests are about it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "database: touches the database; set by tests/conftest.py, not by hand")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        for name in [name for name in os.environ if name.startswith("HHWEB_") and name not in KEPT]:
            del os.environ[name]  # a developer's own settings must not reach the tests
        _start_servers(config)
        if config.getoption("numprocesses", None):
            # The workers run the tests. They inherit this environment, and pytest-django loads the settings as soon
            # as it finds a settings module there: before a worker could name its own folder and Redis database.
            return
    data_dir = Path(os.environ["HHWEB_TEST_FOLDER"]) / f"data-{worker or 'main'}"
    data_dir.mkdir(mode=0o700)
    (data_dir / "static").mkdir()
    os.environ["HHWEB_DATA_DIR"] = str(data_dir)
    os.environ["HHWEB_REDIS_URL"] = f"{os.environ['HHWEB_TEST_REDIS']}?db={int(worker[2:]) + 1 if worker else 0}"
    os.environ["HHWEB_TELEMETRY_TOKEN"] = "token-of-the-tests-telemetry"
    if DATABASE == "sqlite":
        os.environ.pop("HHWEB_DATABASE_URL", None)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Load Django after pytest-cov has begun to measure, which in a worker is at the start of its session."""
    if session.config.getoption("numprocesses", None):
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "hhweb.settings.test"
    from django.conf import settings
    from pytest_django.plugin import _setup_django

    settings.DEBUG  # noqa: B018 - loads the settings, which _setup_django asks for
    _setup_django(session.config)  # django.setup(), and no database without its mark
    from tests.audit_flush import teach_the_flush

    teach_the_flush()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what touches the database, before `-m` chooses; skip on SQLite what only PostgreSQL can show."""
    for item in items:
        # pytest-django opens the database to nobody else, so these two tell all.
        if item.get_closest_marker("django_db") or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("database")
        if DATABASE != "postgres" and item.get_closest_marker("postgres_only"):
            item.add_marker(pytest.mark.skip(reason="needs PostgreSQL"))
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:  # the longest first: short files fill the end on all workers alike
        long = {item.path for item in items if item.path.name in LONG or any(map(item.get_closest_marker, SERVED))}
        items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, and whole folders whose tests share a server that takes seconds to start."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(
                (folder for folder in SHARED_SERVERS if nodeid.startswith(folder)), super()._split_scope(nodeid)
            )

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def empty_redis() -> None:
    """Every test starts with an empty broker, cache and limits."""
    import redis

    with redis.Redis.from_url(os.environ["HHWEB_REDIS_URL"]) as connection:
        connection.flushdb()


@pytest.fixture(autouse=True)
def fresh_quota_memory() -> Iterator[None]:
    """No test consumes event quota that another test's project reserved."""
    from governance.services import ingestion_quota

    ingestion_quota.forget()
    yield
    ingestion_quota.forget()


@pytest.fixture
def project(db):
    """A project with its default quotas."""
    from tests.factories import make_project

    return make_project()


@pytest.fixture
def caller(project):
    """A caller with every right in `project`."""
    from governance.services.projects import system_caller

    return system_caller(project)


@pytest.fixture
def api_key(project) -> str:
    """The token of a project key of `project`."""
    from tests.factories import make_token

    return make_token(project)


@pytest.fixture
def api(api_key):
    """Django's test client that sends `api_key` as its bearer token."""
    from tests.factories import make_client

    return make_client(api_key)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers that a test starts itself; its path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hhweb-p-", dir=TEMPORARY))
    folder.chmod(0o711)
    yield folder
    for note in folder.glob("*/postgres-folder"):  # run by root, a cluster lies outside its data folder
        shutil.rmtree(note.read_text().strip(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
