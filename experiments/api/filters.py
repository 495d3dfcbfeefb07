"""Filters of the native API's lists; each has an index behind it. Unknown parameters are refused, not ignored."""

import django_filters
from django.db.models import Q, QuerySet

from experiments.domain.run_status import RunStatus
from experiments.models import Dataset, Run
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
