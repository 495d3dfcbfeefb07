"""`/api/v1/ab/query-sets…`"""

from typing import Any

import django_filters
from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api.bodies import QuerySetBody
from embeddings_ab.api.import_shapes import ImportedQuerySetOut, QueryOut, QuerySetIn, QuerySetOut
from embeddings_ab.api.ordinals import ByOrdinal
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import elements, judgment_rows, query_rows
from embeddings_ab.models import Query, QuerySet
from embeddings_ab.selectors import query_sets as selectors
from embeddings_ab.services import query_sets as services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.api.strict_filters import StrictFilters
from governance.domain.actions import Action
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once


class QuerySetFilters(StrictFilters):
    """`name` exactly, or how it begins; `corpus` by name."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")
    corpus = django_filters.CharFilter(field_name="corpus__name", label="name of the corpus")

    class Meta:
        model = QuerySet
        fields: list[str] = []


class QuerySetList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Query sets of the project."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = QuerySet.objects.none()
    serializer_class = QuerySetOut
    filterset_class = QuerySetFilters

    def get_queryset(self) -> "models.QuerySet[QuerySet]":
        return selectors.query_sets(caller_of(self.request))

    @extend_schema(operation_id="list_query_sets", summary="List query sets, all versions, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="import_query_set",
        summary="Import queries and judgments; 200 when the newest version holds the same already",
        request=QuerySetIn,
        responses={200: ImportedQuerySetOut, 201: ImportedQuerySetOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = parsed(QuerySetBody, request.data)

        def create() -> tuple[int, Any]:
            faults = Faults()
            query_set, summary = services.import_query_set(
                caller=caller,
                name=body.name,
                corpus=body.corpus,
                description=body.description,
                queries=query_rows(elements(body.queries, "queries"), faults),
                judgments=judgment_rows(elements(body.judgments, "judgments"), faults),
                grade_map=body.grade_map,
                drop_dangling=body.drop_dangling,
                source={"format": "rest", **body.source},
                faults=faults,
            )
            answer = {**QuerySetOut(query_set).data, "imported": summary.to_json()}
            return (201 if summary.is_new else 200), answer

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/ab/query-sets",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/ab/query-sets/{answer.body['id']}")


class QuerySetDetail(ProjectView):
    """One version of a query set."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(
        operation_id="get_query_set", summary="Show a query set by name, name@version or id", responses=QuerySetOut
    )
    def get(self, request: Request, query_set_id: str) -> Response:
        found = selectors.find_query_set(caller_of(request), query_set_id, field="query_set_id")
        return Response(QuerySetOut(found).data)

    @extend_schema(
        operation_id="delete_query_set", summary="Delete a version that nothing refers to", responses={204: None}
    )
    def delete(self, request: Request, query_set_id: str) -> Response:
        services.delete_query_set(caller=caller_of(request), query_set_id=query_set_id)
        return Response(status=204)


class QuerySetQueries(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Queries of a query set."""

    actions = {"GET": Action.AB_READ}
    queryset = Query.objects.none()
    serializer_class = QueryOut
    filter_backends = []

    def get_queryset(self) -> Any:
        found = selectors.find_query_set(caller_of(self.request), self.kwargs["query_set_id"], field="query_set_id")
        return ByOrdinal(selectors.queries_in_order(found), found.query_count)

    @extend_schema(operation_id="list_queries", summary="List queries by id, bytes ascending")
    def get(self, request: Request, query_set_id: str) -> Response:
        return self.list(request)
