"""`/api/v1/ab/plan` and `/api/v1/ab/tests…`: plans, tests and their moves."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api import spec_schema  # noqa: F401 - describes TestSpec in the OpenAPI file
from embeddings_ab.api.ab_test_serializers import AbTestDetailOut, AbTestOut, PlanOut, ProgressOut
from embeddings_ab.api.filters import TestFilters
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.spec_errors import read_spec
from embeddings_ab.models import AbTest
from embeddings_ab.selectors import ab_tests as selectors
from embeddings_ab.services import ab_tests as services
from embeddings_ab.services import plans
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.services.idempotency import answer_once

_EXAMPLE = OpenApiExample(
    "MiniLM against BM25",
    request_only=True,
    value={
        "name": "cranfield-first",
        "corpus": "cranfield",
        "query_set": "cranfield/test",
        "metrics": ["nDCG@10", "R@100"],
        "primary_metric": "nDCG@10",
        "control": "bm25",
        "arms": {
            "bm25": {"retrieval": "lexical"},
            "hybrid": {"retrieval": "hybrid", "provider": "minilm", "fusion": {"method": "convex", "alpha": 0.5}},
        },
    },
)


def _detail(test: AbTest) -> dict[str, Any]:
    return dict(AbTestDetailOut(test, context={"arms": selectors.arms_of(test)}).data)


class TestPlan(ProjectView):
    """What a test would take."""

    actions = {"POST": Action.AB_READ}

    @extend_schema(
        operation_id="plan_ab_test",
        summary="Show what each arm would embed, call and cost; start nothing",
        request=TestSpec,
        examples=[_EXAMPLE],
        responses=PlanOut,
    )
    def post(self, request: Request) -> Response:
        return Response(plans.plan_test(caller=caller_of(request), spec=read_spec(request.data)))


class TestList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Tests of the project."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = AbTest.objects.none()
    serializer_class = AbTestOut
    filterset_class = TestFilters

    def get_queryset(self) -> QuerySet[AbTest]:
        # Specification and report may be large, and no list shows them.
        return selectors.tests(caller_of(self.request)).defer("spec", "report").order_by("-pk")

    @extend_schema(operation_id="list_ab_tests", summary="List A/B tests, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_ab_test",
        summary="Create an A/B test; it is checked whole, and what decides is hashed",
        request=TestSpec,
        examples=[_EXAMPLE],
        responses={201: AbTestDetailOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        spec = read_spec(request.data)

        def create() -> tuple[int, Any]:
            test = services.create_test(caller=caller, spec=spec)
            return 201, _detail(selectors.find_test(caller, test.public_id))

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/ab/tests",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/ab/tests/{answer.body['id']}")


class TestDetail(ProjectView):
    """One test."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(
        operation_id="get_ab_test",
        summary="Show an A/B test with its arms, specification and report",
        responses=AbTestDetailOut,
    )
    def get(self, request: Request, test_id: str) -> Response:
        return Response(_detail(selectors.find_test(caller_of(request), test_id)))

    @extend_schema(
        operation_id="delete_ab_test",
        summary="Delete an A/B test that is not under way, with its results",
        responses={204: None},
    )
    def delete(self, request: Request, test_id: str) -> Response:
        services.delete_test(caller=caller_of(request), test_id=test_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class _Move(ProjectView):
    """A change of a test's status; workers carry it out afterwards."""

    actions = {"POST": Action.AB_WRITE}

    def moved(self, request: Request, test_id: str, move: Callable[..., AbTest]) -> Response:
        caller: Caller = caller_of(request)
        move(caller=caller, test_id=test_id)
        return Response(_detail(selectors.find_test(caller, test_id)), status=status.HTTP_202_ACCEPTED)


class TestStart(_Move):
    """created → queued."""

    @extend_schema(
        operation_id="start_ab_test",
        summary="Start an A/B test",
        request=None,
        responses={202: AbTestDetailOut},
    )
    def post(self, request: Request, test_id: str) -> Response:
        return self.moved(request, test_id, services.start_test)


class TestResume(_Move):
    """failed, cancelled or incomplete → queued."""

    @extend_schema(
        operation_id="resume_ab_test",
        summary="Go on with a failed, cancelled or incomplete A/B test; what is done stays",
        request=None,
        responses={202: AbTestDetailOut},
    )
    def post(self, request: Request, test_id: str) -> Response:
        return self.moved(request, test_id, services.start_test)


class TestCancel(_Move):
    """Under way or created → cancelled."""

    @extend_schema(
        operation_id="cancel_ab_test",
        summary="Cancel an A/B test within seconds; what it has made stays",
        request=None,
        responses={202: AbTestDetailOut},
    )
    def post(self, request: Request, test_id: str) -> Response:
        return self.moved(request, test_id, services.cancel_test)


class TestProgress(ProjectView):
    """How far a test is."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(operation_id="get_ab_test_progress", summary="Show how far an A/B test is", responses=ProgressOut)
    def get(self, request: Request, test_id: str) -> Response:
        return Response(selectors.progress(selectors.find_test(caller_of(request), test_id)))
