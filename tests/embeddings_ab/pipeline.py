"""Runs the background jobs of A/B tests in this process, in the order in which they were sent."""

from collections import deque
from typing import Any

import pytest

from embeddings_ab import dispatch
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.spec_errors import read_spec
from embeddings_ab.models import AbTest, Corpus, QuerySet
from embeddings_ab.services.ab_tests import create_test, start_test
from embeddings_ab.tasks import ab_tests, collections
from governance.domain.caller import Caller

JOBS = {
    dispatch.ADVANCE_TEST: ab_tests.advance_test,
    dispatch.PREPARE_ARM: ab_tests.prepare_arm,
    dispatch.RUN_ARM: ab_tests.run_arm,
    dispatch.DECIDE_TEST: ab_tests.decide_test,
    dispatch.RUN_TUNING: ab_tests.run_tuning,
    dispatch.BUILD_COLLECTION: collections.build_collection,
    dispatch.DELETE_COLLECTION: collections.delete_collection,
}


class Jobs:
    """The queue: what dispatch sends lands here after commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: deque[tuple[str, int]] = deque()
        monkeypatch.setattr("governance.dispatch._send", lambda task, pk, _: self.waiting.append((task, pk)))

    def run_one(self) -> str:
        """The oldest message; its name."""
        task, pk = self.waiting.popleft()
        JOBS[task](pk)
        return task

    def run(self, *, until: str = "", most: int = 500) -> None:
        """All messages and those they send; with `until`, stop before the first of that name."""
        for _ in range(most):
            if not self.waiting or self.waiting[0][0] == until:
                return
            self.run_one()
        raise AssertionError(f"the jobs do not come to an end: {list(self.waiting)[:5]}")


ARMS: dict[str, Any] = {
    "lexical": {"retrieval": "lexical"},
    "vector": {"retrieval": "vector", "provider": "synthetic", "dimensions": 64},
    "hybrid": {"retrieval": "hybrid", "provider": "synthetic", "dimensions": 64},
}


def spec_of(corpus: Corpus, query_set: QuerySet, **changes: Any) -> TestSpec:
    """A specification over three arms, with few draws; `changes` replace top-level keys."""
    written: dict[str, Any] = {
        "name": "a test",
        "corpus": str(corpus),
        "query_set": str(query_set),
        "metrics": ["nDCG@3", "R@2", "MRR@3"],
        "arms": ARMS,
        "draws": 1000,
    }
    return read_spec({**written, **changes})


def started(caller: Caller, corpus: Corpus, query_set: QuerySet, **changes: Any) -> AbTest:
    """A test, created and started; run the jobs to see it end."""
    test = create_test(caller=caller, spec=spec_of(corpus, query_set, **changes))
    return start_test(caller=caller, test_id=test.public_id)
