"""`/api/v1/runs/{new}/compare/{old}…`: two runs compared, over all datapoints and one by one."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.comparison_shapes import RunComparisonOut
from experiments.api.kept_answers import answered
from experiments.api.many_runs_shapes import DatapointsInBothOut, SideBySideOut
from experiments.domain.aggregation import AGGREGATES, DEFAULT_AGGREGATE
from experiments.domain.comparison_options import (
    CORRECTIONS,
    DEFAULT_CONFIDENCE,
    HIGHEST,
    LOWEST,
    MISSING,
    PARAMETERS,
    one_of,
    options_from,
    refuse_unknown,
    short_text,
    whole_number,
)
from experiments.selectors.compared_datapoints import OUTCOMES, DatapointQuery, compared_datapoints
from experiments.selectors.side_by_side import side_by_side
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
MANY_PARAMETERS = [
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
TWO_PARAMETERS = [
    *MANY_PARAMETERS,
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


class ComparedDatapoints(ProjectView):
    """Datapoints of two runs, one by one."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="list_compared_datapoints",
        summary="List the datapoints of two runs on one metric, the biggest movers first",
        parameters=[
            OpenApiParameter("metric", str, description="By name; the primary metric by default."),
            OpenApiParameter("event_name", str, description="Of the event that carries the metric."),
            OpenApiParameter("outcome", str, enum=OUTCOMES, description="Of the new run."),
            OpenApiParameter("text", str, description="In the datapoint's id, inputs or outputs."),
            OpenApiParameter("page", int, default=1),
            OpenApiParameter("limit", int, default=50, description="At most 500."),
        ],
        responses=DatapointsInBothOut,
    )
    def get(self, request: Request, new: str, old: str) -> Response:
        query = request.query_params
        refuse_unknown(list(query), ("metric", "event_name", "outcome", "text", "page", "limit"))
        found = compared_datapoints(
            caller=caller_of(request),
            new=new,
            old=old,
            query=DatapointQuery(
                metric=short_text(query, "metric"),
                event_name=short_text(query, "event_name", 1_000),
                outcome=one_of(query, "outcome", OUTCOMES),
                text=short_text(query, "text", 1_000),
                page=whole_number(query, "page", default=1, most=1_000_000),
                limit=whole_number(query, "limit", default=50, most=500),
            ),
        )
        page, limit, total = (found.pop(name) for name in ("page", "limit", "total"))
        pages = -(-total // limit)
        place = {"page": page, "limit": limit, "total": total, "total_pages": pages}
        found["results"] = found.pop("datapoints")
        return Response({**found, "pagination": {**place, "has_next": page < pages, "has_prev": page > 1}})


class ComparedDatapoint(ProjectView):
    """One datapoint in two runs."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="compare_datapoint",
        summary="Show what two runs answered to one datapoint, and what differs",
        parameters=[
            OpenApiParameter("old_session", str, description="Execution of the old run; the first by default."),
            OpenApiParameter("new_session", str, description="Execution of the new run; the first by default."),
        ],
        responses=SideBySideOut,
    )
    def get(self, request: Request, new: str, old: str, datapoint_id: str) -> Response:
        query = request.query_params
        refuse_unknown(list(query), ("old_session", "new_session"))
        found = side_by_side(
            caller=caller_of(request),
            new=new,
            old=old,
            datapoint_id=datapoint_id,
            old_session=short_text(query, "old_session"),
            new_session=short_text(query, "new_session"),
        )
        return Response(found)
