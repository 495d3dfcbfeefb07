"""`/api/v1/ab/corpora…`"""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api.bodies import CorpusBody
from embeddings_ab.api.import_shapes import CorpusIn, CorpusOut, DifferenceOut, DocumentOut, ImportedCorpusOut
from embeddings_ab.api.ordinals import ByOrdinal
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import document_rows, elements
from embeddings_ab.models import Corpus, Document
from embeddings_ab.selectors import corpora as selectors
from embeddings_ab.services import corpora as services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.api.strict_filters import StrictFilters
from governance.domain.actions import Action
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once


class CorpusFilters(StrictFilters):
    """`name` exactly, or how it begins."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")

    class Meta:
        model = Corpus
        fields: list[str] = []


class CorpusList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Corpora of the project."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = Corpus.objects.none()
    serializer_class = CorpusOut
    filterset_class = CorpusFilters

    def get_queryset(self) -> "QuerySet[Corpus]":
        return selectors.corpora(caller_of(self.request))

    @extend_schema(operation_id="list_corpora", summary="List corpora, all versions, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="import_corpus",
        summary="Import a corpus; 200 when its newest version holds the same already",
        request=CorpusIn,
        responses={200: ImportedCorpusOut, 201: ImportedCorpusOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = parsed(CorpusBody, request.data)

        def create() -> tuple[int, Any]:
            faults = Faults()
            corpus, summary = services.import_corpus(
                caller=caller,
                name=body.name,
                description=body.description,
                documents=document_rows(elements(body.documents, "documents"), faults),
                source={"format": "rest", **body.source},
                faults=faults,
            )
            answer = {**CorpusOut(corpus).data, "imported": summary.to_json()}
            return (201 if summary.is_new else 200), answer

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/ab/corpora",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/ab/corpora/{answer.body['id']}")


class CorpusDetail(ProjectView):
    """One version of a corpus."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(operation_id="get_corpus", summary="Show a corpus by name, name@version or id", responses=CorpusOut)
    def get(self, request: Request, corpus_id: str) -> Response:
        return Response(CorpusOut(selectors.find_corpus(caller_of(request), corpus_id, field="corpus_id")).data)

    @extend_schema(
        operation_id="delete_corpus", summary="Delete a version that nothing refers to", responses={204: None}
    )
    def delete(self, request: Request, corpus_id: str) -> Response:
        services.delete_corpus(caller=caller_of(request), corpus_id=corpus_id)
        return Response(status=204)


class CorpusDocuments(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Documents of a corpus."""

    actions = {"GET": Action.AB_READ}
    queryset = Document.objects.none()
    serializer_class = DocumentOut
    filter_backends = []

    def get_queryset(self) -> Any:
        corpus = selectors.find_corpus(caller_of(self.request), self.kwargs["corpus_id"], field="corpus_id")
        return ByOrdinal(selectors.documents_in_order(corpus), corpus.document_count)

    @extend_schema(operation_id="list_corpus_documents", summary="List documents by id, bytes ascending")
    def get(self, request: Request, corpus_id: str) -> Response:
        return self.list(request)


class CorpusDifferenceView(ProjectView):
    """What changed between two versions."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="compare_corpora", summary="Count documents that changed since another", responses=DifferenceOut
    )
    def get(self, request: Request, corpus_id: str, old_corpus_id: str) -> Response:
        caller = caller_of(request)
        new = selectors.find_corpus(caller, corpus_id, field="corpus_id")
        old = selectors.find_corpus(caller, old_corpus_id, field="old_corpus_id")
        return Response(DifferenceOut(selectors.diff_corpora(old, new)).data)
