"""The specification of a test in the OpenAPI file."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema

from embeddings_ab.domain.spec import TestSpec
from governance.api.spec_schema import described


class SpecSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How `TestSpec` is described. Goes before the library's own extension, which speaks OpenAPI 3.1."""

    target_class = TestSpec
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str:
        """Name of the component."""
        return "AbTestSpec"

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """The component."""
        return described(TestSpec, auto_schema, prefix="AbSpec")
