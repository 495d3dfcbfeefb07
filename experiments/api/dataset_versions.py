"""`/api/v1/datasets/{dataset_id}/versions…`"""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.dataset_version_shapes import (
    DatasetVersionOut,
    VersionChangeOut,
    VersionDiffOut,
    VersionDiffPageOut,
    VersionedDatapointOut,
)
from experiments.models import DatasetVersion, DatasetVersionItem
from experiments.selectors import dataset_versions as selectors
from experiments.services import dataset_versions as services
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import parsed


class _Nothing(BaseModel):
    """Pinning takes no options: it pins what the dataset holds now."""

    model_config = ConfigDict(extra="forbid")


class DatasetVersionList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Versions of a dataset."""

    actions = {"GET": Action.DATASETS_READ, "POST": Action.DATASETS_WRITE}
    queryset = DatasetVersion.objects.none()
    serializer_class = DatasetVersionOut
    filter_backends = []

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        return selectors.versions_of(caller_of(self.request), self.kwargs["dataset_id"])

    @extend_schema(operation_id="list_dataset_versions", summary="List versions of a dataset, newest first")
    def get(self, request: Request, dataset_id: str) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="pin_dataset_version",
        summary="Pin what the dataset holds now: 201 with a new version, 200 with the one that holds the same",
        request=None,
        responses={201: DatasetVersionOut, 200: DatasetVersionOut},
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        parsed(_Nothing, request.data)
        version, is_new = services.pin_version(caller=caller_of(request), dataset_id=dataset_id)
        location = f"/api/v1/datasets/{version.dataset_key}/versions/{version.number}"
        return Response(DatasetVersionOut(version).data, status=201 if is_new else 200, headers={"Location": location})


class DatasetVersionDetail(ProjectView):
    """One version."""

    actions = {"GET": Action.DATASETS_READ}

    @extend_schema(
        operation_id="get_dataset_version", summary="Show a version of a dataset", responses=DatasetVersionOut
    )
    def get(self, request: Request, dataset_id: str, number: str) -> Response:
        return Response(DatasetVersionOut(selectors.find_version(caller_of(request), dataset_id, number)).data)


class DatasetVersionDatapoints(ListModelMixin, GenericAPIView[Any], ProjectView):
    """What a version holds."""

    actions = {"GET": Action.DATASETS_READ}
    queryset = DatasetVersionItem.objects.none()
    serializer_class = VersionedDatapointOut
    filter_backends = []

    def get_queryset(self) -> QuerySet[DatasetVersionItem]:
        version = selectors.find_version(caller_of(self.request), self.kwargs["dataset_id"], self.kwargs["number"])
        return selectors.items_of(version)

    @extend_schema(
        operation_id="list_dataset_version_datapoints", summary="List datapoints of a version in order of evaluation"
    )
    def get(self, request: Request, dataset_id: str, number: str) -> Response:
        return self.list(request)


class DatasetVersionDiff(GenericAPIView[Any], ProjectView):
    """What differs between two versions."""

    actions = {"GET": Action.DATASETS_READ}
    queryset = DatasetVersion.objects.none()
    filter_backends = []

    @extend_schema(
        operation_id="diff_dataset_versions",
        summary="Compare two versions of a dataset: counts, and the datapoints that differ with both contents",
        parameters=[
            OpenApiParameter("kind", str, enum=list(selectors.KINDS), description="List only such datapoints."),
            OpenApiParameter("page", int, default=1, description="Page to show, from 1."),
            OpenApiParameter("limit", int, default=50, description="Results on a page, at most 500."),
        ],
        responses=VersionDiffPageOut,
    )
    def get(self, request: Request, dataset_id: str, old: str, new: str) -> Response:
        kind = request.query_params.get("kind") or None
        if kind is not None and kind not in selectors.KINDS:
            raise InvalidInput(
                f"Query parameter 'kind' is {kind[:40]!r}; use {', '.join(selectors.KINDS)}, or leave it out.",
                field="kind",
                value=kind[:200],
            )
        diff = selectors.diff_versions(caller_of(request), dataset_id=dataset_id, old=old, new=new, kind=kind)
        answer = self.get_paginated_response(VersionChangeOut(self.paginate_queryset(diff), many=True).data)
        answer.data = {"diff": VersionDiffOut(diff).data, **answer.data}
        return answer
