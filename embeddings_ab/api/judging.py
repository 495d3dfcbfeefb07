"""`/api/v1/ab/judging-pools…`: pools, their documents, labels of models, agreement, and publishing."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api import judging_shapes as shapes
from embeddings_ab.api.parameters import read_parameters
from embeddings_ab.models import Document, JudgingItem, JudgingPool
from embeddings_ab.selectors import judging as selectors
from embeddings_ab.services import judging as services
from embeddings_ab.services import labels as label_services
from governance.api.authentication import caller_of
from governance.api.requests import IDEMPOTENCY_KEY, ProjectView, answered_once
from governance.domain.actions import Action
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once


class PoolList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Judging pools of the project."""

    actions = {"GET": Action.AB_READ, "POST": Action.AB_WRITE}
    queryset = JudgingPool.objects.none()
    serializer_class = shapes.PoolOut
    filter_backends = []

    def get_queryset(self) -> "QuerySet[JudgingPool]":
        return selectors.pools(caller_of(self.request))

    @extend_schema(operation_id="list_judging_pools", summary="List judging pools, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_judging_pool",
        summary="Pool the top documents of a test's arms for judging, most useful label first",
        request=shapes.PoolIn,
        responses={201: shapes.PoolDetailOut},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = parsed(shapes.PoolBody, request.data)

        def create() -> tuple[int, Any]:
            pool = services.create_pool(caller=caller, **body.model_dump())
            return 201, _detail(selectors.find_pool(caller, pool.public_id))

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/ab/judging-pools",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/ab/judging-pools/{answer.body['id']}")


def _detail(pool: JudgingPool) -> dict[str, Any]:
    progress = shapes.PoolProgressOut(selectors.progress(pool).to_json()).data
    return {**shapes.PoolOut(pool).data, "progress": progress}


class PoolDetail(ProjectView):
    """One pool."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(
        operation_id="get_judging_pool",
        summary="Show a judging pool and how far it is",
        responses=shapes.PoolDetailOut,
    )
    def get(self, request: Request, pool_id: str) -> Response:
        return Response(_detail(selectors.find_pool(caller_of(request), pool_id)))

    @extend_schema(
        operation_id="delete_judging_pool",
        summary="Delete a judging pool with its labels; what was published stays",
        responses={204: None},
    )
    def delete(self, request: Request, pool_id: str) -> Response:
        services.delete_pool(caller=caller_of(request), pool_id=pool_id)
        return Response(status=204)


class PoolItems(GenericAPIView[Any], ProjectView):
    """Documents of a pool."""

    actions = {"GET": Action.AB_READ}
    queryset = JudgingItem.objects.none()
    serializer_class = shapes.PoolItemOut
    filter_backends = []

    @extend_schema(
        operation_id="list_judging_items",
        summary="List the documents of a pool, most useful label first, with their labels",
        parameters=[shapes.ItemParametersIn],
        responses=shapes.PoolItemOut(many=True),
    )
    def get(self, request: Request, pool_id: str) -> Response:
        given = read_parameters(request, shapes.ItemParametersIn, also=("page", "limit"))
        pool = selectors.find_pool(caller_of(request), pool_id)
        page: list[JudgingItem] = self.paginate_queryset(selectors.items_in_order(pool)) or []
        labels = selectors.labels_of(page)
        documents: dict[str, Document] = {}
        if given["texts"]:
            rows = Document.objects.filter(
                corpus=selectors.corpus_of(pool), external_id__in={item.document_id for item in page}
            )
            documents = {document.external_id: document for document in rows.defer("metadata")}
        return self.get_paginated_response(
            [_item(item, labels.get(item.pk, []), documents, given["texts"]) for item in page]
        )


def _item(item: JudgingItem, labels: list[Any], documents: dict[str, Document], with_texts: bool) -> dict[str, Any]:
    document = documents.get(item.document_id)
    texts = {"title": document.title if document else "", "text": document.text if document else ""}
    return {
        "query_id": item.query.external_id,
        "query": item.query.text,
        "document_id": item.document_id,
        **(texts if with_texts else {}),
        "priority": item.priority,
        "found_by": item.found_by,
        "assigned_to": item.assigned_to,
        "labels": shapes.LabelOut(labels, many=True).data,
    }


class PoolLabels(ProjectView):
    """Labels in batches."""

    actions = {"POST": Action.AB_JUDGE}

    @extend_schema(
        operation_id="record_labels",
        summary="Store labels of models, or the signed-in person's; the same labeller's earlier ones are replaced",
        request=shapes.LabelsIn,
        responses=shapes.LabelCountsOut,
    )
    def post(self, request: Request, pool_id: str) -> Response:
        body = parsed(shapes.LabelsBody, request.data)
        rows = [label_services.LabelRow(**row.model_dump()) for row in body.labels]
        return Response(label_services.record_labels(caller=caller_of(request), pool_id=pool_id, labels=rows))


class PoolAssignment(ProjectView):
    """Who judges what."""

    actions = {"POST": Action.AB_WRITE}

    @extend_schema(
        operation_id="assign_judging_items",
        summary="Deal the documents that nobody has judged to members, whole queries in turn",
        request=shapes.AssignIn,
        responses=shapes.AssignedOut,
    )
    def post(self, request: Request, pool_id: str) -> Response:
        body = parsed(shapes.AssignBody, request.data)
        return Response({"items": services.assign_items(caller=caller_of(request), pool_id=pool_id, users=body.users)})


class PoolAgreement(ProjectView):
    """How far labellers and sources agree."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="get_judging_agreement",
        summary="Show Cohen's kappa and Krippendorff's alpha of a pool's labels",
        responses=shapes.AgreementOut,
    )
    def get(self, request: Request, pool_id: str) -> Response:
        return Response(selectors.agreement(selectors.find_pool(caller_of(request), pool_id)).to_json())


class PoolPublication(ProjectView):
    """Labels that become judgments."""

    actions = {"POST": Action.AB_WRITE}

    @extend_schema(
        operation_id="publish_labels",
        summary="Store the labels of one source as the next version of the query set",
        request=shapes.PublishIn,
        responses=shapes.PublicationOut,
    )
    def post(self, request: Request, pool_id: str) -> Response:
        caller = caller_of(request)
        body = parsed(shapes.PublishBody, request.data)
        asked: dict[str, Any] = {"source": body.source, "rule": body.rule, "overwrite": body.overwrite}
        if body.dry_run:
            preview = label_services.preview_publication(caller=caller, pool_id=pool_id, **asked)
            return Response({"query_set": None, "version": None, "is_new": False, **preview.to_json()})
        query_set, summary, found = label_services.publish_labels(
            caller=caller, pool_id=pool_id, name=body.name, **asked
        )
        about = {"query_set": query_set.public_id, "version": query_set.version, "is_new": summary.is_new}
        return Response({**about, **found.to_json()})
