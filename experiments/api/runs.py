"""`/api/v1/runs…`"""

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.comparisons import TWO_PARAMETERS
from experiments.api.filters import RunFilters
from experiments.api.serializers import RunOut, RunWithEventsOut
from experiments.domain.aggregation import AGGREGATES, DEFAULT_AGGREGATE
from experiments.domain.comparison_options import one_of, options_from
from experiments.models import Run
from experiments.selectors.runs import run_not_found, runs_of
from experiments.services import exports
from experiments.services.comparison_exports import export_comparison_statistics
from governance.api.authentication import caller_of
from governance.api.requests import FILE_ANSWERS, FORMAT_PARAMETER, ExportView, ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

_AGGREGATE = OpenApiParameter("aggregate_function", str, enum=list(AGGREGATES), default=DEFAULT_AGGREGATE)
_KINDS = ("datapoints", "metrics")
_COMPARISON_KINDS = ("metrics", "statistics")


class RunList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Runs of the project."""

    actions = {"GET": Action.RUNS_READ}
    queryset = Run.objects.none()
    serializer_class = RunOut
    filterset_class = RunFilters

    def get_queryset(self) -> QuerySet[Run]:
        return runs_of(caller_of(self.request)).defer("event_ids").order_by("-created_at", "-id")

    @extend_schema(operation_id="list_runs", summary="List runs, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)


class RunDetail(ProjectView):
    """One run."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(operation_id="get_run", summary="Show a run", responses=RunWithEventsOut)
    def get(self, request: Request, run_id: str) -> Response:
        runs = runs_of(caller_of(request)).select_related("experiment__dataset_version")
        run = runs.filter(run_key=run_id).first()
        if run is None:
            raise run_not_found(run_id)
        return Response(RunWithEventsOut(run).data)


class RunExport(ExportView):
    """A run's result as a file."""

    @extend_schema(
        operation_id="export_run",
        summary="Download a run's result as CSV or JSON",
        parameters=[
            FORMAT_PARAMETER,
            OpenApiParameter("kind", str, enum=_KINDS, default="datapoints", description="What a row is."),
            _AGGREGATE,
        ],
        responses=FILE_ANSWERS,
    )
    def get(self, request: Request, run_id: str) -> StreamingHttpResponse:
        caller, kind = caller_of(request), request.query_params.get("kind", "") or "datapoints"
        if kind not in _KINDS:
            raise InvalidInput(
                f"Query parameter 'kind' is {kind[:40]!r}; use {' or '.join(_KINDS)}.", field="kind", value=kind[:200]
            )
        if kind == "datapoints":
            return self.file(request, exports.export_run_datapoints(caller=caller, run_id=run_id))
        function = request.query_params.get("aggregate_function", "")
        return self.file(request, exports.export_run_metrics(caller=caller, run_id=run_id, aggregate_function=function))


class ComparisonExport(ExportView):
    """A comparison of two runs as a file."""

    @extend_schema(
        operation_id="export_comparison",
        summary="Download a comparison of two runs as CSV or JSON",
        parameters=[
            FORMAT_PARAMETER,
            OpenApiParameter(
                "kind",
                str,
                enum=_COMPARISON_KINDS,
                default="metrics",
                description="Plain figures of every metric, or statistics of those that both runs have.",
            ),
            *TWO_PARAMETERS,
        ],
        responses=FILE_ANSWERS,
    )
    def get(self, request: Request, new: str, old: str) -> StreamingHttpResponse:
        caller = caller_of(request)
        if one_of(request.query_params, "kind", _COMPARISON_KINDS, "metrics") == "statistics":
            options = options_from(request.query_params)
            return self.file(request, export_comparison_statistics(caller=caller, new=new, old=old, options=options))
        function = request.query_params.get("aggregate_function", "")
        return self.file(
            request, exports.export_comparison(caller=caller, new=new, old=old, aggregate_function=function)
        )
