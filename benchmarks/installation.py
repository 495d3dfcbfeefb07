"""A database of its own in a temporary folder, with Django set up and migrated, for benchmarks in one process."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def installation(database: str) -> Iterator[None]:
    """`postgres` or `sqlite`, gone when left. Redis is named and never asked."""
    with ExitStack() as stack:
        # Root's PostgreSQL runs as another user, who may not reach a private TMPDIR.
        where = "/tmp" if os.geteuid() == 0 else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hhweb-bench-", dir=where)))
        folder.chmod(0o711)
        (folder / "data").mkdir()
        os.environ["HHWEB_DATA_DIR"] = str(folder / "data")
        os.environ["HHWEB_REDIS_URL"] = "redis://127.0.0.1:1"
        os.environ["HHWEB_LOG_LEVEL"] = "ERROR"
        os.environ["DJANGO_SETTINGS_MODULE"] = "hhweb.settings.test"
        if database == "postgres":
            from hhweb.embedded.postgres_server import PostgresServer

            server = PostgresServer(folder / "postgres", password="bench")
            stack.callback(server.stop)
            server.start()
            os.environ["HHWEB_DATABASE_URL"] = server.url
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield
