"""`/api/v1/ab/runs…`"""

from collections.abc import Iterator
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api.bodies import RunBody
from embeddings_ab.api.import_shapes import ImportedRunOut, UploadedRunIn, UploadedRunOut
from embeddings_ab.domain.importing import trec
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import ranked_rows
from embeddings_ab.domain.importing.rows import RankedRow
from embeddings_ab.models import UploadedRun
from embeddings_ab.selectors import query_sets as selectors
from embeddings_ab.services import uploaded_runs as services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.api.strict_filters import StrictFilters
from governance.domain.actions import Action
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once


class UploadedRunFilters(StrictFilters):
    """`name` exactly, or how it begins; `query_set` by name."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")
    query_set = django_filters.CharFilter(field_name="query_set__name", label="name of the query set")

    class Meta:
        model = UploadedRun
        fields: list[str] = []


def _rows(body: RunBody, faults: Faults) -> Iterator[RankedRow]:
    if body.trec is not None:
        return trec.read_run(body.trec.encode(), faults, name="trec")
    return ranked_rows(body.rankings or {}, faults)


class UploadedRunList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Uploaded runs of the project."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = UploadedRun.objects.none()
    serializer_class = UploadedRunOut
    filterset_class = UploadedRunFilters

    def get_queryset(self) -> "QuerySet[UploadedRun]":
        return selectors.uploaded_runs(caller_of(self.request))

    @extend_schema(operation_id="list_uploaded_runs", summary="List uploaded runs, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="upload_run",
        summary="Upload rankings made elsewhere; 200 when the run of this name holds the same already",
        request=UploadedRunIn,
        responses={200: ImportedRunOut, 201: ImportedRunOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = parsed(RunBody, request.data)

        def create() -> tuple[int, Any]:
            faults = Faults()
            run, summary = services.import_run(
                caller=caller,
                name=body.name,
                query_set=body.query_set,
                rankings=_rows(body, faults),
                drop_dangling=body.drop_dangling,
                faults=faults,
            )
            answer = {**UploadedRunOut(run).data, "imported": summary.to_json()}
            return (201 if summary.is_new else 200), answer

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/ab/runs",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/ab/runs/{answer.body['id']}")


class UploadedRunDetail(ProjectView):
    """One uploaded run."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(operation_id="get_uploaded_run", summary="Show a run by name or id", responses=UploadedRunOut)
    def get(self, request: Request, uploaded_run_id: str) -> Response:
        found = selectors.find_uploaded_run(caller_of(request), uploaded_run_id, field="uploaded_run_id")
        return Response(UploadedRunOut(found).data)

    @extend_schema(operation_id="delete_uploaded_run", summary="Delete a run that no test names", responses={204: None})
    def delete(self, request: Request, uploaded_run_id: str) -> Response:
        services.delete_run(caller=caller_of(request), run_id=uploaded_run_id)
        return Response(status=204)
