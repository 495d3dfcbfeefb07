"""OTLP over HTTP: the official client's path and the standard one. Acknowledged after the commit."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from experiments.domain import otlp
from experiments.honeyhive_api.door import Call, endpoint, read_body, reply, resource
from experiments.services.ingestion import Outcome, ingest
from governance.domain.actions import Action
from governance.domain.errors import PayloadTooLarge

MAX_SOURCE = 255


@endpoint(Action.EVENTS_WRITE, json_body=False)
def export_traces(call: Call) -> HttpResponse:
    request = call.request
    outcome = ingest(
        caller=call.caller,
        raw=_read(request),
        content_type=request.META.get("CONTENT_TYPE", ""),
        content_encoding=request.META.get("HTTP_CONTENT_ENCODING", ""),
        source=request.META.get("HTTP_X_SOURCE", "")[:MAX_SOURCE],
    )
    return _answer(outcome)


def _read(request: HttpRequest) -> bytes:
    """The body; sent in chunks it has no announced length, which Django takes for no body at all."""
    if "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        return read_body(request)
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    raw: bytes = request.META["wsgi.input"].read(limit + 1)
    if len(raw) > limit:
        raise PayloadTooLarge(f"The request body is larger than {limit} bytes; send smaller batches.")
    return raw


def _answer(outcome: Outcome) -> HttpResponse:
    """An ExportTraceServiceResponse in the encoding of the request."""
    if outcome.media_type == otlp.PROTOBUF:
        from experiments.domain.otlp_protobuf import encode_answer

        return HttpResponse(encode_answer(outcome.rejected, outcome.message), content_type=otlp.PROTOBUF)
    if not outcome.rejected:
        return reply({})
    return reply({"partialSuccess": {"rejectedSpans": str(outcome.rejected), "errorMessage": outcome.message}})


urlpatterns: list[URLPattern] = [
    path("opentelemetry/v1/traces", resource(POST=export_traces)),
    path("v1/traces", resource(POST=export_traces)),
]
