"""Answers that are kept under the hash of what they were made from: tagged, and not sent twice."""

from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.request import Request

from experiments.services.comparison_answers import Question


def answered(request: Request, question: Question) -> HttpResponse:
    """The answer with its strong ETag; 304 for a client that holds it already, which needs no computation."""
    etag = f'"{question.identity}"'
    # A client can only know the tag from an answer that bore it.
    if request.headers.get("If-None-Match"):
        held = get_conditional_response(request._request, etag=etag)
        if held is not None:
            return _tagged(held, etag)
    found = question.answer()
    answer = HttpResponse(found.body, content_type="application/json")
    return answer if found.identity is None else _tagged(answer, etag)


def _tagged(answer: HttpResponse, etag: str) -> HttpResponse:
    answer["ETag"] = etag
    answer["Cache-Control"] = "private, no-cache"
    return answer
