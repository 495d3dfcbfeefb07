"""The spool: what a crash, a full disk or another process can do to it, and what they cannot."""

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.sdk.errors import ConfigurationError, SpoolError
from experiments.sdk.transport import journal, run_lock
from experiments.sdk.transport.run_lock import RunLock
from experiments.sdk.transport.spool import RunSpool, Spool
from tests.experiments.sdk.transport.samples import HEADER, RUN, finished, session_id

URL = "http://127.0.0.1:1"
HEADERS = {"server_url": URL, **HEADER}


def opened(spool: Spool, run_id: str = RUN) -> RunSpool:
    return spool.open_run(run_id, HEADERS)


def reopened(spool: Spool, run_spool: RunSpool) -> RunSpool:
    """As after a kill: nothing was closed in an orderly way, and the lock is gone."""
    run_spool._lock.release()
    return spool.reopen(run_spool.run_id)


def fill(run_spool: RunSpool) -> None:
    """Append until the disk, or the bound, is full."""
    for number in range(1000):
        run_spool.append(finished(number))


def test_what_was_appended_is_found_again_until_it_is_acknowledged(spool: Spool) -> None:
    first = opened(spool)
    positions = [first.append(finished(number)) for number in range(4)]
    first.mark_delivered([positions[0], positions[2], 999])
    first.finish({"status": "completed"})
    second = reopened(spool, first)
    assert second.waiting() == [(positions[1], session_id(1)), (positions[3], session_id(3))]
    assert second.read(positions[3]) == finished(3)
    assert second.finish_body == {"status": "completed"}
    assert second.header["create"] == HEADER["create"]
    new = second.append(finished(9))
    assert new > positions[3]
    assert second.read(new) == finished(9)
    assert second.size_of(new) > 500
    assert second.size_of(positions[0]) == 0


def test_everything_of_the_spool_is_private_and_holds_no_key(spool: Spool) -> None:
    previous = os.umask(0)
    try:
        run_spool = opened(spool)
        run_spool.append(finished(1))
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in spool.folder.rglob("*")}
    assert modes == {"run-run-1": 0o700, "run.json": 0o600, "lock": 0o600, "journal-000001.log": 0o600}
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    header = json.loads((run_spool.path / "run.json").read_text())
    assert set(header) == {"format", "run_id", "started_at", "server_url", "name", "create", "aggregate_function"}


@pytest.mark.parametrize("cut", [1, 5, 40, 300])
def test_a_torn_tail_is_no_record_and_spoils_none_that_follow(spool: Spool, cut: int) -> None:
    first = opened(spool)
    first.append(finished(1))
    size = (first.path / "journal-000001.log").stat().st_size
    first.append(finished(2))
    os.truncate(first.path / "journal-000001.log", size + cut)
    second = reopened(spool, first)
    assert [key for _, key in second.waiting()] == [session_id(1)]
    position = second.append(finished(3))
    assert second.read(position) == finished(3)
    third = reopened(spool, second)
    assert [key for _, key in third.waiting()] == [session_id(1), session_id(3)]


def test_a_damaged_record_is_left_out_and_reading_one_says_so(spool: Spool) -> None:
    first = opened(spool)
    positions = [first.append(finished(number)) for number in range(3)]
    file = first.path / "journal-000001.log"
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"question 1", b"question X"))
    with pytest.raises(SpoolError, match=f"damaged: datapoint {session_id(1)} is unreadable"):
        first.read(positions[1])
    second = reopened(spool, first)
    assert [key for _, key in second.waiting()] == [session_id(0), session_id(2)]
    file.unlink()
    with pytest.raises(SpoolError, match="cannot be read"):
        second.read(positions[2])


@pytest.mark.parametrize("line", [b"", b"\n", b"zzzzzzzz D 1 a {}\n", b"00000000xD\n", b"c9ad5d3e D 1\n"])
def test_what_is_no_line_of_the_journal_is_none(line: bytes) -> None:
    assert journal.decoded(line) is None


def test_a_line_with_a_good_checksum_but_too_few_parts_is_none() -> None:
    import zlib

    assert journal.decoded(b"%08x D 1\n" % zlib.crc32(b"D 1")) is None
    assert journal.decoded(journal.encoded("D", 7, "a b\n", b"{}")) == journal.Line("D", 7, "a b\n", b"{}", 0, 25)


def test_delivered_segments_leave_the_disk_while_the_run_goes_on(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 4000)
    run_spool = opened(spool)
    slow = run_spool.append(finished(0))
    for number in range(1, 31):
        run_spool.mark_delivered([run_spool.append(finished(number))])
    names = sorted(path.name for path in run_spool.path.glob("journal-*"))
    assert len(names) > 5  # the first datapoint still waits in the oldest
    run_spool.mark_delivered([slow])
    assert sorted(path.name for path in run_spool.path.glob("journal-*")) == names[-1:]
    for number in range(31, 100):
        run_spool.mark_delivered([run_spool.append(finished(number))])
    assert sum(path.stat().st_size for path in run_spool.path.iterdir()) < 10_000
    last = run_spool.append(finished(100))
    again = reopened(spool, run_spool)
    assert again.waiting() == [(last, session_id(100))]
    assert again.append(finished(101)) == last + 1


