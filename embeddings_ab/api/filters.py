"""Filters of the lists of tests and collections; each has an index behind it."""

import django_filters

from embeddings_ab.domain.statuses import CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Collection, CollectionKind
from governance.api.strict_filters import StrictFilters


class TestFilters(StrictFilters):
    """Status; name exactly, or how it begins."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in TestStatus])
    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")

    class Meta:
        model = AbTest
        fields: list[str] = []


class CollectionFilters(StrictFilters):
    """Status and kind."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in CollectionStatus])
    kind = django_filters.ChoiceFilter(choices=CollectionKind.choices)

    class Meta:
        model = Collection
        fields: list[str] = []
