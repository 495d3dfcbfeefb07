"""Kept answers: whole or not at all, bounded, and never in the way."""

import os
import threading
import time

import pytest

from experiments.adapters import result_cache


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def keep(name: str, *pieces: bytes) -> bytes:
    return b"".join(result_cache.keeping(name, pieces))


def read(name: str) -> bytes | None:
    file = result_cache.stored(name)
    return None if file is None else b"".join(result_cache.pieces(file))


def names() -> list[str]:
    return sorted(entry.name for entry in result_cache.folder().iterdir())


def test_kept_answer_is_read_back() -> None:
    assert read("a") is None
    assert keep("a", b"one", b"", b"two") == b"onetwo"
    assert read("a") == b"onetwo"
    assert names() == ["a.answer"]
    assert result_cache.folder().stat().st_mode & 0o777 == 0o700


def test_answer_that_broke_off_is_not_kept() -> None:
    def broken():
        yield b"half"
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        list(result_cache.keeping("a", broken()))
    reader = result_cache.keeping("b", iter([b"1", b"2"]))
    next(reader)
    reader.close()

    assert names() == []


@pytest.mark.parametrize("damage", [b"", b"hhweb", b"x" * 40])
def test_damaged_files_are_removed(damage) -> None:
    keep("a", b"one")
    path = result_cache.folder() / "a.answer"
    path.write_bytes(damage)

    assert read("a") is None
    assert names() == []


def test_truncated_file_is_removed() -> None:
    keep("a", b"one" * 100)
    path = result_cache.folder() / "a.answer"
    os.truncate(path, path.stat().st_size - 1)

    assert read("a") is None
    assert names() == []


def test_longest_unused_answers_go_first() -> None:
    for age, name in enumerate("abc"):
        keep(name, b"x" * 100)
        stamp = time.time() - 100 + age
        os.utime(result_cache.folder() / f"{name}.answer", (stamp, stamp))
    assert read("a") is not None

    result_cache.evict(total_bytes=250)

    assert names() == ["a.answer", "c.answer"]


def test_parts_of_killed_processes_are_swept() -> None:
    keep("a", b"one")
    dead, alive = result_cache.folder() / "x.1.part", result_cache.folder() / "y.2.part"
    for part in (dead, alive):
        part.write_bytes(b"half")
    os.utime(dead, (1, 1))

    result_cache.evict()

    assert names() == ["a.answer", "y.2.part"]


def test_too_large_answers_pass_through(monkeypatch) -> None:
    monkeypatch.setattr(result_cache, "ENTRY_BYTES", 5)

    assert keep("a", b"1234", b"5678", b"9") == b"123456789"
    assert names() == []


def test_faults_of_the_disk_are_not_noticed(settings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(result_cache, "_write", lambda file, piece: False)
    assert keep("a", b"one") == b"one"
    assert names() == []
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    settings.DATA_DIR = blocked
    assert keep("a", b"one") == b"one"
    assert read("a") is None


def test_an_open_answer_survives_its_eviction() -> None:
    keep("a", b"one")
    file = result_cache.stored("a")
    result_cache.evict(total_bytes=0)

    assert b"".join(result_cache.pieces(file)) == b"one"


def test_concurrent_keepers_and_readers_see_whole_answers() -> None:
    answer = b"x" * 200_000
    seen: list[bytes | None] = []

    def work() -> None:
        for _ in range(10):
            keep("a", answer[:100_000], answer[100_000:])
            seen.append(read("a"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(seen) == {answer}
    assert names() == ["a.answer"]
