"""Filters that the native API's lists share."""

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import IsoDateTimeFilter


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    """A time in UTC; near the years 1 and 9999 some time zones have times that UTC, and SQLite, have no word for."""

    def clean(self, value: Any) -> dt.datetime | None:
        moment: dt.datetime | None = super().clean(value)
        try:
            return None if moment is None else moment.astimezone(dt.UTC)
        except OverflowError:
            raise ValidationError("This is no time of the years 1 to 9999 in UTC.") from None


class MomentFilter(IsoDateTimeFilter):  # type: ignore[misc]
    """ISO 8601 with a zone, compared in UTC."""

    field_class = MomentField
