"""The database's clock, which every lease is measured by: processes on other machines disagree about time."""

import datetime as dt

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


def from_now(delta: dt.timedelta) -> Combinable:
    """An expression: the database's present time plus `delta` (negative: in the past)."""
    return ExpressionWrapper(Now() + Value(delta, output_field=DurationField()), output_field=DateTimeField())
