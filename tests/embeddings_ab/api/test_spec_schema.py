"""The specification in the OpenAPI file: what pydantic says, in the words of OpenAPI 3.0."""

import pytest
from drf_spectacular.generators import SchemaGenerator

from governance.api.spec_schema import in_openapi_3_0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        (
            {"anyOf": [{"type": "number", "exclusiveMaximum": 1}, {"type": "null"}], "default": None, "title": "M"},
            {"type": "number", "maximum": 1, "exclusiveMaximum": True, "nullable": True, "default": None},
        ),
        (
            {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]},
            {"allOf": [{"$ref": "#/x"}], "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}], "nullable": True},
        ),
        (
            {"patternProperties": {"^a": {"$ref": "#/x"}}, "propertyNames": {"pattern": "^a"}, "type": "object"},
            {"additionalProperties": {"$ref": "#/x"}, "type": "object"},
        ),
        (
            {"properties": {"title": {"type": "string", "title": "Title"}}},
            {"properties": {"title": {"type": "string"}}},
        ),
        ({"enum": ["a", 1]}, {"enum": ["a", 1]}),
        (
            {"const": "http", "default": "http", "type": "string"},
            {"enum": ["http"], "default": "http", "type": "string"},
        ),
        (
            {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{"type": "number"}, {"type": "number"}]},
            {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
        ),
    ],
)
def test_newer_words_are_said_in_older_ones(schema, said):
    assert in_openapi_3_0(schema) == said


def test_the_file_describes_arms_with_their_bounds():
    schemas = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]
    arms = schemas["AbTestSpec"]["properties"]["arms"]
    assert arms["additionalProperties"] == {"$ref": "#/components/schemas/AbSpecArmSpec"}
    alpha = schemas["AbTestSpec"]["properties"]["alpha"]
    assert (alpha["minimum"], alpha["exclusiveMinimum"], alpha["maximum"]) == (0, True, 0.5)
    assert schemas["AbSpecArmSpec"]["properties"]["retrieval"]["enum"] == [
        "vector",
        "lexical",
        "hybrid",
        "external",
        "run",
    ]
    assert schemas["AbSpecFusion"]["properties"]["alpha"]["maximum"] == 1
