"""A registry of its own for each test."""

import pytest

from experiments.sdk.evaluators import registry


@pytest.fixture(autouse=True)
def own_registry():
    """What a test registers is gone after it."""
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
