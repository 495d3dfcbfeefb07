"""Parts of console pages that refresh themselves: one fragment, and 304 while nothing changed."""

import hashlib
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def fragment(
    request: HttpRequest, template: str, context: dict[str, Any] | Callable[[], dict[str, Any]], seen: object
) -> HttpResponse:
    """The rendered part under an ETag of `seen`, all that it shows; relative times alone do not count as a change.

    A `context` that is costly is given as a function: it is not called when nothing changed.
    """
    tag = f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:24]}"'
    if request.headers.get("If-None-Match") == tag:
        answer = HttpResponse(status=304)
    else:
        known = context() if callable(context) else context
        answer = HttpResponse(render_to_string(template, known, request=request))
    answer["ETag"] = tag
    return answer
