"""The specification of a test in the OpenAPI file: pydantic's own description, in the words of OpenAPI 3.0."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from embeddings_ab.domain.spec import TestSpec


class SpecSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How `TestSpec` is described. Goes before the library's own extension, which speaks OpenAPI 3.1."""

    target_class = TestSpec
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str:
        """Name of the component."""
        return "AbTestSpec"

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """The component; the shapes inside become components of their own."""
        schema = TestSpec.model_json_schema(ref_template="#/components/schemas/AbSpec{model}")
        for name, inner in schema.pop("$defs", {}).items():
            auto_schema.registry.register_on_missing(
                ResolvedComponent(f"AbSpec{name}", ResolvedComponent.SCHEMA, in_openapi_3_0(inner), name)  # type: ignore[no-untyped-call]
            )
        described: dict[str, Any] = in_openapi_3_0(schema)
        return described


def in_openapi_3_0(schema: Any) -> Any:
    """JSON Schema 2020-12 as OpenAPI 3.0 can say it, which spells null, open bounds and named patterns otherwise."""
    if isinstance(schema, list):
        return [in_openapi_3_0(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    said = {
        # Below "properties" the keys are names of fields.
        key: {name: in_openapi_3_0(each) for name, each in value.items()}
        if key == "properties"
        else in_openapi_3_0(value)
        for key, value in schema.items()
        if key not in ("title", "default")
    }
    if "default" in schema:
        said["default"] = schema["default"]
    choices = said.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        del said["anyOf"]
        rest = [choice for choice in choices if choice != {"type": "null"}]
        if len(rest) > 1:
            rest = [{"anyOf": rest}]
        said |= {"allOf": rest} if rest[0].keys() & {"$ref", "anyOf"} else rest[0]
        said["nullable"] = True
    for bound in ("Minimum", "Maximum"):
        if type(said.get(f"exclusive{bound}")) in (int, float):  # a boolean was spelled so already
            said[bound.lower()] = said[f"exclusive{bound}"]
            said[f"exclusive{bound}"] = True
    if isinstance(named := said.pop("patternProperties", None), dict):
        said["additionalProperties"] = next(iter(named.values()))
    said.pop("propertyNames", None)
    return said
