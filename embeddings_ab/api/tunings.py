"""`/api/v1/ab/tests/{id}/tunings…`: searches for the best configuration of a finished test's arm."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.domain.statuses import TuningStatus
from embeddings_ab.domain.tuning_form import read_tuning
from embeddings_ab.models import Tuning
from embeddings_ab.selectors.ab_tests import find_test
from embeddings_ab.selectors.tunings import find_tuning, tunings_of
from embeddings_ab.services import tunings as services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.domain.actions import Action
from governance.services.idempotency import answer_once

_EXAMPLE = OpenApiExample(
    "Alpha of the hybrid arm",
    request_only=True,
    value={"arm": "hybrid", "grid": {"alpha": [0, 0.25, 0.5, 0.75, 1]}, "folds": 5},
)


class TuningGridIn(serializers.Serializer[Any]):
    """Values to try; what is left out stays as the arm has it."""

    alpha = serializers.ListField(child=serializers.FloatField(min_value=0, max_value=1), required=False)
    rrf_k = serializers.ListField(child=serializers.IntegerField(), required=False)
    depth = serializers.ListField(child=serializers.IntegerField(), required=False)
    dimensions = serializers.ListField(child=serializers.IntegerField(), required=False)
    quantisation = serializers.ListField(child=serializers.CharField(), required=False)


class TuningIn(serializers.Serializer[Any]):
    """What a search takes: a grid over an arm, other arms of the test, or both."""

    arm = serializers.CharField()
    measure = serializers.CharField(required=False, help_text="The primary metric when left out.")
    grid = TuningGridIn(required=False)
    compare_arms = serializers.ListField(child=serializers.CharField(), required=False)
    folds = serializers.IntegerField(required=False, min_value=2, max_value=20, default=5)
    repeats = serializers.IntegerField(required=False, min_value=1, max_value=50, default=5)
    seed = serializers.IntegerField(required=False)


class TuningOut(serializers.Serializer[Any]):
    """One search, without its result."""

    id = serializers.CharField(source="public_id")
    status = serializers.ChoiceField(choices=[(status.value, status.value) for status in TuningStatus])
    spec = serializers.JSONField()
    error = serializers.SerializerMethodField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_error(self, row: Tuning) -> dict[str, str] | None:
        """Code and message of a failed one."""
        return {"code": row.error_code, "message": row.error_message} if row.error_code else None


class TuningDetailOut(TuningOut):
    """The same with its result."""

    result = serializers.JSONField(
        allow_null=True,
        help_text="chosen, apparent_mean, cross_validated_mean, optimism_gap, fold_choices, choice_share, means, "
        "held_out_scores by query, points (quality, latency_ms, bytes_per_chunk) and pareto_front",
    )


class TuningList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Searches over one test."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = Tuning.objects.none()
    serializer_class = TuningOut
    filter_backends = []

    def get_queryset(self) -> "QuerySet[Tuning]":
        if getattr(self, "swagger_fake_view", False):
            return Tuning.objects.none()
        return tunings_of(find_test(caller_of(self.request), self.kwargs["test_id"]))

    @extend_schema(operation_id="list_ab_tunings", summary="List searches over an A/B test, newest first")
    def get(self, request: Request, test_id: str) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_ab_tuning",
        summary="Search the best configuration of an arm; nothing is embedded, the choice is cross-validated",
        request=TuningIn,
        examples=[_EXAMPLE],
        responses={201: TuningDetailOut},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, test_id: str) -> Response:
        caller = caller_of(request)
        find_test(caller, test_id)
        spec = read_tuning(request.data)

        def create() -> tuple[int, Any]:
            tuning = services.create_tuning(caller=caller, test_id=test_id, spec=spec)
            return 201, TuningDetailOut(tuning).data

        route = f"/api/v1/ab/tests/{test_id}/tunings"
        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route=f"POST {route}",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"{route}/{answer.body['id']}")


class TuningDetail(ProjectView):
    """One search."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="get_ab_tuning",
        summary="Show a search: what was chosen, what that is worth on unseen queries, and the Pareto front",
        responses=TuningDetailOut,
    )
    def get(self, request: Request, test_id: str, tuning_id: str) -> Response:
        caller = caller_of(request)
        return Response(TuningDetailOut(find_tuning(caller, find_test(caller, test_id), tuning_id)).data)
