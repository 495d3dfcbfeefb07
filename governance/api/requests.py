"""What the views of every app's native API share: rights asked for first, creates answered once, files as answers."""

from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.domain.actions import Action
from governance.domain.file_exports import Export, download, valid_format
from governance.services.idempotency import Answer


class ProjectView(APIView):
    """A view of one project's things. `actions` says what each method needs."""

    actions: dict[str, Action] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, then ask for the right, before any object is looked up."""
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else request.method
        if (action := self.actions.get(method or "")) is not None:
            caller_of(request).require(action)


def answered_once(answer: Answer, *, location: str) -> Response:
    """The answer of a create: where the thing is, and whether an earlier request with the same key made it."""
    headers = {"Location": location}
    if answer.is_replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body, status=answer.status, headers=headers)


class FormatIsAParameter(BaseContentNegotiation):
    """`?format=` chooses the file, whatever the client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class ExportView(ProjectView):
    """A view that answers with a file."""

    actions = {"GET": Action.EXPORTS_READ}
    content_negotiation_class = FormatIsAParameter

    def file(self, request: Request, export: Export) -> StreamingHttpResponse:
        """The answer: headers now, rows as they are read."""
        made = download(export, valid_format(request.query_params.get("format", "")))
        return StreamingHttpResponse(made.pieces, headers=made.headers)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse an unknown format before anything is audited."""
        super().initial(request, *args, **kwargs)
        valid_format(request.query_params.get("format", ""))


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="A repeated create with it returns the first answer."
)
FORMAT_PARAMETER = OpenApiParameter("format", str, enum=["csv", "json"], default="csv", description="Kind of file.")
FILE_ANSWERS = {
    (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="The file; columns in docs/exports.md."),
    (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT, description="The same as one JSON object."),
}
