"""Native endpoints of the project itself, its quotas and what ingestion counted."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.api.filters import MomentFilter
from governance.models import IngestionCount, Project, ProjectStatus, Quota
from governance.selectors import projects as selectors
from governance.services import projects, quotas
from governance.services.ingestion_quota import current_month


class ProjectShape(serializers.ModelSerializer[Project]):
    id = serializers.CharField(source="public_id", read_only=True)

    class Meta:
        model = Project
        fields = ("id", "name", "description", "status", "created_at", "updated_at")


class ProjectChange(serializers.Serializer[Project]):
    status = serializers.ChoiceField(choices=ProjectStatus.values, help_text="`suspended` answers 403 to every key")


class QuotaShape(serializers.ModelSerializer[Quota]):
    used = serializers.SerializerMethodField(help_text="events: used or reserved in the present month (UTC)")

    class Meta:
        model = Quota
        fields = ("resource", "ceiling", "used", "period_start", "updated_at")

    def get_used(self, quota: Quota) -> int:
        """What a past month used is not used now."""
        return selectors.used_now(quota, current_month())


class QuotaChange(serializers.Serializer[Quota]):
    ceiling = serializers.IntegerField(min_value=0)


class UsageShape(serializers.Serializer[selectors.UsageHour]):
    hour = serializers.DateTimeField()
    key_label = serializers.CharField()
    requests = serializers.IntegerField()
    events = serializers.IntegerField()
    rejected = serializers.IntegerField()


class UsageFilters(filters.FilterSet):  # type: ignore[misc]
    since = MomentFilter(field_name="hour", lookup_expr="gte", label="hours from this one")
    until = MomentFilter(field_name="hour", lookup_expr="lt", label="hours before this one")
    key_label = filters.CharFilter(label="one key")

    class Meta:
        model = IngestionCount
        fields: tuple[str, ...] = ()


class ProjectView(APIView):
    @extend_schema(operation_id="project_read", responses=ProjectShape)
    def get(self, request: Request) -> Response:
        """The project of the key."""
        return Response(ProjectShape(selectors.project_of(caller=caller_of(request))).data)

    @extend_schema(operation_id="project_change", request=ProjectChange, responses=ProjectShape)
    def patch(self, request: Request) -> Response:
        """Suspend or resume the project; owners only, so by a session: no key has this right."""
        change = ProjectChange(data=request.data)
        change.is_valid(raise_exception=True)
        project = projects.set_status(caller=caller_of(request), status=ProjectStatus(change.validated_data["status"]))
        return Response(ProjectShape(project).data)


class QuotaList(generics.ListAPIView[Quota]):
    """Ceilings and use."""

    queryset = Quota.objects.none()
    serializer_class = QuotaShape
    filter_backends = ()

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.quotas(caller=caller_of(self.request))


class QuotaView(APIView):
    @extend_schema(operation_id="quotas_change", request=QuotaChange, responses=QuotaShape)
    def patch(self, request: Request, resource: str) -> Response:
        """Change a ceiling; 409 when more is used already."""
        change = QuotaChange(data=request.data)
        change.is_valid(raise_exception=True)
        quota = quotas.set_ceiling(
            caller=caller_of(request), resource=resource, ceiling=change.validated_data["ceiling"]
        )
        return Response(QuotaShape(quota).data)


class UsageList(generics.ListAPIView[IngestionCount]):
    """What ingestion counted by hour and key, newest first."""

    queryset = IngestionCount.objects.none()
    serializer_class = UsageShape  # type: ignore[assignment]
    filterset_class = UsageFilters

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.usage_by_hour(caller=caller_of(self.request))
