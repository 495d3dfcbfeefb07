"""`/api/v1/runs/{run}/metrics-summary` and `/watch`: the figures of one run with their intervals."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.comparisons import CONFIDENCE
from experiments.api.kept_answers import answered
from experiments.api.many_runs_shapes import RunSummaryOut, WatchedRunOut
from experiments.domain.comparison_options import confidence_from, refuse_unknown, short_text
from experiments.services.comparison_answers import summary_question, watched_run
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action


class RunSummary(ProjectView):
    """A run's metrics."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="summarise_run",
        summary="Show each metric of a run with the interval of its mean or rate",
        parameters=[CONFIDENCE],
        responses=RunSummaryOut,
    )
    def get(self, request: Request, run_id: str) -> HttpResponse:
        refuse_unknown(list(request.query_params), ("confidence",))
        confidence = confidence_from(request.query_params)
        return answered(request, summary_question(caller=caller_of(request), run_id=run_id, confidence=confidence))


class RunWatch(ProjectView):
    """A run in progress."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="watch_run",
        summary="Show intervals of a run in progress that hold at every look",
        parameters=[CONFIDENCE, OpenApiParameter("baseline", str, description="Run id for the differences.")],
        responses=WatchedRunOut,
    )
    def get(self, request: Request, run_id: str) -> Response:
        query = request.query_params
        refuse_unknown(list(query), ("confidence", "baseline"))
        found = watched_run(
            caller=caller_of(request),
            run_id=run_id,
            baseline=short_text(query, "baseline"),
            confidence=confidence_from(query),
        )
        return Response(found)
