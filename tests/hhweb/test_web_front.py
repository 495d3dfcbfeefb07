"""What every answer of the web processes carries, and what pages alone get."""

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from hhweb.middleware import HtmlGZip

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
