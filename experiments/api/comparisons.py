"""`/api/v1/runs/{new}/compare/{old}`"""

import math

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.comparison_shapes import RunComparisonOut
from experiments.domain.aggregation import AGGREGATES, DEFAULT_AGGREGATE
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

DEFAULT_CONFIDENCE = 0.95
LOWEST, HIGHEST = 0.5, 0.999  # of confidence; 10,000 resamples say nothing of rarer things
MOST_MARGINS = 100
_KNOWN = ("aggregate_function", "confidence", "margin")


class RunComparison(ProjectView):
    """Two runs side by side."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="compare_runs",
        summary="Compare two runs with paired statistics over their common datapoints",
        parameters=[
            OpenApiParameter(
                "confidence",
                OpenApiTypes.DOUBLE,
                default=DEFAULT_CONFIDENCE,
                description=f"Level of the intervals, {LOWEST} to {HIGHEST}; verdicts use alpha = 1 − confidence.",
            ),
            OpenApiParameter(
                "margin",
                str,
                many=True,
                description="metric=number: a difference that does not matter. Once for each metric.",
            ),
            OpenApiParameter(
                "aggregate_function",
                str,
                enum=list(AGGREGATES),
                default=DEFAULT_AGGREGATE,
                description="Of the aggregates; statistics are always of means.",
            ),
        ],
        responses=RunComparisonOut,
    )
    def get(self, request: Request, new: str, old: str) -> Response:
        # numpy and scipy, which nothing at rest loads.
        from experiments.selectors.paired_comparison import compare_runs_statistically

        for name in request.query_params:
            if name not in _KNOWN:
                raise InvalidInput(
                    f"Query parameter {name[:80]!r} is unknown here; use one of {', '.join(_KNOWN)}.", field=name[:200]
                )
        found = compare_runs_statistically(
            caller=caller_of(request),
            new=new,
            old=old,
            confidence=_confidence(request),
            margins=_margins(request),
            aggregate_function=request.query_params.get("aggregate_function", ""),
        )
        return Response(found.to_json())


def _confidence(request: Request) -> float:
    text = request.query_params.get("confidence") or str(DEFAULT_CONFIDENCE)
    number = _number(text)
    if number is None or not LOWEST <= number <= HIGHEST:
        raise InvalidInput(
            f"Query parameter 'confidence' is {text[:40]!r}; give a number from {LOWEST} to {HIGHEST}, like 0.95.",
            field="confidence",
            value=text[:200],
        )
    return number


def _margins(request: Request) -> dict[str, float]:
    margins: dict[str, float] = {}
    for text in request.query_params.getlist("margin"):
        metric, _, value = text.rpartition("=")
        number = _number(value)
        if not metric or metric in margins or number is None or number <= 0 or len(margins) == MOST_MARGINS:
            raise InvalidInput(
                f"Query parameter 'margin' is {text[:80]!r}; give metric=number with a number above 0, once for each "
                f"of at most {MOST_MARGINS} metrics.",
                field="margin",
                value=text[:200],
            )
        margins[metric] = number
    return margins


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
