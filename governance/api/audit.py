"""Native endpoints of the audit trail: reading it by key-set pages, and having it verified."""

from collections.abc import Sequence
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.api.filters import MomentFilter
from governance.domain.errors import InvalidInput
from governance.models import AuditChain, AuditEntry, AuditVerification
from governance.selectors import audit as selectors
from governance.services import audit_verification_jobs

_DEFAULT_LIMIT, _MAX_LIMIT = 50, 500
_LARGEST = 2**63 - 1


class EntryShape(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        fields = (
            "sequence",
            "at",
            "actor_kind",
            "actor_id",
            "actor_label",
            "action",
            "target_kind",
            "target_id",
            "target_label",
            "before",
            "after",
            "request_id",
            "address",
            "previous_hash",
            "hash",
        )


class VerificationShape(serializers.ModelSerializer[AuditVerification]):
    id = serializers.CharField(source="public_id", read_only=True)

    class Meta:
        model = AuditVerification
        fields = ("id", "status", "created_at", "finished_at", "checked_through", "first_bad_sequence", "message")


class EntryFilters(filters.FilterSet):  # type: ignore[misc]
    since = MomentFilter(field_name="at", lookup_expr="gte", label="entries from this moment")
    until = MomentFilter(field_name="at", lookup_expr="lt", label="entries before this moment")
    action = filters.CharFilter(label="e.g. key.create")
    actor = filters.CharFilter(field_name="actor_id", label="public id of a key, or id of a user")
    target_kind = filters.CharFilter()
    target = filters.CharFilter(field_name="target_id", label="id of what was changed")
    request_id = filters.CharFilter()

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = ()


class KeySetPages(BasePagination):
    """Pages that neither shift nor slow down as the trail grows: `before` is the sequence the last page ended with."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """One page, newest first; reads one row more to know whether there is a next one."""
        limit = _number(request, "limit", _DEFAULT_LIMIT, _MAX_LIMIT)
        before = _number(request, "before", _LARGEST, _LARGEST)
        rows = list(queryset.filter(sequence__lt=before)[: limit + 1])
        self.next_before = rows[limit - 1].sequence if len(rows) > limit else None
        # Stored, not counted: entries are numbered without gaps.
        head = AuditChain.objects.filter(name=caller_of(request).project_public_id).values_list("last_sequence")
        self.total = head.first()
        return rows[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        """The answer's shape; `total` is of the whole trail, without filters."""
        total = self.total[0] if self.total else 0
        return Response({"results": data, "pagination": {"next_before": self.next_before, "total": total}})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The same for the OpenAPI file."""
        place = {
            "type": "object",
            "required": ["next_before", "total"],
            "properties": {
                "next_before": {"type": "integer", "nullable": True, "description": "`before` of the next page"},
                "total": {"type": "integer", "description": "entries of the trail, without filters"},
            },
        }
        return {
            "type": "object",
            "required": ["results", "pagination"],
            "properties": {"results": schema, "pagination": place},
        }

    def get_schema_operation_parameters(self, view: APIView) -> Sequence[dict[str, Any]]:  # type: ignore[override]
        """The query parameters for the OpenAPI file."""
        limit = {"type": "integer", "minimum": 1, "maximum": _MAX_LIMIT, "default": _DEFAULT_LIMIT}
        before = {"type": "integer", "minimum": 1}
        return [
            {"name": "before", "in": "query", "required": False, "schema": before},
            {"name": "limit", "in": "query", "required": False, "schema": limit},
        ]


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name) or str(default)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if not 1 <= number <= most:
        raise InvalidInput(
            f"Query parameter {name!r} is {text[:40]!r}; give a whole number from 1 to {most}.",
            field=name,
            value=text[:200],
            limit=most,
        )
    return number


class EntryList(generics.ListAPIView[AuditEntry]):
    """The audit trail of the project, newest first."""

    queryset = AuditEntry.objects.none()
    serializer_class = EntryShape
    filterset_class = EntryFilters
    pagination_class = KeySetPages

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.audit_entries(caller=caller_of(self.request))


class VerificationList(generics.ListAPIView[AuditVerification]):
    """Walks over the chain, newest first."""

    queryset = AuditVerification.objects.none()
    serializer_class = VerificationShape
    filterset_fields = ("status",)

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.verifications(caller=caller_of(self.request))

    @extend_schema(operation_id="audit_verifications_create", request=None, responses={202: VerificationShape})
    def post(self, request: Request) -> Response:
        """Have the chain walked by a worker; one that is under way already is returned instead."""
        job = audit_verification_jobs.request_verification(caller=caller_of(request))
        return Response(VerificationShape(job).data, status=status.HTTP_202_ACCEPTED)


class VerificationView(APIView):
    @extend_schema(operation_id="audit_verifications_read", responses=VerificationShape)
    def get(self, request: Request, verification_id: str) -> Response:
        """One walk: how far it is, and what it found."""
        job = selectors.verification(caller=caller_of(request), public_id=verification_id)
        return Response(VerificationShape(job).data)
