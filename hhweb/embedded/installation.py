"""One data folder of the embedded default: its lock, its secrets, and the environment its processes run in."""

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hhweb.embedded.postgres_server import PostgresServer, cluster_folder
from hhweb.embedded.processes import EmbeddedServerError, own_folder
from hhweb.embedded.redis_server import RedisServer

MARK = "HHWEB_UP_FOLDER"  # in the environment of every process that `hhweb up` starts
SETTINGS = "hhweb.settings.development"
SUBFOLDERS = ("logs", "run", "static", "telemetry")


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with mode 0600, whole or not at all."""
    draft = path.with_name(path.name + ".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(0o600)
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file, {} when there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise EmbeddedServerError(f"{path} is not JSON any more; restore it from a backup.") from None
    return dict(content)


class Installation:
    """A data folder (mode 0700). Made on first use; `database` is chosen once and kept."""

    def __init__(self, folder: Path, *, database: str | None = None) -> None:
        self.folder = folder.expanduser().absolute()
        self._make_folder()
        self.record_file = self.folder / "installation.json"
        self.credentials_file = self.folder / "credentials.json"
        self._lock: IO[str] | None = None
        self._wanted_database = database

    def _make_folder(self) -> None:
        known = (self.folder / "installation.json").exists() or (self.folder / "up.lock").exists()
        if self.folder.is_dir() and not known:
            # Only an empty folder may become ours: the mode of somebody's home must not change.
            if any(self.folder.iterdir()) and self.folder.stat().st_mode & 0o077:
                raise EmbeddedServerError(
                    f"{self.folder} is not empty, not private and no data folder of hhweb; "
                    "choose another one with --data."
                )
        elif not self.folder.exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        own_folder(self.folder, uid=os.geteuid())
        for name in SUBFOLDERS:
            own_folder(self.folder / name, uid=os.geteuid())

    def lock(self) -> None:
        """Keep every other `up` out until this process ends, however it ends."""
        file = (self.folder / "up.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise EmbeddedServerError(
                f"hhweb already runs on {self.folder} ({holder}). Stop that one or choose another folder with --data."
            ) from None
        self._lock = file
        self.say_in_lock(f"pid {os.getpid()}")

    def unlock(self) -> None:
        """Let the next `up` in; the end of the process does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def say_in_lock(self, text: str) -> None:
        """What a refused second start is told about this one."""
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(text + "\n")
            self._lock.flush()

    def record(self) -> dict[str, Any]:
        """Secrets and the chosen database; made and written on the first call."""
        found = read_json(self.record_file)
        if not found:
            found = {
                "database": self._wanted_database or "sqlite",
                "secret_key": secrets.token_urlsafe(48),
                "key_pepper": secrets.token_urlsafe(32),
                "telemetry_token": secrets.token_urlsafe(24),
                "postgres_password": secrets.token_urlsafe(24),
            }
            write_private(self.record_file, found)
        if self._wanted_database not in {None, found["database"]}:
            raise EmbeddedServerError(
                f"{self.folder} was made with --database {found['database']} and keeps it; "
                f"for {self._wanted_database} choose another folder with --data."
            )
        return found

    def redis(self) -> RedisServer:
        """The folder's Redis, not started."""
        return RedisServer(self.folder / "redis")

    def postgres(self) -> PostgresServer | None:
        """The folder's PostgreSQL, not started; None when it uses SQLite."""
        record = self.record()
        if record["database"] != "postgres":
            return None
        return PostgresServer(cluster_folder(self.folder), password=record["postgres_password"])

    def environment(self, *, redis_url: str, postgres_url: str | None) -> dict[str, str]:
        """The environment of web, worker, beat and management commands. An operator's own HHWEB_ settings stay."""
        record = self.record()
        env = dict(os.environ)
        env.setdefault("HHWEB_LOG_FORMAT", "console")
        # glibc gives every thread a heap of its own, and what one batch needed is never returned from any of them.
        env.setdefault("MALLOC_ARENA_MAX", "2")
        env.setdefault("HHWEB_TELEMETRY_TOKEN", record["telemetry_token"])
        env.update(
            {
                MARK: str(self.folder),
                "DJANGO_SETTINGS_MODULE": SETTINGS,
                "HHWEB_DATA_DIR": str(self.folder),
                "HHWEB_SECRET_KEY": record["secret_key"],
                "HHWEB_KEY_PEPPER": record["key_pepper"],
                "HHWEB_DATABASE_URL": postgres_url or "",
                "HHWEB_REDIS_URL": redis_url,
                "HHWEB_STATIC_ROOT": str(self.folder / "static"),
                "HHWEB_TELEMETRY_DIR": str(self.folder / "telemetry"),
            }
        )
        root = str(Path(__file__).resolve().parents[2])
        if not root.endswith("-packages"):  # a checkout: its processes must find it from any folder
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
        if sys.dont_write_bytecode:
            # Nothing beside the sources, as asked; but without compiled files every start costs seconds.
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            env["PYTHONPYCACHEPREFIX"] = str(self.folder / "run" / "bytecode")
        return env
