"""`/api/v1/events…`, paged by key-set: no page costs more than the first."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.serializers import EventFiltersIn, EventOut, EventPageOut
from experiments.selectors.event_pages import EventCursor, EventSelection, page, selected
from experiments.services import exports
from governance.api.authentication import caller_of
from governance.api.requests import FILE_ANSWERS, FORMAT_PARAMETER, ExportView, ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500
_PAGING = {"cursor", "limit", "project", "format"}
_CURSOR = OpenApiParameter("cursor", str, description="`next_cursor` of the page before.")
_LIMIT = OpenApiParameter(
    "limit",
    OpenApiTypes.INT,
    default=_DEFAULT_LIMIT,
    description=f"Events on a page, at most {_MAX_LIMIT}.",
)


def _selection(request: Request) -> EventSelection:
    filters = EventFiltersIn(data=request.query_params.dict())
    known = {*filters.fields, *_PAGING}
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(
                f"Query parameter {name[:80]!r} is unknown here; use one of {', '.join(sorted(known))}.",
                field=name[:200],
            )
    filters.is_valid(raise_exception=True)
    return EventSelection(**filters.validated_data)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit") or str(_DEFAULT_LIMIT)
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 1 <= number <= _MAX_LIMIT:
        raise InvalidInput(
            f"Query parameter 'limit' is {text[:40]!r}; give a whole number from 1 to {_MAX_LIMIT}.",
            field="limit",
            value=text[:200],
            limit=_MAX_LIMIT,
        )
    return number


class EventList(ProjectView):
    """Events of the project."""

    actions = {"GET": Action.EVENTS_READ}

    @extend_schema(
        operation_id="list_events",
        summary="List events, oldest first",
        parameters=[EventFiltersIn, _CURSOR, _LIMIT],
        responses=EventPageOut,
    )
    def get(self, request: Request) -> Response:
        selection, limit = _selection(request), _limit(request)
        text = request.query_params.get("cursor")
        cursor = EventCursor.parse(text) if text else None
        events = page(selected(caller_of(request), selection), cursor=cursor, size=limit + 1)
        shown = events[:limit]
        return Response(
            {
                "results": EventOut(shown, many=True).data,
                "next_cursor": str(EventCursor.of(shown[-1])) if len(events) > limit else None,
            }
        )


class EventExport(ExportView):
    """Events as a file."""

    @extend_schema(
        operation_id="export_events",
        summary="Download events as CSV or JSON",
        parameters=[EventFiltersIn, FORMAT_PARAMETER],
        responses=FILE_ANSWERS,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        return self.file(request, exports.export_events(caller=caller_of(request), selection=_selection(request)))
