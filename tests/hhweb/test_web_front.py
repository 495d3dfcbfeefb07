"""What every answer of the web processes carries, and what pages alone get."""

import pytest
import structlog
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from hhweb import __version__
from hhweb.middleware import HtmlGZip, Versions

POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}


def test_policy_is_exactly_the_chosen_one():
    response = Client().get("/health/live")
    assert set(response["Content-Security-Policy"].split("; ")) == POLICY
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("content_type", "packed"), [("text/html; charset=utf-8", True), ("application/json", False), ("text/csv", False)]
)
def test_only_pages_are_compressed(content_type, packed):
    request = RequestFactory(headers={"accept-encoding": "gzip"}).get("/")
    response = HtmlGZip(lambda request: HttpResponse(b"x" * 5000, content_type=content_type))(request)
    assert response.has_header("Content-Encoding") is packed


def test_streamed_exports_pass_untouched():
    request = RequestFactory(headers={"accept-encoding": "gzip"}).get("/")
    response = HtmlGZip(lambda request: StreamingHttpResponse(iter([b"a", b"b"]), content_type="text/csv"))(request)
    assert list(response) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/runs", 401),
        ("/opentelemetry/v1/traces", 405),
        ("/v1/nothing/here", 404),
        ("/api/v1/runs", 401),
        ("/api/v1/nothing", 404),
        ("/api/v1/schema", 200),
        ("/health/live", 200),
    ],
)
def test_programs_are_told_the_version_on_every_answer(db, path, status):
    response = Client().get(path)
    assert (response.status_code, response["hhweb-version"]) == (status, __version__)


@pytest.mark.parametrize("path", ["/console/login/", "/static/nothing.css"])
def test_pages_do_not_tell_the_version(db, path):
    assert not Client().get(path).has_header("hhweb-version")


def answer(middleware, package, version, status=200):
    headers = {"hh-client-package": package, "hh-client-version": version}
    return middleware.process_response(RequestFactory(headers=headers).get("/v1/runs"), HttpResponse(status=status))


def test_a_client_is_logged_once_and_neither_its_text_nor_its_number_can_fill_the_log(monkeypatch):
    # A logger that was used before keeps its own processors.
    monkeypatch.setattr("hhweb.middleware.log", structlog.get_logger("a logger of this test"))
    middleware = Versions(lambda request: HttpResponse())
    with structlog.testing.capture_logs() as lines:
        for package, version in [("hhweb", "0.1.0"), ("honeyhive", "1.7.0")] * 2 + [("x y", "1"), ("x", "1" * 65)]:
            answer(middleware, package, version)
        answer(middleware, "stranger", "1", status=401)
        middleware.process_response(RequestFactory().get("/v1/runs"), HttpResponse())
        assert [(line["event"], line["package"], line["version"]) for line in lines] == [
            ("client_seen", "hhweb", "0.1.0"),
            ("client_seen", "honeyhive", "1.7.0"),
        ]
        for number in range(200):
            answer(middleware, "hhweb", f"0.{number}")
    assert len(lines) == Versions.MOST_CLIENTS
