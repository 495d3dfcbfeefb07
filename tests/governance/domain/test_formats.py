"""How numbers, times and ids read."""

import datetime as dt
import math

import pytest

from governance.domain import formats

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4124, "0.412"),
        (0, "0.000"),
        (-0.0081, "−0.008"),
        (-0.0001, "0.000"),
        (812.4, "812.4"),
        (12345.67, "12,345.7"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (1, "1.000"),
    ],
)
def test_score(value: float | None, text: str) -> None:
    assert formats.score(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.034, "+0.034"), (-0.008, "−0.008"), (0, "0.000"), (0.0001, "0.000")])
def test_difference_has_its_sign(value: float, text: str) -> None:
    assert formats.difference(value) == text


def test_rate_of_nothing_is_undefined() -> None:
    assert formats.rate(161, 225) == "71.6 %"
    assert formats.rate(0, 0) == "–"
    assert formats.rate(0, 5) == "0.0 %"
    assert formats.rate(None, 5) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1240, "1,240"),
        (99999, "99,999"),
        (124400, "124 k"),
        (5120000, "5.1 M"),
        (2000000000, "2.0 G"),
        (None, "–"),
        (-1240, "−1,240"),
    ],
)
def test_count(value: int | None, text: str) -> None:
    assert formats.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (4.25, "4.2 ms"),
        (812.3, "812 ms"),
        (999.6, "1.00 s"),
        (1840, "1.84 s"),
        (252000, "4 min 12 s"),
        (9000000, "2 h 30 min"),
        (None, "–"),
        (-1, "–"),
        (math.nan, "–"),
    ],
)
def test_latency(value: float | None, text: str) -> None:
    assert formats.latency(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12.4, "$12.40"), (0.0041, "$0.0041"), (0, "$0.00"), (None, "no price"), (1234, "$1,234.00")]
)
def test_money(value: float | None, text: str) -> None:
    assert formats.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (2_200_000, "2.2 MB"), (1500, "1.5 kB"), (3 * 10**12, "3.0 TB"), (None, "–")]
)
def test_size(value: int | None, text: str) -> None:
    assert formats.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (59.9, "59 s ago"),
        (720, "12 min ago"),
        (7200, "2 h ago"),
        (3 * 86400, "3 d ago"),
        (8 * 86400, "2026-11-13"),
        (-7200, "in 2 h"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert formats.ago(NOW - dt.timedelta(seconds=seconds), NOW) == text


def test_undefined_times() -> None:
    assert formats.ago(None, NOW) == "–"
    assert formats.utc(None) == "–"
    assert formats.utc(NOW) == "2026-11-21 12:00:00 UTC"


def test_ids_are_shortened_in_the_middle() -> None:
    assert formats.short_id("0123456789abcdef") == "0123456789abcdef"
    assert formats.short_id("0123456789abcdefg") == "01234567…defg"


def test_words_and_previews() -> None:
    assert formats.plural(1, "event") == "1 event"
    assert formats.plural(2, "entry", "entries") == "2 entries"
    assert formats.exact(None) == "–"
    assert formats.preview({"question": "a\n b"}) == "a b"
    assert formats.preview({"a": 1, "b": "é"}) == '{"a": 1, "b": "é"}'
    assert formats.preview({}) == "–"
    assert formats.preview("x" * 20, 10) == "xxxxxxxxx…"
    assert formats.pretty_json({"a": 1}) == '{\n  "a": 1\n}'
    assert formats.pretty_json("x" * 20, 10).endswith("12 more characters, not shown")
    assert formats.metric_value(None) == "–"
    assert formats.metric_value(1.0, is_boolean=True) == "true"
    assert formats.metric_value(0.0, is_boolean=True) == "false"
    assert formats.metric_value(1240.0) == "1,240"
    assert formats.metric_value(1.0) == "1.000"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0031, "0.003"), (0.0009, "<0.001"), (0.0, "<0.001"), (1.0, "1.000"), (None, "–")]
)
def test_p_values_are_never_plain_zero(value: float | None, text: str) -> None:
    assert formats.p_value(value) == text


def test_narrow_intervals_get_more_decimals_and_signs_when_asked() -> None:
    assert formats.decimals_for(0.1, 0.2) == 3
    assert formats.decimals_for(0.10001, 0.10009) == 5
    assert formats.decimals_for(None, 0.2) == 3
    assert formats.interval(-0.0212, 0.0051, signed=True) == "[−0.021, +0.005]"
    assert formats.interval(0.386, 0.438) == "[0.386, 0.438]"
    assert formats.interval(None, 0.4) == ""


def test_shares_read_as_percent() -> None:
    assert formats.percent(0.7156) == "71.6 %"
    assert formats.percent(None) == "–"
    assert formats.percents(0.653, 0.7712) == "[65.3, 77.1]"
    assert formats.percents(None, None) == ""
