"""Evaluators of JSON documents."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from experiments.domain.builtin_evaluators.operands import library, picked

MOST_ERRORS_SHOWN = 3


def json_valid(outputs: Any, *, key: str | None = None) -> bool:
    """Whether the output is a JSON text (RFC 8259; NaN and Infinity are none).

    A dict of one key is unwrapped. Anything that is no text and that JSON can hold counts as valid.
    """
    try:
        _parsed(picked("outputs", outputs, key))
    except ValueError:
        return False
    return True


def json_schema(
    outputs: Any,
    ground_truth: Any = None,
    *,
    schema: Mapping[str, Any] | bool | None = None,
    key: str | None = None,
    expected_key: str | None = None,
) -> bool | dict[str, Any]:
    """Whether the output satisfies a JSON schema, `schema` or else the ground truth; if not, with an explanation.

    Texts are parsed as JSON first; a text that is none does not satisfy it. Dicts are taken as the document itself,
    one key or more. The draft is the one of `$schema`, else 2020-12. `$ref` to other addresses is an error: nothing
    is fetched. Source: the library jsonschema. Undefined (ValueError) without a schema or with a bad one.
    """
    if schema is None:
        if ground_truth is None:
            raise ValueError("no schema: give schema={…}, or put one into the datapoint's ground truth")
        schema = ground_truth if expected_key is None else picked("ground_truth", ground_truth, expected_key)
    try:
        document = _parsed(outputs if key is None else picked("outputs", outputs, key))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return {"score": False, "explanation": f"no JSON: {error}"}
    validator = _validator(json.dumps(schema, sort_keys=True))
    try:
        errors = sorted(validator.iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    except library("referencing.exceptions").Unresolvable as error:
        raise ValueError(f"the schema refers to {error.ref!r}, which is not in it; nothing is fetched") from None
    if not errors:
        return True
    told = [f"{error.json_path}: {error.message}" for error in errors[:MOST_ERRORS_SHOWN]]
    more = [f"and {len(errors) - MOST_ERRORS_SHOWN} more"] if len(errors) > MOST_ERRORS_SHOWN else []
    return {"score": False, "explanation": "; ".join([*told, *more])}


def _parsed(value: Any) -> Any:
    """The document in a text, or the value itself if JSON can hold it. Raises ValueError."""
    if not isinstance(value, str | bytes):
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"JSON cannot hold it: {error}") from None
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not in JSON", name, 0)


@functools.lru_cache(maxsize=64)
def _validator(schema_text: str) -> Any:
    jsonschema = library("jsonschema")
    schema = json.loads(schema_text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"the schema is no JSON schema: {error.json_path}: {error.message}") from None
    # An empty registry instead of the default one, which would fetch references over the network.
    return kind(schema, registry=library("referencing").Registry())
