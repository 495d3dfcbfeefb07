"""Reads a test's specification: what is wrong with it becomes one refusal that names path, value and remedy.

REST, the command line and the console all read specifications through here, so that they refuse with the same words.
"""

from typing import Any

from pydantic import ValidationError

from embeddings_ab.domain.spec import TestSpec
from governance.domain.spec_faults import no_mapping, refused_spec

_ARM_NAMES = "An arm's name begins with a letter or digit and has at most 64 letters, digits, blanks and _ . + - signs."


def read_spec(data: Any) -> TestSpec:
    """The specification, checked whole. Raises `InvalidInput` as `refused_spec` words it."""
    if not isinstance(data, dict):
        raise no_mapping(data, "name, corpus, query_set, metrics and arms")
    try:
        return TestSpec.model_validate(data)
    except ValidationError as error:
        raise refused_spec(error, TestSpec, key_rule=_ARM_NAMES) from None
