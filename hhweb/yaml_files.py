"""Specifications that people write, as YAML or JSON files: no code, dates as text, and no name twice."""

from pathlib import Path
from typing import Any

import click
import yaml


class _Loader(yaml.SafeLoader):
    """YAML without code, dates as text, and without the silent overwriting of a key that stands twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} cannot be a key", key_node.start_mark)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def read_mapping(path: Path, *, hint: str) -> dict[str, Any]:
    """The specification in a YAML (or JSON) file; what it means is checked by the server.

    Raises a UsageError that names file and line; `hint` says what to do about a file that holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise click.UsageError(f"{path}{place}: {getattr(error, 'problem', None) or 'not YAML'}.") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not UTF-8.") from None
    if not isinstance(content, dict):
        raise click.UsageError(f"{path} holds no specification; {hint}.")
    return content
