"""Fixtures of the A/B product's tests."""

import pytest


@pytest.fixture
def jobs(monkeypatch):
    """The background jobs, run by hand."""
    from tests.embeddings_ab.pipeline import Jobs  # loads models, which need settings

    return Jobs(monkeypatch)
