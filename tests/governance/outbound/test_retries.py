"""The one retry policy: bounds, repeatability, and what Retry-After may say."""

import datetime as dt

import pytest

from governance.domain.retry_after import retry_after_seconds
from governance.outbound.errors import OutboundFailed, OutboundRefused
from governance.outbound.retries import delay_before, is_transient

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(("attempt", "ceiling"), [(0, 0.5), (1, 0.5), (2, 1), (3, 2), (5, 8), (8, 60), (10_000, 60)])
def test_delays_grow_to_a_ceiling_and_use_all_of_it(attempt, ceiling):
    drawn = [delay_before(attempt, seed=seed) for seed in range(400)]
    assert 0 <= min(drawn) < ceiling * 0.05
    assert ceiling * 0.95 < max(drawn) <= ceiling
    assert abs(sum(drawn) / len(drawn) - ceiling / 2) < ceiling * 0.06


def test_a_delay_can_be_repeated_and_differs_by_seed_and_attempt():
    assert delay_before(4, seed=7) == delay_before(4, seed=7)
    assert len({delay_before(4, seed=7), delay_before(4, seed=8), delay_before(5, seed=7)}) == 3


@pytest.mark.parametrize(("asked", "least", "most"), [(20.0, 20, 23), (0.0, 0, 1), (-5.0, 0, 1), (1e9, 600, 661)])
def test_what_the_other_side_asks_for_is_a_lower_bound_within_reason(asked, least, most):
    drawn = [delay_before(9, retry_after=asked, seed=seed) for seed in range(200)]
    assert least <= min(drawn) < max(drawn) <= most


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Saturday, 21-Nov-26 12:00:30 GMT", 30.0),
        ("Sat Nov 21 12:00:30 2026", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
        ("9" * 65, None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_seconds(value, now=NOW) == seconds


def test_only_what_says_so_can_heal():
    assert is_transient(OutboundFailed("x", cause="timeout", is_transient=True))
    assert not is_transient(OutboundFailed("x", cause="client_error", is_transient=False))
    assert not is_transient(OutboundRefused("x"))
    assert not is_transient(ValueError("x"))
