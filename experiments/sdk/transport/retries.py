"""How long to wait before a request is sent again, and when to stop: one policy for all requests of the SDK.

Exponential backoff with full jitter after M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` requests within `give_up_after_seconds`; what a server asks for by Retry-After wins."""

    attempts: int = 6
    first_delay_seconds: float = 0.25
    longest_delay_seconds: float = 8.0
    give_up_after_seconds: float = 30.0

    def delay(self, attempt: int, retry_after: float | None = None, rng: random.Random | None = None) -> float:
        """Seconds to wait after `attempt` failed requests (1 is the first).

        Uniform between nothing and min(longest, first · 2^(attempt − 1)). With `retry_after` (seconds) it is at least
        that, plus a little jitter, as everybody was told the same moment.
        """
        ceiling = min(self.longest_delay_seconds, self.first_delay_seconds * 2.0 ** min(max(attempt, 1) - 1, 30))
        jitter = (rng or _shared).uniform(0.0, ceiling)
        if retry_after is None:
            return jitter
        return max(retry_after, 0.0) + min(jitter, max(retry_after, 0.0) * 0.1)


_shared = random.Random()  # noqa: S311 - jitter
ONCE = RetryPolicy(attempts=1)
