"""`/api/v1/experiments…`: runs that the server executes, their moves, their progress and their single executions."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.experiment_shapes import (
    DatapointRunOut,
    ExperimentDetailOut,
    ExperimentOut,
    ExperimentProgressOut,
    RerunBody,
    RerunIn,
    RetriedOut,
    progress_json,
)
from experiments.api.filters import DatapointRunFilters, ExperimentFilters
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.experiment_status import EXPERIMENT_ENDED
from experiments.models import DatapointRun, Experiment
from experiments.selectors import experiments as selectors
from experiments.services import experiments as services
from experiments.services import exports
from governance.api.authentication import caller_of
from governance.api.requests import (
    FILE_ANSWERS,
    FORMAT_PARAMETER,
    IDEMPOTENCY_KEY,
    ExportView,
    ProjectView,
    answered_once,
)
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import NotFound
from governance.domain.spec_faults import no_mapping, refused_spec
from governance.services.idempotency import answer_once

_EXAMPLE = OpenApiExample(
    "An HTTP endpoint over a dataset",
    request_only=True,
    value={
        "name": "support answers",
        "dataset_id": "b0c1d2e3f405162738495a6b",
        "target": {
            "kind": "http",
            "url": "https://bot.example/answer",
            "headers": {"Authorization": {"secret": "bot", "prefix": "Bearer "}},
            "body": {"question": "{{inputs.question}}"},
            "response_path": "answer.text",
        },
        "evaluators": [{"kind": "builtin", "name": "exact_match"}],
        "repetitions": 2,
        "concurrency": 8,
        "tags": ["nightly"],
    },
)
_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETag of an earlier answer; 304 while it still holds."
)


def _detail(experiment: Experiment, shape: type[ExperimentDetailOut] = ExperimentDetailOut, **more: Any) -> Any:
    context = {
        "progress": selectors.progress_of(experiment),
        "causes": selectors.errors_by_cause(experiment),
        **more,
    }
    return dict(shape(experiment, context=context).data)


class ExperimentList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Runs of the project that the server executes."""

    actions = {"GET": Action.RUNS_READ, "POST": Action.RUNS_WRITE}
    queryset = Experiment.objects.none()
    serializer_class = ExperimentOut
    filterset_class = ExperimentFilters

    def get_queryset(self) -> QuerySet[Experiment]:
        # Specifications may be large, and no list shows them.
        return selectors.experiments_of(caller_of(self.request)).defer("spec", "pinned", "schedule__spec")

    @extend_schema(operation_id="list_experiments", summary="List runs that the server executes, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_experiment",
        summary="Have the server execute a run: a target over a dataset, judged by evaluators",
        request=ExperimentSpec,
        examples=[_EXAMPLE],
        responses={202: ExperimentDetailOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        spec = read_experiment_spec(request.data)
        return _created(
            request,
            "POST /api/v1/experiments",
            request.data,
            lambda: services.create_experiment(caller=caller, spec=spec),
        )


def _created(request: Request, route: str, body: Any, create: Callable[[], Experiment]) -> Response:
    """202 with the new experiment, once for each Idempotency-Key of the same body."""
    caller = caller_of(request)

    def answer_of_create() -> tuple[int, Any]:
        made = create()
        return 202, _detail(selectors.get_experiment(caller, made.public_id))

    answer = answer_once(
        caller=caller,
        key=request.headers.get("Idempotency-Key"),
        route=route,
        body=body,
        create=answer_of_create,
    )
    return answered_once(answer, location=answer.body["links"]["experiment"])


class ExperimentDetail(ProjectView):
    """One experiment."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="get_experiment",
        summary="Show an experiment: what was asked for, how far it is, what went wrong",
        responses=ExperimentDetailOut,
    )
    def get(self, request: Request, run_id: str) -> Response:
        return Response(_detail(selectors.get_experiment(caller_of(request), run_id)))


class ExperimentProgress(ProjectView):
    """How far an experiment is; made to be asked often."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="get_experiment_progress",
        summary="Show how far an experiment is",
        parameters=[_IF_NONE_MATCH],
        responses={200: ExperimentProgressOut, 304: OpenApiResponse(description="Nothing has changed.")},
    )
    def get(self, request: Request, run_id: str) -> Response:
        experiment = selectors.get_experiment(caller_of(request), run_id)
        known = {tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))}
        if experiment.status in EXPERIMENT_ENDED:
            # What has ended changes by nothing but another start, which ends at another time: nothing is counted.
            tag = _tag([experiment.public_id, experiment.status, str(experiment.finished_at)])
            body = None if tag in known else _progress(experiment)
        else:
            body = _progress(experiment)
            tag = _tag(body)
            body = None if tag in known else body
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        return Response(status=304, headers=headers) if body is None else Response(body, headers=headers)


