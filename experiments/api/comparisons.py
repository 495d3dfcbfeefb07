"""`/api/v1/runs/{new}/compare/{old}`"""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from experiments.api.comparison_shapes import RunComparisonOut
from experiments.api.kept_answers import answered
from experiments.domain.aggregation import AGGREGATES, DEFAULT_AGGREGATE
from experiments.domain.comparison_options import (
    CORRECTIONS,
    DEFAULT_CONFIDENCE,
    HIGHEST,
    LOWEST,
    MISSING,
    PARAMETERS,
    options_from,
    refuse_unknown,
)
from experiments.services.comparison_answers import comparison_question
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action

CONFIDENCE = OpenApiParameter(
    "confidence",
    OpenApiTypes.DOUBLE,
    default=DEFAULT_CONFIDENCE,
    description=f"Level of the intervals, {LOWEST} to {HIGHEST}; verdicts use alpha = 1 − confidence.",
)
_SAME_FOR_TWO_AND_MANY = [
    CONFIDENCE,
    OpenApiParameter("metric", str, many=True, description="Compare these metrics only, by name."),
    OpenApiParameter("primary", str, description="Name of the metric that counts most."),
    OpenApiParameter(
        "margin", str, many=True, description="metric=number: a difference that does not matter. Once for each metric."
    ),
    OpenApiParameter("noninferiority", str, many=True, description="metric=number: a loss that can be borne."),
    OpenApiParameter(
        "effect", str, many=True, description="metric=number: the difference worth finding, for the datapoints needed."
    ),
    OpenApiParameter("bounds", str, many=True, description="metric=low:high: least and greatest value."),
    OpenApiParameter(
        "missing",
        str,
        enum=MISSING,
        default=MISSING[0],
        description="What a failed datapoint counts as: nothing, or the worst bound of the metric.",
    ),
    OpenApiParameter("cluster", str, description="Key of datapoints that belong together, like metadata.topic."),
]
MANY_PARAMETERS = _SAME_FOR_TWO_AND_MANY
TWO_PARAMETERS = [
    *_SAME_FOR_TWO_AND_MANY,
    OpenApiParameter(
        "correction", str, enum=CORRECTIONS, default=CORRECTIONS[0], description="Over the metrics; it decides."
    ),
    OpenApiParameter("slice_by", str, description="Key of slices, like metadata.language."),
    OpenApiParameter("slice_metric", str, description="Metric compared within slices; the primary one by default."),
    OpenApiParameter(
        "aggregate_function",
        str,
        enum=list(AGGREGATES),
        default=DEFAULT_AGGREGATE,
        description="Of the aggregates; statistics are always of means.",
    ),
]


class RunComparison(ProjectView):
    """Two runs side by side."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="compare_runs",
        summary="Compare two runs with paired statistics over their common datapoints",
        parameters=TWO_PARAMETERS,
        responses=RunComparisonOut,
    )
    def get(self, request: Request, new: str, old: str) -> HttpResponse:
        refuse_unknown(list(request.query_params), PARAMETERS)
        question = comparison_question(
            caller=caller_of(request), new=new, old=old, options=options_from(request.query_params)
        )
        return answered(request, question)
