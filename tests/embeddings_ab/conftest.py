"""Fixtures of the A/B product's tests."""

import pytest

from tests.embeddings_ab.pipeline import Jobs


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The background jobs, run by hand."""
    return Jobs(monkeypatch)
