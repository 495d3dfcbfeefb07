"""One shape of errors for the native API: `{"error": {"code", "message", "details"}}`; named by settings."""

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from governance.domain.errors import DomainError, Forbidden, InvalidInput, NotFound, Unauthenticated
from governance.telemetry import count_refusal

log = structlog.get_logger(__name__)


def error_body(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """The shape. `details` always tells the request id, by which the logs are searched."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id:
        details = {**details, "request_id": str(request_id)}
    return {"error": {"code": code, "message": message, "details": details}}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Any exception of a view as an answer. Unforeseen ones are logged whole and told without their insides."""
    set_rollback()
    headers: dict[str, str] = {}
    if isinstance(error, DomainError):
        refusal = error
    elif isinstance(error, exceptions.ValidationError):
        refusal = invalid_fields(error.detail)
    elif isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        refusal = Unauthenticated("An API key is needed. Send 'Authorization: Bearer <key>'.")
    elif isinstance(error, Http404 | exceptions.NotFound):
        refusal = NotFound("There is nothing at this address.")
    elif isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        refusal = Forbidden(str(error) or "You may not do this.")
    elif isinstance(error, exceptions.APIException):
        refusal = DomainError(str(error.detail))
        refusal.code, refusal.status = str(error.default_code), error.status_code
        if isinstance(error, exceptions.MethodNotAllowed) and (view := context.get("view")):
            headers["Allow"] = ", ".join(view.allowed_methods)
    else:
        log.exception("request_failed", exc_info=error)
        refusal = DomainError("Something went wrong on our side. Tell an operator the request id.")
        refusal.code, refusal.status = "internal_error", 500
    count_refusal(refusal.code, refusal.status)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(error_body(refusal.code, refusal.message, refusal.details), status=refusal.status, headers=headers)


def invalid_fields(detail: Any) -> InvalidInput:
    """DRF's nested error lists as our sentence about the first field."""
    path: list[str] = []
    node = detail
    while isinstance(node, dict | list) and node:
        if isinstance(node, dict):
            name, node = next(iter(node.items()))
            if name != "non_field_errors":
                path.append(str(name))
        else:
            index = next((place for place, item in enumerate(node) if item), 0)
            if isinstance(node[index], dict):
                path.append(str(index))
            node = node[index]
    field = ".".join(path) or "body"
    return InvalidInput(f"Field {field!r}: {node}", field=field)


def unknown_address(request: HttpRequest, **path: Any) -> JsonResponse:
    """What answers below /api/v1 where no route is."""
    message = f"There is nothing at {request.path[:200]!r}. GET /api/v1/schema lists what there is."
    return JsonResponse(error_body(NotFound.code, message, {}), status=NotFound.status)
