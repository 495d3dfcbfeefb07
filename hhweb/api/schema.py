"""The OpenAPI description of the native API: served at /api/v1/schema, committed as docs/openapi.yaml."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class CallerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How `governance.api.authentication.CallerAuthentication` is described."""

    target_class = "governance.api.authentication.CallerAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "description": "A project key of the project."}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string", "description": "stable, for programs"},
                "message": {"type": "string", "description": "a sentence a user can act on"},
                "details": {"type": "object", "additionalProperties": {}, "description": "field, value, request_id, …"},
            },
        }
    },
}
_METHODS = {"get", "post", "put", "patch", "delete"}


def add_error_answers(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Every operation may answer with the one error shape."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    answer = {
        "description": "A refusal.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for operations in result["paths"].values():
        for method, operation in operations.items():
            if method in _METHODS:
                operation["responses"]["4XX"] = answer
    return result
