"""`/api/v1/experiment-schedules…`: experiments that start by the clock."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.experiment_shapes import ExperimentOut
from experiments.api.schedule_shapes import ScheduleDetailOut, ScheduleOut
from experiments.domain.schedule_spec import ScheduleBody, ScheduleChanges, read_changes, read_schedule, read_spec
from experiments.models import ExperimentSchedule
from experiments.selectors import schedules as selectors
from experiments.selectors.experiments import get_experiment
from experiments.services import schedules as services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.api.strict_filters import StrictFilters
from governance.domain.actions import Action
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once

_EXAMPLE = OpenApiExample(
    "Every night against the last release",
    request_only=True,
    value={
        "name": "nightly",
        "crontab": "0 2 * * *",
        "timezone": "Europe/Vienna",
        "baseline": {"kind": "latest_with_tag", "tag": "release"},
        "spec": {
            "name": "nightly support answers",
            "dataset_id": "b0c1d2e3f405162738495a6b",
            "target": {"kind": "callable", "name": "support_bot"},
            "evaluators": [{"kind": "builtin", "name": "exact_match"}],
        },
    },
)


class _Nothing(BaseModel):
    """Starting takes no options."""

    model_config = ConfigDict(extra="forbid")


class ScheduleFilters(StrictFilters):
    """`name` exactly, or how it begins; whether it is enabled."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")
    is_enabled = django_filters.BooleanFilter()

    class Meta:
        model = ExperimentSchedule
        fields: list[str] = []


class ScheduleList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Schedules of the project."""

    actions = {"GET": Action.RUNS_READ, "POST": Action.RUNS_WRITE}
    queryset = ExperimentSchedule.objects.none()
    serializer_class = ScheduleOut
    filterset_class = ScheduleFilters

    def get_queryset(self) -> QuerySet[ExperimentSchedule]:
        return selectors.schedules(caller_of(self.request)).defer("spec")

    @extend_schema(operation_id="list_experiment_schedules", summary="List schedules by name")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_experiment_schedule",
        summary="Have experiments started by the clock",
        request=ScheduleBody,
        examples=[_EXAMPLE],
        responses={201: ScheduleDetailOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = read_schedule(request.data)
        spec = read_spec(body.spec)

        def create() -> tuple[int, Any]:
            schedule = services.create_schedule(
                caller=caller,
                name=body.name,
                spec=spec,
                crontab=body.crontab,
                timezone=body.timezone,
                baseline=body.baseline.model_dump(mode="json"),
                is_enabled=body.is_enabled,
            )
            return 201, dict(ScheduleDetailOut(schedule).data)

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/experiment-schedules",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/experiment-schedules/{answer.body['id']}")


class ScheduleDetail(ProjectView):
    """One schedule."""

    actions = {"GET": Action.RUNS_READ, "PATCH": Action.RUNS_WRITE, "DELETE": Action.RUNS_WRITE}

    @extend_schema(operation_id="get_experiment_schedule", summary="Show a schedule", responses=ScheduleDetailOut)
    def get(self, request: Request, schedule_id: str) -> Response:
        return Response(ScheduleDetailOut(selectors.find_schedule(caller_of(request), schedule_id)).data)

    @extend_schema(
        operation_id="update_experiment_schedule",
        summary="Change a schedule, or switch it on or off; another rhythm counts from now",
        request=ScheduleChanges,
        responses=ScheduleDetailOut,
    )
    def patch(self, request: Request, schedule_id: str) -> Response:
        caller = caller_of(request)
        selectors.find_schedule(caller, schedule_id)
        body = read_changes(request.data)
        schedule = services.update_schedule(
            caller=caller,
            schedule_id=schedule_id,
            name=body.name,
            spec=None if body.spec is None else read_spec(body.spec),
            crontab=body.crontab,
            timezone=body.timezone,
            baseline=None if body.baseline is None else body.baseline.model_dump(mode="json"),
            is_enabled=body.is_enabled,
        )
        return Response(ScheduleDetailOut(schedule).data)

    @extend_schema(
        operation_id="delete_experiment_schedule",
        summary="Delete a schedule; what it started stays",
        responses={204: None},
    )
    def delete(self, request: Request, schedule_id: str) -> Response:
        services.delete_schedule(caller=caller_of(request), schedule_id=schedule_id)
        return Response(status=204)


class ScheduleStart(ProjectView):
    """A start by hand."""

    actions = {"POST": Action.RUNS_WRITE}

    @extend_schema(
        operation_id="start_experiment_schedule",
        summary="Start one experiment at once; the next turn stays where it is",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: ExperimentOut},
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        caller = caller_of(request)
        parsed(_Nothing, request.data)

        def create() -> tuple[int, Any]:
            made = services.start_now(caller=caller, schedule_id=schedule_id)
            return 202, dict(ExperimentOut(get_experiment(caller, made.public_id)).data)

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route=f"POST /api/v1/experiment-schedules/{schedule_id[:64]}/start",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=answer.body["links"]["experiment"])
