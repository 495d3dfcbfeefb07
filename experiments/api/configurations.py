"""`/api/v1/configurations…`: prompt configurations and their versions. They are written at `/v1/configurations`."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.models import Configuration, ConfigurationVersion
from experiments.selectors import configurations as selectors
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.api.strict_filters import StrictFilters
from governance.domain.actions import Action


class ConfigurationOut(serializers.Serializer[Any]):
    """A prompt configuration as its newest version says it."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    type = serializers.CharField()
    provider = serializers.CharField()
    parameters = serializers.JSONField()
    env = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    user_properties = serializers.JSONField(allow_null=True)
    version = serializers.IntegerField(help_text="number of the newest version")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ConfigurationVersionOut(serializers.Serializer[Any]):
    """What a configuration said at one version. Never changes."""

    number = serializers.IntegerField()
    provider = serializers.CharField()
    parameters = serializers.JSONField()
    content_hash = serializers.CharField(help_text="SHA-256 over provider and parameters")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class ConfigurationFilters(StrictFilters):
    """`name` exactly, or how it begins; provider."""

    name = django_filters.CharFilter()
    name_prefix = django_filters.CharFilter(field_name="name", lookup_expr="startswith")
    provider = django_filters.CharFilter()

    class Meta:
        model = Configuration
        fields: list[str] = []


class ConfigurationList(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Configurations of the project."""

    actions = {"GET": Action.METRICS_READ}
    queryset = Configuration.objects.none()
    serializer_class = ConfigurationOut
    filterset_class = ConfigurationFilters

    def get_queryset(self) -> QuerySet[Configuration]:
        return selectors.configurations(caller_of(self.request))

    @extend_schema(operation_id="list_configurations", summary="List prompt configurations by name")
    def get(self, request: Request) -> Response:
        return self.list(request)


class ConfigurationDetail(ProjectView):
    """One configuration."""

    actions = {"GET": Action.METRICS_READ}

    @extend_schema(
        operation_id="get_configuration",
        summary="Show a prompt configuration, by its id or name",
        responses=ConfigurationOut,
    )
    def get(self, request: Request, configuration_id: str) -> Response:
        return Response(ConfigurationOut(selectors.find_configuration(caller_of(request), configuration_id)).data)


class ConfigurationVersions(ListModelMixin, GenericAPIView[Any], ProjectView):
    """Versions of a configuration."""

    actions = {"GET": Action.METRICS_READ}
    queryset = ConfigurationVersion.objects.none()
    serializer_class = ConfigurationVersionOut
    filter_backends = []

    def get_queryset(self) -> QuerySet[ConfigurationVersion]:
        configuration = selectors.find_configuration(caller_of(self.request), self.kwargs["configuration_id"])
        return selectors.versions_of(configuration)

    @extend_schema(operation_id="list_configuration_versions", summary="List versions, newest first")
    def get(self, request: Request, configuration_id: str) -> Response:
        return self.list(request)
