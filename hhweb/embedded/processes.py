"""Starting, recognising and ending child processes: what both embedded servers and the launcher share."""

import contextlib
import ctypes
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

SOCKET_PATH_LIMIT = 107  # bytes in sockaddr_un.sun_path, less the closing zero
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class EmbeddedServerError(Exception):
    """An embedded server could not be started; the message says why and what to do."""


def _die_with(parent: int, death_signal: int) -> Callable[[], None]:
    """What the child does before exec: ask the kernel for `death_signal` when its parent dies."""

    def before_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return before_exec


def start(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int | None,
    death_signal: int = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
    gid: int | None = None,
    cwd: Path | None = None,
    fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own (Ctrl-C reaches the launcher only) that ends with this one.

    Must be called on the main thread: the kernel sends the death signal when the *thread* that forked ends.
    """
    return subprocess.Popen(  # noqa: S603 - callers pass programs of this installation
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(env) if env is not None else None,
        cwd=cwd,
        user=uid,
        group=gid,
        extra_groups=[] if uid is not None else None,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=_die_with(os.getpid(), death_signal),
    )


def started_at(pid: int) -> str:
    """The kernel's start time of a process in ticks since boot, '' when there is none (zombies count as none).

    Together with the pid it names a process for good: pids are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def command_line(pid: int) -> list[str]:
    """The arguments of a process, [] when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def note_pid(path: Path, pid: int) -> None:
    """Write `<pid> <start time>` for a later launcher that finds this process left over."""
    draft = path.with_suffix(".draft")
    draft.write_text(f"{pid} {started_at(pid)}\n")
    draft.replace(path)


def noted_pid(path: Path) -> int | None:
    """The pid noted in a file if exactly that process still runs; a stale note is None."""
    try:
        pid, _, started = path.read_text().strip().partition(" ")
        return int(pid) if started and started_at(int(pid)) == started else None
    except (OSError, ValueError):
        return None


def wait_until(condition: Callable[[], bool], *, seconds: float, step: float = 0.02) -> bool:
    """Ask `condition` until it holds or the time is over; says whether it held."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


def send(pid: int, number: int, *, group: bool = False) -> None:
    """Send a signal to a process, or to the group it leads; gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, number)


def end(process: "subprocess.Popen[bytes]", *, ask: int | None = signal.SIGTERM, seconds: float = 10.0) -> int:
    """Ask a child to end (None: it was asked), kill its whole group when it does not; returns its exit code."""
    if process.poll() is None:
        if ask is not None:
            send(process.pid, ask)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            send(process.pid, signal.SIGKILL, group=True)
    return process.wait()


def end_leftover(pid: int, *, ask: int = signal.SIGTERM, seconds: float = 10.0) -> None:
    """End a process that is not our child (left over by a launcher that was killed)."""
    started = started_at(pid)
    if not started:
        return
    send(pid, ask)
    if not wait_until(lambda: started_at(pid) != started, seconds=seconds):
        send(pid, signal.SIGKILL)
        wait_until(lambda: started_at(pid) != started, seconds=5)


def socket_folder(wanted: Path, *, longest_name: str, uid: int) -> Path:
    """`wanted`, or a short private folder of the system's temp folder when a socket in `wanted` had too long a path.

    The folder is made with mode 0700 for `uid`; one that somebody else made under our name is refused.
    """
    folder = wanted.absolute()
    if len(os.fsencode(folder / longest_name)) > SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"hhweb-{uid}-{digest}"
    if len(os.fsencode(folder / longest_name)) > SOCKET_PATH_LIMIT:
        folder = Path("/tmp") / folder.name  # noqa: S108 - checked below
    own_folder(folder, uid=uid)
    return folder


def forget_socket_folder(folder: Path, *, wanted: Path) -> None:
    """Remove a short folder that `socket_folder` made in place of `wanted`, if it is empty."""
    if folder != wanted:
        with contextlib.suppress(OSError):
            folder.rmdir()


def own_folder(folder: Path, *, uid: int, gid: int | None = None) -> None:
    """Make `folder` (mode 0700, owned by `uid`); an existing one must be a real folder of that owner."""
    try:
        folder.mkdir(mode=0o700)
        if uid != os.geteuid():
            os.chown(folder, uid, gid if gid is not None else -1)
    except FileExistsError:
        found = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or found.st_uid != uid:
            raise EmbeddedServerError(
                f"{folder} exists but is not a folder owned by uid {uid}; remove it or choose another data folder."
            ) from None
        if found.st_mode & 0o077:
            folder.chmod(0o700)
