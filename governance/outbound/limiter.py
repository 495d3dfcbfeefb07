"""Calls at once to one provider of one project, held over all processes by leases in Redis.

A slot is a member of a sorted set whose score is the end of its lease, by Redis' own clock. One script prunes what ran
out, keeps those who wait in order of arrival, and hands out a slot, so no two processes ever see the same room. The
limit in force follows the provider: half of it after "too many requests", one more after as many successes as it is
large, never above what the caller gives.
"""

import functools
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

from governance.outbound.errors import OutboundFailed
from governance.outbound.retries import is_transient

ADAPTED_FOR_SECONDS = 600  # without news the limit is the caller's again
HALVED_AT_MOST_EVERY_SECONDS = 1.0  # the refusals of one burst are one piece of news
_WAITER_FORGOTTEN_AFTER_SECONDS = 3.0
_SHORTEST_POLL, _NEXT_POLL, _LONGEST_POLL = 0.01, 0.03, 0.25  # seconds

# KEYS: holders, waiting (by arrival), seen (last look of each waiter), arrivals, adapted limit
# ARGV: token, limit, lease in ms, patience with waiters in ms
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[4]), ARGV[1])
end
local limit = tonumber(ARGV[2])
local adapted = tonumber(redis.call('GET', KEYS[5]) or ARGV[2])
if adapted < limit then limit = math.max(1, math.floor(adapted)) end
local taken = 0
local rank = redis.call('ZRANK', KEYS[2], ARGV[1])
if rank < limit - redis.call('ZCARD', KEYS[1]) then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  taken = 1
else
  redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local keep = tonumber(ARGV[4])
if last[2] then keep = math.max(keep, last[2] - now) end
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], math.ceil(keep + 60000)) end
return {taken, limit, rank}
"""
# KEYS: holders. ARGV: token, lease in ms. Extends only a lease that has not run out.
_RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < ARGV[2] + 60000 then redis.call('PEXPIRE', KEYS[1], ARGV[2] + 60000) end
return 1
"""
# KEYS: adapted limit, mark of the last halving. ARGV: limit, 'ok' or 'limited', seconds kept, ms between halvings
_ADAPT = """
local limit = tonumber(ARGV[1])
local now = math.min(limit, tonumber(redis.call('GET', KEYS[1]) or limit))
if ARGV[2] == 'limited' then
  if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[4]) then
    now = math.max(1, now / 2)
    redis.call('SET', KEYS[1], tostring(now), 'EX', ARGV[3])
  end
elseif redis.call('EXISTS', KEYS[1]) == 1 then
  now = now + 1 / math.max(1, now)
  if now >= limit then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], tostring(now), 'EX', ARGV[3]) end
end
return math.max(1, math.floor(math.min(now, limit)))
"""


@dataclass(slots=True)
class Slot:
    """Leave for one call. It ends with its lease, whatever the holder believes: calls must be shorter, or renew."""

    project_id: int
    provider: str
    limit: int
    token: str
    lease_seconds: float

    def renew(self) -> bool:
        """Start the lease anew; False when it had run out, and somebody else may have the room."""
        return bool(_run(_RENEW, [_keys(self.project_id, self.provider)[0]], [self.token, _ms(self.lease_seconds)]))


@contextmanager
def slot(
    *, project_id: int, provider: str, limit: int, lease_seconds: float = 120.0, wait_seconds: float = 60.0
) -> Iterator[Slot]:
    """Hold one of at most `limit` slots, waiting for it in order of arrival, at most `wait_seconds`.

    What the body ends with moves the limit: an error whose `cause` is `rate_limited` halves it, none raises it.
    Raises a transient `OutboundFailed` when no slot came free, or without Redis.
    """
    held = Slot(project_id, provider, limit, uuid.uuid4().hex, lease_seconds)
    _wait(held, wait_seconds)
    try:
        yield held
    except BaseException as error:
        if getattr(error, "cause", None) == "rate_limited" and is_transient(error):
            _quietly(lambda: report(project_id=project_id, provider=provider, limit=limit, rate_limited=True))
        raise
    else:
        _quietly(lambda: report(project_id=project_id, provider=provider, limit=limit, rate_limited=False))
    finally:
        _quietly(lambda: _client().zrem(_keys(project_id, provider)[0], held.token))


def report(*, project_id: int, provider: str, limit: int, rate_limited: bool) -> int:
    """Note how a call ended; returns the limit now in force."""
    *_, adapted, halved = _keys(project_id, provider)
    outcome = "limited" if rate_limited else "ok"
    arguments = [max(1, limit), outcome, ADAPTED_FOR_SECONDS, _ms(HALVED_AT_MOST_EVERY_SECONDS)]
    return int(_run(_ADAPT, [adapted, halved], arguments))


def in_use(*, project_id: int, provider: str) -> int:
    """How many slots are held now."""
    seconds, micro = _client().time()
    now = seconds * 1000 + micro // 1000
    return _client().zcount(_keys(project_id, provider)[0], f"({now}", "+inf")


def _wait(wanted: Slot, wait_seconds: float) -> None:
    *keys, _ = _keys(wanted.project_id, wanted.provider)
    arguments = [
        wanted.token,
        max(1, wanted.limit),
        _ms(wanted.lease_seconds),
        _ms(_WAITER_FORGOTTEN_AFTER_SECONDS),
    ]
    until = time.monotonic() + wait_seconds
    pause = _SHORTEST_POLL
    while True:
        try:
            taken, limit, rank = _run(_TAKE, keys, arguments)
        except redis.RedisError:
            raise OutboundFailed(
                "The limits of providers are kept in Redis, which cannot be reached.",
                cause="connection",
                is_transient=True,
            ) from None
        if taken:
            return
        left = until - time.monotonic()
        if left <= 0:
            _quietly(lambda: _client().zrem(keys[1], wanted.token))
            raise OutboundFailed(
                f"All {limit} slots of provider {wanted.provider!r} were in use for {wait_seconds:g} seconds.",
                cause="rate_limited",
                is_transient=True,
                field="provider",
                value=wanted.provider,
            )
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - jitter
        # Whoever is next looks often, so that a slot that comes free is not idle for long.
        pause = min(_NEXT_POLL if rank < limit else _LONGEST_POLL, pause * 1.5)


def _keys(project_id: int, provider: str) -> list[str]:
    """One hash tag for all of them: a script may touch the keys of one node only."""
    stem = f"hhweb:outbound:{{{project_id}:{provider}}}"
    return [f"{stem}:{name}" for name in ("holders", "waiting", "seen", "arrivals", "limit", "halved")]


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


@functools.lru_cache(maxsize=4)
def _connect(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, health_check_interval=30)


def _client() -> "redis.Redis":
    return _connect(settings.REDIS_URL)


def _run(script: str, keys: list[str], arguments: list[Any]) -> Any:
    return _client().eval(script, len(keys), *keys, *arguments)


def _quietly(call: Any) -> None:
    """What the lease or the limit's expiry heals anyway must not hide how the call itself ended."""
    try:
        call()
    except redis.RedisError:
        return
