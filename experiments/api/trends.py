"""`/api/v1/trends`: a metric over runs."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.comparisons import CONFIDENCE
from experiments.api.many_runs_shapes import TrendOut
from experiments.domain.comparison_options import (
    MOST_TREND_RUNS,
    confidence_from,
    refuse_unknown,
    short_text,
    whole_number,
)
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

_KNOWN = ("metric", "event_name", "name_prefix", "dataset", "tag", "schedule", "limit", "confidence")


class Trend(ProjectView):
    """A metric over completed runs."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="show_trend",
        summary="Show a metric over runs with intervals, and where its level changed",
        parameters=[
            OpenApiParameter("metric", str, required=True),
            OpenApiParameter("event_name", str, description="Of the event that carries the metric."),
            OpenApiParameter("name_prefix", str, description="How the runs' names begin."),
            OpenApiParameter("dataset", str, description="Id of a managed or an external dataset."),
            OpenApiParameter("tag", str, description="In the runs' metadata.tags."),
            OpenApiParameter("schedule", str, description="Id of the schedule that started the runs."),
            OpenApiParameter("limit", int, default=50, description=f"The newest so many, at most {MOST_TREND_RUNS}."),
            CONFIDENCE,
        ],
        responses=TrendOut,
    )
    def get(self, request: Request) -> Response:
        # numpy and scipy, which nothing at rest loads.
        from experiments.selectors.metric_trends import TrendQuery, trend_of

        query = request.query_params
        refuse_unknown(list(query), _KNOWN)
        metric = short_text(query, "metric")
        if not metric:
            raise InvalidInput("Query parameter 'metric' is missing; name the metric to follow.", field="metric")
        asked = TrendQuery(
            metric=metric,
            event_name=short_text(query, "event_name", 1_000),
            name_prefix=short_text(query, "name_prefix"),
            dataset=short_text(query, "dataset"),
            tag=short_text(query, "tag"),
            schedule=short_text(query, "schedule"),
            limit=whole_number(query, "limit", default=50, most=MOST_TREND_RUNS),
            confidence=confidence_from(query),
        )
        return Response(trend_of(caller=caller_of(request), query=asked))
