"""Middleware of our own: the request log, the exchange of versions, and compression of pages."""

import re
import threading
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.deprecation import MiddlewareMixin
from django_structlog.middlewares import RequestMiddleware

from hhweb import __version__

log = structlog.get_logger(__name__)


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


class Versions(MiddlewareMixin):
    """Tells programs which server answers, and logs once a process which clients it has answered.

    Pages and static files do not tell: whoever looks at a login page need not know.
    """

    MOST_CLIENTS = 100  # what clients say of themselves must not fill memory or the log
    _NAME = re.compile(r"[\w.+-]{1,64}", re.ASCII)
    _PAGES = ("/console", "/static/")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._clients: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not request.path.startswith(self._PAGES):
            response["hhweb-version"] = __version__
            package = request.META.get("HTTP_HH_CLIENT_PACKAGE")
            if package is not None and response.status_code < 400:
                self._note(package, request.META.get("HTTP_HH_CLIENT_VERSION", ""))
        return response

    def _note(self, package: str, version: str) -> None:
        client = (package, version)
        if client in self._clients or not all(map(self._NAME.fullmatch, client)):
            return
        with self._lock:
            if client in self._clients or len(self._clients) >= self.MOST_CLIENTS:
                return
            self._clients.add(client)
        log.info("client_seen", package=package, version=version, server_version=__version__)


class HtmlGZip(GZipMiddleware):
    """Compresses pages only. Static files are compressed once at collection, exports and answers of APIs never:
    a compressed stream would hold rows back, and compression costs more CPU than the loopback saves.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
