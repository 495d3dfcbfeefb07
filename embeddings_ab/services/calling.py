"""Calls about one query: tried again a few times at once, because a whole arm need not wait for one hiccup."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from embeddings_ab.domain.provider_errors import ProviderFailed
from governance.outbound.retries import delay_before

T = TypeVar("T")
MOST_TRIES = 3
LONGEST_WAIT = 5.0


def with_retries(call: Callable[[], T]) -> T:
    """The answer, after at most three tries for what can heal. Raises the last `ProviderFailed`."""
    for attempt in range(1, MOST_TRIES + 1):
        try:
            return call()
        except ProviderFailed as error:
            if not error.is_transient or attempt == MOST_TRIES:
                raise
            seed = random.randrange(2**31)  # noqa: S311 - jitter
            time.sleep(min(delay_before(attempt, retry_after=error.retry_after_seconds, seed=seed), LONGEST_WAIT))
    raise AssertionError("unreachable")
