"""Filters of the native API's lists; each has an index behind it. Unknown parameters are refused, not ignored."""

import django_filters
from django.db.models import Q, QuerySet

from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus
from experiments.domain.run_status import RunStatus
from experiments.models import DatapointRun, Dataset, Experiment, Run
from experiments.selectors.experiments import of_datasets, with_tag
from governance.api.filters import MomentFilter
from governance.api.strict_filters import StrictFilters


class DatasetFilters(StrictFilters):
    """`name` exactly, or how it begins."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")

    class Meta:
        model = Dataset
        fields: list[str] = []


class RunFilters(StrictFilters):
    """Status, dataset (managed or `EXT-…`), beginning of the name, time of creation."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in RunStatus])
    dataset = django_filters.CharFilter(method="of_dataset", label="id of a managed or an external dataset")
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lte")

    class Meta:
        model = Run
        fields: list[str] = []

    def of_dataset(self, queryset: QuerySet[Run], name: str, value: str) -> QuerySet[Run]:
        """Runs over a dataset; ids that begin with EXT- are the client's own."""
        if value.startswith("EXT-"):
            return queryset.filter(offline_dataset_id=value)
        return queryset.filter(Q(dataset__public_id=value))


class ExperimentFilters(StrictFilters):
    """Status, tag, dataset, schedule, name exactly or how it begins, time of creation."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in ExperimentStatus])
    tag = django_filters.CharFilter(method="of_tag", label="a tag, exactly")
    dataset = django_filters.CharFilter(method="of_dataset", label="id of the dataset")
    schedule = django_filters.CharFilter(field_name="schedule__public_id", label="id of the schedule")
    name = django_filters.CharFilter(field_name="run__name")
    name_prefix = django_filters.CharFilter(field_name="run__name", lookup_expr="startswith")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lte")

    class Meta:
        model = Experiment
        fields: list[str] = []

    def of_tag(self, queryset: QuerySet[Experiment], name: str, value: str) -> QuerySet[Experiment]:
        """Those with the tag."""
        return with_tag(queryset, value)

    def of_dataset(self, queryset: QuerySet[Experiment], name: str, value: str) -> QuerySet[Experiment]:
        """Those over any version of the dataset."""
        return of_datasets(queryset, value)


class DatapointRunFilters(StrictFilters):
    """Status, error class of the last attempt, datapoint."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in DatapointRunStatus])
    error_class = django_filters.CharFilter()
    datapoint = django_filters.CharFilter(field_name="datapoint_key", label="id of the datapoint")

    class Meta:
        model = DatapointRun
        fields: list[str] = []
