"""`/api/v1/ab/collections…`"""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api.ab_test_serializers import CollectionDetailOut, CollectionOut
from embeddings_ab.api.filters import CollectionFilters
from embeddings_ab.models import Collection
from embeddings_ab.selectors import collections as selectors
from embeddings_ab.services import cleanup
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action


class CollectionList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Collections of the project."""

    actions = {"GET": Action.AB_READ}
    queryset = Collection.objects.none()
    serializer_class = CollectionOut
    filterset_class = CollectionFilters

    def get_queryset(self) -> QuerySet[Collection]:
        return selectors.collections(caller_of(self.request)).defer("recipe").order_by("-pk")

    @extend_schema(operation_id="list_ab_collections", summary="List collections, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)


class CollectionDetail(ProjectView):
    """One collection."""

    actions = {"GET": Action.AB_READ, "DELETE": Action.AB_WRITE}

    @extend_schema(
        operation_id="get_ab_collection",
        summary="Show a collection with everything its content depends on",
        responses=CollectionDetailOut,
    )
    def get(self, request: Request, collection_id: str) -> Response:
        found = selectors.find_collection(caller_of(request), collection_id)
        return Response(CollectionDetailOut(found).data)

    @extend_schema(
        operation_id="delete_ab_collection",
        summary="Delete a collection that no test holds; a worker removes its files",
        responses={202: CollectionDetailOut},
    )
    def delete(self, request: Request, collection_id: str) -> Response:
        caller = caller_of(request)
        cleanup.delete_collection(caller=caller, collection_id=collection_id)
        found = selectors.find_collection(caller, collection_id)
        return Response(CollectionDetailOut(found).data, status=status.HTTP_202_ACCEPTED)
