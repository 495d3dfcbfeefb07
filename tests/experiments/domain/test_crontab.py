"""Turns of crontab lines over changes of the clocks, and lines that nobody can mean."""

import datetime as dt
import itertools

import pytest

from experiments.adapters.crontabs import read_crontab
from experiments.domain.crontab import in_words, next_after
from governance.domain.errors import InvalidInput


def turns(line, zone, since, count):
    """The first turns after a moment (UTC), as UTC."""
    rhythm, moment = read_crontab(line, zone), dt.datetime.fromisoformat(since).replace(tzinfo=dt.UTC)
    found = []
    for _ in range(count):
        moment = next_after(rhythm, moment)
        found.append(f"{moment:%Y-%m-%d %H:%M}")
    return found


def test_a_time_that_clocks_leave_out_comes_as_much_later_and_only_that_day() -> None:
    # Europe/Vienna, 29 March 2026: 02:00 becomes 03:00.
    assert turns("30 2 * * *", "Europe/Vienna", "2026-03-27 12:00", 3) == [
        "2026-03-28 01:30",
        "2026-03-29 01:30",  # 03:30 on the wall
        "2026-03-30 00:30",
    ]


def test_a_time_that_clocks_show_twice_comes_once() -> None:
    # 25 October 2026: 03:00 becomes 02:00.
    assert turns("30 2 * * *", "Europe/Vienna", "2026-10-23 12:00", 3) == [
        "2026-10-24 00:30",
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_every_quarter_of_an_hour_runs_on_through_both_changes() -> None:
    spring = turns("*/15 * * * *", "Europe/Vienna", "2026-03-29 00:30", 4)
    assert spring == ["2026-03-29 00:45", "2026-03-29 01:00", "2026-03-29 01:15", "2026-03-29 01:30"]
    autumn = turns("0 * * * *", "Europe/Vienna", "2026-10-24 23:30", 4)
    assert autumn == ["2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00", "2026-10-25 03:00"]


def test_midnight_that_clocks_leave_out_comes_an_hour_later() -> None:
    # America/Havana, 8 March 2026: 00:00 becomes 01:00.
    assert turns("0 0 * * *", "America/Havana", "2026-03-07 12:00", 2) == ["2026-03-08 05:00", "2026-03-09 04:00"]


def test_changes_of_half_an_hour_count_too() -> None:
    # Australia/Lord_Howe, 4 October 2026: 02:00 becomes 02:30.
    assert turns("15 2 * * *", "Australia/Lord_Howe", "2026-10-02 20:00", 2) == ["2026-10-03 15:45", "2026-10-04 15:15"]


def test_turns_of_fixed_times_grow_and_come_once_a_day_for_two_years() -> None:
    found = turns("30 2 * * *", "America/New_York", "2026-01-01 00:00", 730)
    assert found == sorted(set(found))
    days = {dt.datetime.fromisoformat(each).date() for each in found}
    assert len(days) == 730
    gaps = {
        (dt.datetime.fromisoformat(b) - dt.datetime.fromisoformat(a)).total_seconds() / 3600
        for a, b in itertools.pairwise(found)
    }
    assert gaps == {23.0, 24.0, 25.0}


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("0 2 * * *", "2026-11-22 02:00"),
        ("30 18 * * *", "2026-11-21 18:30"),
        ("0 2 * * 1-5", "2026-11-23 02:00"),
        ("0 2 * * 0", "2026-11-22 02:00"),
        ("0 2 1 * *", "2026-12-01 02:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 29 2 1", "2044-02-29 00:00"),  # both must fit
        ("0 9-17/4 * * *", "2026-11-22 09:00"),
        ("59 23 31 12 *", "2026-12-31 23:59"),
    ],
)
def test_the_next_turn_of_a_line(line, first) -> None:
    assert turns(line, "UTC", "2026-11-21 18:00", 1) == [first]


def test_a_turn_is_after_the_moment_not_at_it() -> None:
    assert turns("0 2 * * *", "UTC", "2026-11-22 02:00", 1) == ["2026-11-23 02:00"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "five"),
        ("0 2 * *", "five"),
        ("0 2 * * * *", "five"),
        ("60 2 * * *", "'60' is no minute. Give 0 to 59"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 2 0 * *", "'0' is no day of month"),
        ("0 2 * 13 *", "'13' is no month"),
        ("0 2 * * 8", "'8' is no day of week"),
        ("mon 2 * * *", "'mon' is no minute"),
        ("*/0 2 * * *", "no minute"),
        ("1, 2 * * *", "no minute"),
        ("@daily", "five"),
        ("0 2 30 2 *", "never due"),
        ("0 2 * * 1#2", "no day of week"),
        ("0 2 L * *", "no day of month"),
        (f"{','.join(map(str, range(60)))} 2 * * *", "shorten it to 120"),
        ("0 " + ",".join(["1"] * 50) + " * * *", "the hour has 99 characters"),
    ],
)
def test_lines_that_are_none_are_refused_by_their_part(line, said) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_crontab(line, "UTC")
    assert refused.value.details["field"] == "crontab"
    assert said in refused.value.message


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "../etc/passwd", "CEST+", "\x00"])
def test_unknown_time_zones_are_refused(zone) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_crontab("0 2 * * *", zone)
    assert refused.value.details["field"] == "timezone"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 2 * * *", "Every day at 02:00 Europe/Vienna"),
        ("*/15 * * * *", "Every 15 minutes Europe/Vienna"),
        ("0 14 * * 1-5", "At 14:00, Monday through Friday Europe/Vienna"),
        ("0 14 * * 0", "At 14:00, only on Sunday Europe/Vienna"),
    ],
)
def test_a_line_in_words(line, words) -> None:
    assert in_words(line, "Europe/Vienna") == words
