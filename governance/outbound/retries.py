"""The one retry policy of outbound calls: what can heal, and how long to wait.

Exponential backoff with full jitter after M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 60.0
# An endpoint may ask for more than our own ceiling, but not to be forgotten.
LONGEST_RETRY_AFTER_SECONDS = 600.0

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


def delay_before(
    attempt: int,
    *,
    retry_after: float | None = None,
    seed: int | str,
    first: float = FIRST_DELAY_SECONDS,
    longest: float = LONGEST_DELAY_SECONDS,
) -> float:
    """Seconds to wait before trying again after `attempt` tries (1 is the first).

    Uniform between nothing and min(longest, first · 2^(attempt − 1)), drawn from `seed` and `attempt`, so that it can
    be repeated; `retry_after` is a lower bound on top of which the jitter is added, capped at ten minutes.
    """
    ceiling = min(longest, first * 2.0 ** min(max(attempt, 1) - 1, 30))
    jitter = random.Random(f"{seed}:{attempt}").uniform(0.0, ceiling)  # noqa: S311 - jitter
    if retry_after is None:
        return jitter
    asked = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)
    # Everybody was told the same moment: a part of the jitter keeps them from coming back as one.
    return asked + min(jitter, 1.0 + asked * 0.1)


def is_transient(error: BaseException) -> bool:
    """Whether trying again can heal it; what does not say so cannot."""
    return bool(getattr(error, "is_transient", False))