def _progress(experiment: Experiment) -> dict[str, Any]:
    return progress_json(experiment, selectors.progress_of(experiment))


def _tag(content: Any) -> str:
    return f'"{hashlib.sha256(orjson.dumps(content)).hexdigest()[:32]}"'


class ExperimentDatapoints(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Single executions of an experiment."""

    actions = {"GET": Action.RUNS_READ}
    queryset = DatapointRun.objects.none()
    serializer_class = DatapointRunOut
    filterset_class = DatapointRunFilters

    def get_queryset(self) -> QuerySet[DatapointRun]:
        experiment = selectors.get_experiment(caller_of(self.request), self.kwargs["run_id"])
        return selectors.datapoint_runs_of(experiment)

    @extend_schema(
        operation_id="list_experiment_datapoints", summary="List an experiment's executions in their random order"
    )
    def get(self, request: Request, run_id: str) -> Response:
        return self.list(request)


class ExperimentExport(ExportView):
    """Single executions of an experiment as a file."""

    @extend_schema(
        operation_id="export_experiment_datapoints",
        summary="Download an experiment's executions as CSV or JSON",
        parameters=[FORMAT_PARAMETER],
        responses=FILE_ANSWERS,
    )
    def get(self, request: Request, run_id: str) -> StreamingHttpResponse:
        return self.file(request, exports.export_datapoint_runs(caller=caller_of(request), run_id=run_id))


def _run_key(caller: Caller, run_id: str) -> str:
    """The run id of an experiment that was named by a public id; what is none is the service's to refuse."""
    try:
        return selectors.get_experiment(caller, run_id).run.run_key
    except NotFound:
        return run_id


class _Move(ProjectView):
    """A change of an experiment's status; workers carry it out."""

    actions = {"POST": Action.RUNS_WRITE}

    def moved(self, request: Request, run_id: str, move: Callable[..., Experiment]) -> Response:
        caller = caller_of(request)
        move(caller=caller, run_id=_run_key(caller, run_id))
        return Response(_detail(selectors.get_experiment(caller, run_id)), status=202)


class ExperimentCancel(_Move):
    """Under way → cancelled."""

    @extend_schema(
        operation_id="cancel_experiment",
        summary="Cancel an experiment within seconds, calls under way included; what is stored stays",
        request=None,
        responses={202: ExperimentDetailOut},
    )
    def post(self, request: Request, run_id: str) -> Response:
        return self.moved(request, run_id, services.cancel_experiment)


class ExperimentPause(_Move):
    """Under way → paused."""

    @extend_schema(
        operation_id="pause_experiment",
        summary="Pause an experiment; calls under way are finished and stored",
        request=None,
        responses={202: ExperimentDetailOut},
    )
    def post(self, request: Request, run_id: str) -> Response:
        return self.moved(request, run_id, services.pause_experiment)


class ExperimentResume(_Move):
    """paused → running."""

    @extend_schema(
        operation_id="resume_experiment",
        summary="Go on with a paused experiment",
        request=None,
        responses={202: ExperimentDetailOut},
    )
    def post(self, request: Request, run_id: str) -> Response:
        return self.moved(request, run_id, services.resume_experiment)


class ExperimentRetry(_Move):
    """Failed and cancelled datapoint runs → pending."""

    @extend_schema(
        operation_id="retry_failed_datapoints",
        summary="Try again what failed, and nothing else",
        request=None,
        responses={202: RetriedOut},
    )
    def post(self, request: Request, run_id: str) -> Response:
        caller = caller_of(request)
        set_back = services.retry_failed(caller=caller, run_id=_run_key(caller, run_id))
        found = selectors.get_experiment(caller, run_id)
        return Response(_detail(found, RetriedOut, set_back=set_back), status=202)


class ExperimentRerun(ProjectView):
    """The same once more, as a new run."""

    actions = {"POST": Action.RUNS_WRITE}

    @extend_schema(
        operation_id="rerun_experiment",
        summary="Start a new run with the same dataset version, configuration and metric versions",
        request=RerunIn,
        responses={202: ExperimentDetailOut},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, run_id: str) -> Response:
        caller = caller_of(request)
        if not isinstance(request.data, dict):
            raise no_mapping(request.data, "name, or nothing")
        try:
            body = RerunBody.model_validate(request.data)
        except ValidationError as error:
            raise refused_spec(error, RerunBody) from None
        run_key = _run_key(caller, run_id)
        return _created(
            request,
            "POST /api/v1/experiments/{run_id}/rerun",
            {"run_id": run_key, "name": body.name},
            lambda: services.rerun_experiment(caller=caller, run_id=run_key, name=body.name),
        )
