"""Middleware of our own: the request log, and compression of pages."""

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django_structlog.middlewares import RequestMiddleware


class RequestLog(RequestMiddleware):
    """Binds a request id to every line of a request and returns it as `X-Request-ID`.

    Paths are logged without their query: filters and ids in it are payload.
    """

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {request.path}"

    def prepare(self, request: HttpRequest) -> None:
        super().prepare(request)
        request.META["hhweb.request_id"] = structlog.contextvars.get_contextvars().get("request_id", "")

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        super().handle_response(request, response)
        response["X-Request-ID"] = request.META.get("hhweb.request_id", "")
        if not response.streaming and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))


class HtmlGZip(GZipMiddleware):
    """Compresses pages only. Static files are compressed once at collection, exports and answers of APIs never:
    a compressed stream would hold rows back, and compression costs more CPU than the loopback saves.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
