"""`/api/v1/datasets…`"""

from typing import Any

from django.db.models import F, Func, IntegerField, OuterRef, QuerySet, Subquery
from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.filters import DatasetFilters
from experiments.api.serializers import DatasetIn, DatasetOut, MemberOut
from experiments.domain.wire_datasets import DatasetBody
from experiments.models import Dataset, DatasetMembership
from experiments.selectors import datasets as selectors
from experiments.services import datasets as services
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
from governance.domain.json_bodies import parsed
from governance.services.idempotency import answer_once


def _counted(datasets: QuerySet[Dataset]) -> QuerySet[Dataset]:
    members = DatasetMembership.objects.filter(dataset=OuterRef("pk")).order_by()
    count = members.annotate(n=Func(F("pk"), function="COUNT")).values("n")
    return datasets.annotate(datapoint_count=Subquery(count, output_field=IntegerField()))


class DatasetList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Datasets of the project."""

    actions = {"GET": Action.DATASETS_READ, "POST": Action.DATASETS_WRITE}
    queryset = Dataset.objects.none()
    serializer_class = DatasetOut
    filterset_class = DatasetFilters

    def get_queryset(self) -> QuerySet[Dataset]:
        return _counted(selectors.datasets(caller_of(self.request)))

    @extend_schema(operation_id="list_datasets", summary="List datasets, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_dataset",
        summary="Create a dataset",
        request=DatasetIn,
        responses={201: DatasetOut},
        parameters=[IDEMPOTENCY_KEY],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = parsed(DatasetBody, request.data)

        def create() -> tuple[int, Any]:
            dataset = services.create_dataset(
                caller=caller, name=body.name, description=body.description or "", datapoints=body.datapoints or []
            )
            found = _counted(selectors.datasets(caller)).get(pk=dataset.pk)
            return 201, dict(DatasetOut(found).data)

        answer = answer_once(
            caller=caller,
            key=request.headers.get("Idempotency-Key"),
            route="POST /api/v1/datasets",
            body=request.data,
            create=create,
        )
        return answered_once(answer, location=f"/api/v1/datasets/{answer.body['id']}")


class DatasetDetail(ProjectView):
    """One dataset."""

    actions = {"GET": Action.DATASETS_READ}

    @extend_schema(operation_id="get_dataset", summary="Show a dataset", responses=DatasetOut)
    def get(self, request: Request, dataset_id: str) -> Response:
        caller = caller_of(request)
        found = _counted(selectors.datasets(caller)).filter(public_id=dataset_id).first()
        if found is None:
            raise selectors.dataset_not_found(dataset_id)
        return Response(DatasetOut(found).data)


class DatasetDatapoints(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Datapoints of a dataset."""

    actions = {"GET": Action.DATASETS_READ}
    queryset = DatasetMembership.objects.none()
    serializer_class = MemberOut
    filter_backends = []

    def get_queryset(self) -> QuerySet[DatasetMembership]:
        dataset = selectors.find_dataset(caller_of(self.request), self.kwargs["dataset_id"])
        return selectors.members_in_order(dataset)

    @extend_schema(operation_id="list_dataset_datapoints", summary="List datapoints in order of evaluation")
    def get(self, request: Request, dataset_id: str) -> Response:
        return self.list(request)


class DatasetExport(ExportView):
    """A dataset as a file."""

    @extend_schema(
        operation_id="export_dataset",
        summary="Download a dataset as CSV or JSON",
        parameters=[FORMAT_PARAMETER],
        responses=FILE_ANSWERS,
    )
    def get(self, request: Request, dataset_id: str) -> StreamingHttpResponse:
        return self.file(request, exports.export_dataset(caller=caller_of(request), dataset_id=dataset_id))
