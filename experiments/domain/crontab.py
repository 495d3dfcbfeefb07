"""When a crontab line is due: its next moment in a time zone, right over changes of the clocks, and in words."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options

# 29 February on one weekday comes every 28 years, and twelve years later over a century without a leap year.
_DAYS_AHEAD = 41 * 366
_MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A crontab line as sets of numbers. A day is due when day of month, month and weekday (0 is Sunday) all fit."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    zone: ZoneInfo


def next_after(rhythm: Rhythm, moment: dt.datetime) -> dt.datetime | None:
    """The first due moment (UTC) after `moment` (aware); None when none comes within forty years.

    A line that names hours means the clock on the wall, once a day for each time it names: a time that clocks leave
    out when they go forward comes as much later (02:30 as 03:30), one that they show twice comes the first time.
    A line for every hour runs on through both changes.
    """
    today = moment.astimezone(rhythm.zone).date()
    # A time left out may have moved past midnight.
    for ahead in range(-1, _DAYS_AHEAD):
        day = today + dt.timedelta(days=ahead)
        if day.month in rhythm.months and day.day in rhythm.days and day.isoweekday() % 7 in rhythm.weekdays:
            due = min((each for each in _moments(rhythm, day) if each > moment), default=None)
            if due is not None:
                return due
    return None


def _moments(rhythm: Rhythm, day: dt.date) -> Iterator[dt.datetime]:
    """The due moments of a day (UTC)."""
    if len(rhythm.hours) < 24:
        for hour in rhythm.hours:
            for minute in rhythm.minutes:
                yield dt.datetime.combine(day, dt.time(hour, minute), tzinfo=rhythm.zone).astimezone(dt.UTC)
        return
    moment = dt.datetime.combine(day, dt.time(), tzinfo=rhythm.zone).astimezone(dt.UTC)
    while (local := moment.astimezone(rhythm.zone)).date() <= day:
        if local.minute in rhythm.minutes and local.date() == day:
            yield moment
        moment += _MINUTE


@lru_cache(maxsize=256)
def in_words(crontab: str, timezone: str) -> str:
    """A valid crontab line for people: "Every day at 02:00 Europe/Vienna"."""
    options = Options()
    options.use_24hour_time_format = True
    said = ExpressionDescriptor(crontab, options).get_description()
    if said.startswith("At ") and crontab.split()[2:] == ["*", "*", "*"]:
        said = f"Every day a{said[1:]}"
    return f"{said} {timezone}"
