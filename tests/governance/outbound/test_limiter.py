"""Slots over threads and processes on a real Redis: never more than the limit, healed after the dead, adaptive."""

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from governance.outbound import limiter
from governance.outbound.errors import OutboundFailed
from tests.governance.threads import at_once

ROOT = Path(__file__).parents[3]
ONE = {"project_id": 1, "provider": "openai"}
PATIENCE = 60.0


def slot(limit: int = 1, *, wait: float = PATIENCE, lease: float = PATIENCE, **where):
    return limiter.slot(**{**ONE, **where}, limit=limit, lease_seconds=lease, wait_seconds=wait)


def report(limit: int, *, rate_limited: bool) -> int:
    return limiter.report(**ONE, limit=limit, rate_limited=rate_limited)


def halve(limit: int) -> int:
    """Another refusal, after the pause between two halvings."""
    limiter._client().delete(limiter._keys(1, "openai")[5])
    return report(limit, rate_limited=True)


def test_forty_threads_never_pass_the_limit():
    inside, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with slot(3):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= 1

    assert at_once(40, work) == [None] * 40
    assert 1 <= most <= 3
    assert limiter.in_use(**ONE) == 0


def test_as_many_slots_as_the_limit_are_held_at_once():
    with slot(3, wait=0), slot(3, wait=0), slot(3, wait=0):
        assert limiter.in_use(**ONE) == 3
        with pytest.raises(OutboundFailed, match="All 3 slots"):
            slot(3, wait=0).__enter__()


def test_processes_never_pass_the_limit_together():
    url = os.environ["HHWEB_REDIS_URL"]
    worker = [sys.executable, str(Path(__file__).with_name("slot_worker.py")), url, "3", "4", "10"]
    started = [
        subprocess.Popen(
            worker,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=180) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], answers
    found = [tuple(map(int, out.split())) for out, _ in answers]
    assert max(most for most, _ in found) <= 3
    assert [calls for _, calls in found] == [40, 40, 40]
    with redis.Redis.from_url(url) as client:
        assert int(client.get("inside")) == 0


def test_waiting_too_long_is_an_error_that_can_heal():
    with slot(1), pytest.raises(OutboundFailed, match="1 slots of provider 'openai'") as failed, slot(1, wait=0.05):
        raise AssertionError("there is no second slot")
    assert (failed.value.cause, failed.value.is_transient) == ("rate_limited", True)
    with slot(1, wait=0):
        assert limiter.in_use(**ONE) == 1


def test_projects_and_providers_do_not_share():
    with slot(1), slot(1, wait=0, project_id=2), slot(1, wait=0, provider="cohere"):
        assert limiter.in_use(**ONE) == 1


def test_the_slot_of_a_dead_holder_heals_after_its_lease():
    dead = slot(1)
    token = dead.__enter__().token
    with pytest.raises(OutboundFailed):
        slot(1, wait=0.01).__enter__()
    limiter._client().zadd(limiter._keys(1, "openai")[0], {token: 1})  # its lease is over
    with slot(1, wait=0) as held:
        assert held.renew()
    dead.__exit__(None, None, None)  # late, and of no effect on others
    assert limiter.in_use(**ONE) == 0


def test_a_renewed_lease_lasts_and_a_lost_one_is_not_renewed():
    with slot(1) as held:
        held.lease_seconds = 100 * PATIENCE
        assert held.renew()
        key = limiter._keys(1, "openai")[0]
        (_, ends), *rest = limiter._client().zrange(key, 0, -1, withscores=True)
        assert rest == []
        assert ends / 1000 - time.time() > 50 * PATIENCE
        limiter._client().zadd(key, {held.token: 1})
        assert not held.renew()


def test_who_came_first_is_served_first():
    served: list[int] = []
    threads = []
    waiting = limiter._keys(1, "openai")[1]

    def wait_for(number: int) -> None:
        with slot(1):
            served.append(number)

    with slot(1):
        for number in range(5):
            threads.append(threading.Thread(target=wait_for, args=(number,)))
            threads[-1].start()
            until = time.monotonic() + PATIENCE
            while limiter._client().zcard(waiting) <= number and time.monotonic() < until:
                time.sleep(0.002)
    for thread in threads:
        thread.join(PATIENCE)
    assert served == [0, 1, 2, 3, 4]


def test_a_waiter_that_died_holds_nobody_up():
    waiting, seen = limiter._keys(1, "openai")[1:3]
    limiter._client().zadd(waiting, {"dead": 0})
    limiter._client().zadd(seen, {"dead": time.time() * 1000 + 200})
    with slot(1):
        assert limiter._client().zcard(waiting) == 0


def test_refusals_halve_the_limit_and_successes_raise_it_again():
    assert report(8, rate_limited=False) == 8
    assert report(8, rate_limited=True) == 4
    assert report(8, rate_limited=True) == 4  # of the same burst
    assert [halve(8), halve(8), halve(8)] == [2, 1, 1]
    limits = [report(8, rate_limited=False) for _ in range(60)]
    assert limits == sorted(limits)
    assert set(limits) == {2, 3, 4, 5, 6, 7, 8}
    assert limiter._client().exists(limiter._keys(1, "openai")[4]) == 0


def test_a_lowered_limit_is_what_slots_are_given_by_and_is_forgotten_after_a_while():
    report(4, rate_limited=True)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(slot(4, wait=0))
        with pytest.raises(OutboundFailed, match="All 2 slots"):
            stack.enter_context(slot(4, wait=0))
    assert 0 < limiter._client().ttl(limiter._keys(1, "openai")[4]) <= limiter.ADAPTED_FOR_SECONDS


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (OutboundFailed("slow down", cause="rate_limited", is_transient=True), 2),
        (OutboundFailed("broken", cause="server_error", is_transient=True), 4),
        (ValueError("ours"), 4),
    ],
)
def test_how_a_call_ends_moves_the_limit(error, limit):
    with pytest.raises(type(error)), slot(4):
        raise error
    assert limiter.in_use(**ONE) == 0
    assert int(float(limiter._client().get(limiter._keys(1, "openai")[4]) or 4)) == limit


def test_without_redis_the_error_can_heal_and_a_lost_slot_hides_no_result(settings, tmp_path):
    real = settings.REDIS_URL
    with slot(1):
        settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    with pytest.raises(OutboundFailed, match="Redis") as failed:
        slot(1).__enter__()
    assert (failed.value.cause, failed.value.is_transient) == ("connection", True)
    settings.REDIS_URL = real


def test_all_keys_expire():
    with slot(2), slot(2):
        report(2, rate_limited=True)
        client = limiter._client()
        keys = client.keys("hhweb:outbound:*")
        assert len(keys) >= 3
        assert all(client.pttl(key) > 0 for key in keys)
