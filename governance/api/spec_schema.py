"""Specifications in the OpenAPI file: pydantic's own description of a shape, in the words of OpenAPI 3.0."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from pydantic import BaseModel


def described(shape: type[BaseModel], auto_schema: AutoSchema, *, prefix: str) -> dict[str, Any]:
    """The component of a shape; the shapes inside become components of their own, named with the prefix."""
    schema = shape.model_json_schema(ref_template=f"#/components/schemas/{prefix}{{model}}")
    for name, inner in schema.pop("$defs", {}).items():
        auto_schema.registry.register_on_missing(
            ResolvedComponent(f"{prefix}{name}", ResolvedComponent.SCHEMA, in_openapi_3_0(inner), name)  # type: ignore[no-untyped-call]
        )
    found: dict[str, Any] = in_openapi_3_0(schema)
    return found


def in_openapi_3_0(schema: Any) -> Any:
    """JSON Schema 2020-12 as OpenAPI 3.0 can say it, which spells null, open bounds, constants, pairs and named
    patterns otherwise.
    """
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
    if "const" in said:
        said["enum"] = [said.pop("const")]
    if isinstance(places := said.pop("prefixItems", None), list):
        said["items"] = places[0] if all(place == places[0] for place in places) else {}
    said.pop("propertyNames", None)
    return said