def test_a_run_that_is_all_delivered_leaves_nothing(spool: Spool) -> None:
    run_spool = opened(spool)
    position = run_spool.append(finished(1))
    run_spool.mark_delivered([position])
    assert run_spool.close(delete=True) is True
    assert list(spool.folder.iterdir()) == []
    assert spool.pending() == []


def test_what_waits_is_not_deleted_even_when_asked(spool: Spool) -> None:
    run_spool = opened(spool)
    run_spool.append(finished(1))
    assert run_spool.close(delete=True) is False
    with pytest.raises(SpoolError, match="is closed"):
        run_spool.append(finished(2))
    assert [pending.datapoints for pending in spool.pending()] == [1]
    assert run_spool.close(delete=True) is False


def test_listing_needs_no_server_and_tells_what_waits(spool: Spool) -> None:
    assert spool.pending() == []
    first = opened(spool)
    first.append(finished(1))
    second = opened(spool, "b/../ü run")
    second.finish({"status": "completed"})
    second.close()
    (spool.folder / "stray").mkdir()
    (spool.folder / "run-broken").mkdir()
    (spool.folder / "run-broken" / "run.json").write_text("{}")
    pending = sorted(spool.pending(), key=lambda each: each.run_id != RUN)  # both began in one millisecond, perhaps
    assert [(each.run_id, each.datapoints, each.is_locked, each.is_finished) for each in pending] == [
        (RUN, 1, True, False),
        ("b/../ü run", 0, False, True),
    ]
    assert {(each.name, each.server_url) for each in pending} == {("nightly", URL)}
    assert pending[0].bytes == (first.path / "journal-000001.log").stat().st_size
    assert pending[0].started_at.endswith("Z")
    assert all(each.path.parent == spool.folder for each in pending)


def test_a_folder_that_another_user_keeps_closed_is_passed_over(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(spool).close()
    (spool.folder / "run-run-1" / "lock").unlink()
    (spool.folder / "run-run-1" / "lock").mkdir()
    assert spool.pending() == []


def test_a_run_is_one_processes_at_a_time(spool: Spool) -> None:
    run_spool = opened(spool)
    with pytest.raises(SpoolError, match="'run-1' is being executed or replayed by another process"):
        opened(spool)
    run_spool.close()
    opened(spool).close()


def test_a_run_waits_for_its_own_server(spool: Spool) -> None:
    opened(spool).close()
    with pytest.raises(SpoolError, match=r"waits in .* for http://127.0.0.1:1, not for http://other"):
        spool.open_run(RUN, {**HEADERS, "server_url": "http://other"})
    opened(spool).close()


def test_an_unknown_run_cannot_be_reopened_and_a_known_one_can_be_thrown_away(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="No run 'run-1' waits in"):
        spool.reopen(RUN)
    run_spool = opened(spool)
    run_spool.append(finished(1))
    run_spool.append(finished(2))
    run_spool.close()
    assert spool.discard(RUN) == 2
    assert spool.pending() == []


def test_long_run_ids_have_short_folders(spool: Spool) -> None:
    run_spool = opened(spool, "ü" * 200)
    assert len(run_spool.path.name) < 100
    run_spool.close()
    assert spool.reopen("ü" * 200).header["run_id"] == "ü" * 200


# --- full disks


def test_the_bound_counts_what_other_runs_hold(spool: Spool) -> None:
    other = opened(spool, "other")
    other.append(finished(1))
    small = Spool(spool.folder, max_bytes=other.size_of(1) + 5000)
    run_spool = opened(small)
    with pytest.raises(SpoolError, match=r"The spool is full: \d+ bytes .*HH_SPOOL_MAX_BYTES"):
        fill(run_spool)
    kept = len(run_spool.waiting())
    assert 0 < kept < 5


def test_with_little_room_the_acknowledged_is_given_back(spool: Spool) -> None:
    run_spool = opened(Spool(spool.folder, max_bytes=20_000))
    for number in range(200):
        run_spool.mark_delivered([run_spool.append(finished(number))])
    assert run_spool.waiting() == []


def test_a_full_disk_gives_back_what_is_acknowledged_though_that_cannot_be_noted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1)
    run_spool = opened(spool)
    positions = [run_spool.append(finished(number)) for number in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    run_spool.mark_delivered(positions)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in run_spool.path.glob("journal-*")] == ["journal-000003.log"]


