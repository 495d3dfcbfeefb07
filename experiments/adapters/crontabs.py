"""Reads crontab lines with the parsers of those who run them: celery's, and the stricter one of beat's table."""

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from celery.schedules import ParseException, crontab
from django.core.exceptions import ValidationError
from django_celery_beat import validators

from experiments.domain.crontab import Rhythm
from governance.domain.errors import InvalidInput

LONGEST_LINE = 120
# Name, celery's word, validator and room in beat's table, examples.
_FIELDS = (
    ("minute", "minute", validators.minute_validator, 240, "0 to 59, *, */15, 0,30 or 10-20"),
    ("hour", "hour", validators.hour_validator, 96, "0 to 23, *, */6, 8,20 or 9-17"),
    ("day of month", "day_of_month", validators.day_of_month_validator, 124, "1 to 31, *, 1,15 or 1-7"),
    ("month", "month_of_year", validators.month_of_year_validator, 64, "1 to 12, * or 1,7"),
    ("day of week", "day_of_week", validators.day_of_week_validator, 64, "0 (Sunday) to 6, *, 1-5 or 6,0"),
)


@lru_cache(maxsize=1024)
def read_crontab(line: str, timezone: str) -> Rhythm:
    """The line as sets of numbers; `InvalidInput` naming `crontab` or `timezone`. Some day it is due."""
    parts = line.split()
    if len(line) > LONGEST_LINE:
        raise _refused(line, f"it has {len(line)} characters; shorten it to {LONGEST_LINE}.")
    if len(parts) != 5:
        raise _refused(
            line,
            f"it has {len(parts)} parts; give five: minute, hour, day of month, month, day of week. "
            "'0 2 * * *' is every night at two.",
        )
    for (name, word, validator, room, examples), part in zip(_FIELDS, parts, strict=True):
        try:
            validator(part)
            crontab(**{word: part})
        except (ValidationError, ParseException, ValueError):
            raise _refused(line, f"{part[:40]!r} is no {name}. Give {examples}.") from None
        if len(part) > room:
            raise _refused(line, f"the {name} has {len(part)} characters; shorten it to {room}.")
    try:
        parsed = crontab(**{word: part for (_, word, *_), part in zip(_FIELDS, parts, strict=True)})
    except ValueError:
        raise _refused(line, "no month that it names has a day that it names, so it is never due.") from None
    minutes, hours, days, months, weekdays = (frozenset(getattr(parsed, word)) for _, word, *_ in _FIELDS)
    return Rhythm(minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays, zone=_zone(timezone))


def _zone(name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise InvalidInput(
            f"Field 'timezone': {name[:80]!r} is no time zone. Give a name such as 'UTC' or 'Europe/Vienna'.",
            field="timezone",
            value=name[:200],
        )
    return ZoneInfo(name)


def _refused(line: str, why: str) -> InvalidInput:
    return InvalidInput(f"Field 'crontab': {line[:120]!r}: {why}", field="crontab", value=line[:200])
