"""The `dataset` argument: a list of dicts, a file, a frame; or a dataset that the server stores."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client

Row = dict[str, Any]
NESTED = ("inputs", "ground_truth", "metadata")
FORMATS = ".json (a list), .jsonl (an object a line) and .csv"


def load(dataset: Any) -> list[Row]:
    """Datapoints of what was given as `dataset`. Raises ConfigurationError naming what is wrong with it."""
    if isinstance(dataset, str | Path):
        return read_file(Path(dataset))
    if hasattr(dataset, "to_dict") and hasattr(dataset, "columns"):
        return _checked([nested(_plain(row)) for row in dataset.to_dict("records")], "dataset")
    if not isinstance(dataset, Sequence):
        raise ConfigurationError(
            f"'dataset' must be a list of dicts, a path to {FORMATS}, or a pandas frame, not {type(dataset).__name__}."
        )
    return _checked(list(dataset), "dataset")


def read_file(path: Path) -> list[Row]:
    """Datapoints of a JSON, JSONL or CSV file.

    CSV columns named `inputs.x`, `ground_truth.x` and `metadata.x` make nested objects, others stay as they are; an
    empty cell is None. Raises ConfigurationError naming file, line and remedy.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".json", ".jsonl", ".ndjson", ".csv"):
        raise ConfigurationError(f"Dataset {path} is of no known kind; use {FORMATS}.")
    try:
        # Ends of lines as they are: inside of quotes they belong to the cell.
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"Dataset {path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"Dataset {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    if kind == ".csv":
        return _checked([nested(row) for row in _csv_rows(path, text)], str(path))
    if kind == ".json":
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"Dataset {path} is no JSON: {error}.") from None
        if not isinstance(found, list):
            raise ConfigurationError(f"Dataset {path} holds {type(found).__name__}; it must be a list of objects.")
        return _checked(found, str(path))
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ConfigurationError(f"Dataset {path}, line {number}, is no JSON: {error}.") from None
    return _checked(rows, str(path))


def fetch(client: "Client", dataset_id: str) -> tuple[list[Row], list[str]]:
    """(datapoints, their ids) of a stored dataset, in its order. Raises ConfigurationError when there is none."""
    found = client.datasets(dataset_id=dataset_id)
    if not found:
        raise ConfigurationError(
            f"Dataset {dataset_id!r} does not exist in this project; `hhweb datasets list` shows those that do."
        )
    wanted = [str(key) for key in found[0].get("datapoints") or []]
    stored = {str(row["id"]): row for row in client.datapoints(ids=wanted)} if wanted else {}
    ids = [key for key in wanted if key in stored]
    if not ids:
        raise ConfigurationError(f"Dataset {dataset_id!r} has no datapoints; add some first.")
    return [{**stored[key], "inputs": stored[key].get("inputs") or {}} for key in ids], ids


def nested(row: Mapping[str, Any]) -> Row:
    """A flat row with its `inputs.x`, `ground_truth.x` and `metadata.x` columns gathered; empty cells left out."""
    shown: Row = {}
    for name, value in row.items():
        head, dot, rest = str(name).partition(".")
        if not dot or head not in NESTED:
            shown[str(name)] = value
            continue
        inside = shown.setdefault(head, {})
        if not isinstance(inside, dict):
            raise ConfigurationError(f"Columns {head!r} and {name!r} contradict each other; keep one form.")
        inside[rest] = value
    return shown


def _csv_rows(path: Path, text: str) -> Iterable[Row]:
    # Not splitlines(): it also cuts at U+2028 and the like, which stand in texts unquoted.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                raise ConfigurationError(
                    f"Dataset {path}, line {reader.line_num}, has more cells than the header has names."
                )
            yield {name: None if value in ("", None) else value for name, value in row.items()}
    except csv.Error as error:
        raise ConfigurationError(f"Dataset {path}, line {reader.line_num}, is no CSV: {error}.") from None


def _plain(row: Mapping[Any, Any]) -> Row:
    """A frame's row: its missing values are NaN, numpy's scalars know their plain form."""
    shown = {}
    for name, value in row.items():
        plain = value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value
        shown[str(name)] = None if isinstance(plain, float) and math.isnan(plain) else plain
    return shown


def _checked(rows: list[Any], where: str) -> list[Row]:
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ConfigurationError(
                f"Item {index} of {where} is {type(row).__name__}; every datapoint must be a dict, "
                'like {"inputs": {...}, "ground_truth": {...}}.'
            )
    if not rows:
        raise ConfigurationError(f"{where} has no datapoints; give at least one.")
    return [dict(row) for row in rows]