def test_an_interrupted_append_is_a_record_and_shifts_no_other(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    run_spool = opened(spool)
    real_write = os.write

    def interrupted(file: int, data: bytes) -> int:
        real_write(file, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_spool.append(finished(1))
    position = run_spool.append(finished(2))
    assert run_spool.read(position) == finished(2)
    again = reopened(spool, run_spool)
    assert [key for _, key in again.waiting()] == [session_id(1), session_id(2)]


@pytest.fixture
def small_files() -> Iterator[int]:
    """The kernel refuses to let files of this process grow further, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    yield 4000
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_in_the_middle_of_a_record_keeps_the_others(spool: Spool, small_files: int) -> None:
    run_spool = opened(spool)
    with pytest.raises(SpoolError, match="cannot be written: the disk is full"):
        fill(run_spool)
    kept = len(run_spool.waiting())
    assert (run_spool.path / "journal-000001.log").stat().st_size == small_files
    with pytest.raises(SpoolError, match=f"cannot be written: {os.strerror(errno.EFBIG)}"):
        run_spool.append(finished(50))
    run_spool.mark_delivered([1])  # cannot be noted, which costs nothing but a repetition
    assert [key for _, key in run_spool.waiting()] == [session_id(number) for number in range(1, kept)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    run_spool.append(finished(60))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again = reopened(spool, run_spool)
    assert [key for _, key in again.waiting()] == [session_id(number) for number in [*range(kept), 60]]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 32 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system; the file size limit above shows the same")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_really_full_disk_says_so_from_the_first_file_on(tiny_disk: Path) -> None:
    spool = Spool(tiny_disk / "spool")
    run_spool = opened(spool)
    with pytest.raises(SpoolError, match=r"No space left|disk is full"):
        fill(run_spool)
    assert len(run_spool.waiting()) > 5
    with pytest.raises(SpoolError, match="No space left"):
        opened(spool, "next")
    run_spool.close()


@pytest.mark.parametrize("text", ["lots", "-1", "1.5"])
def test_a_bound_that_is_no_number_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HH_SPOOL_MAX_BYTES", text)
    with pytest.raises(ConfigurationError, match=f"HH_SPOOL_MAX_BYTES is '{text}'"):
        Spool(tmp_path)


def test_folder_and_bound_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv("HH_SPOOL_MAX_BYTES", "123")
    assert (Spool().folder, Spool().max_bytes) == (tmp_path, 123)
    monkeypatch.delenv("HH_SPOOL_MAX_BYTES")
    assert Spool().max_bytes == 1024**3


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be used: Not a directory"):
        opened(Spool(tmp_path / "file" / "spool"))
    with pytest.raises(SpoolError, match="cannot be read"):
        Spool(tmp_path / "file").pending()
    (tmp_path / "spool" / "run-run-1" / "run.json.new").mkdir(parents=True)
    with pytest.raises(SpoolError, match="cannot be written: Is a directory"):
        opened(Spool(tmp_path / "spool"))
    (tmp_path / "spool" / "run-b" / "journal-000001.log").mkdir(parents=True)
    with pytest.raises(SpoolError, match="cannot be read"):
        opened(Spool(tmp_path / "spool"), "b")


def test_a_segment_that_cannot_be_opened_is_a_full_spool(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 100)
    run_spool = opened(spool)
    run_spool.append(finished(1))
    (run_spool.path / "journal-000002.log").mkdir()
    with pytest.raises(SpoolError, match="cannot be opened: Is a directory"):
        run_spool.append(finished(2))
    (run_spool.path / "journal-000002.log").rmdir()
    run_spool.append(finished(3))
    assert [key for _, key in run_spool.waiting()] == [session_id(1), session_id(3)]


def test_the_disk_is_synced_when_a_run_is_left_waiting_only(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    run_spool = opened(spool)
    run_spool.append(finished(1))
    run_spool.mark_delivered([1])
    run_spool.finish({})
    assert synced == []
    run_spool.close()
    assert len(synced) == 5  # journal, header, lock, folder, its parent


# --- the lock


def test_a_lock_on_a_deleted_file_is_a_lock_on_nothing(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path / "lock"), RunLock(tmp_path / "lock")
    assert first.acquire()
    (tmp_path / "lock").unlink()
    assert second.acquire(patience_seconds=0)
    assert not RunLock(tmp_path / "lock").acquire(patience_seconds=0)
    second.release()
    second.release()
    assert RunLock(tmp_path / "lock").acquire(patience_seconds=0)


def test_where_the_system_has_no_locks_nothing_is_kept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "fcntl", None)
    first, second = RunLock(tmp_path / "lock"), RunLock(tmp_path / "lock")
    assert first.acquire(patience_seconds=0)
    assert second.acquire(patience_seconds=0)
    first.release()
    second.release()


def test_a_lock_whose_file_goes_while_it_is_taken_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    real_flock = fcntl.flock

    def deleted_meanwhile(handle: int, operation: int) -> None:
        real_flock(handle, operation)
        path.unlink()
        path.write_text("the next one's")
        monkeypatch.setattr(fcntl, "flock", real_flock)

    monkeypatch.setattr(fcntl, "flock", deleted_meanwhile)
    lock = RunLock(path)
    assert lock.acquire()
    assert not RunLock(path).acquire(patience_seconds=0)


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "lock")
    assert lock.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # lives on until the parent has looked
        os._exit(0)
    os.close(reading)
    assert not RunLock(tmp_path / "lock").acquire(patience_seconds=0)
    lock.release()
    try:
        assert RunLock(tmp_path / "lock").acquire(patience_seconds=5)
    finally:
        os.close(writing)
        os.waitpid(child, 0)
