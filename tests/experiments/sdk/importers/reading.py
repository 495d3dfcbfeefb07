"""Reading of exports in tests: samples, and files made on the spot."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from experiments.sdk.importers import read_export
from experiments.sdk.importers.files import export_files
from experiments.sdk.importers.things import BadRow, Event, Score, Thing

SAMPLES = Path(__file__).parent / "samples"


def things(tool: str, path: Path, name: str = "capitals") -> list[Thing]:
    """Everything that an export holds, in order."""
    return list(read_export(tool, export_files(path), name=name))


def lines(path: Path, *rows: Any) -> Path:
    """A file of JSON lines; texts go in as they are."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def kinds(found: list[Thing]) -> dict[str, int]:
    """How many things of each class."""
    return dict(Counter(type(each).__name__ for each in found))


def events(found: list[Thing]) -> list[Event]:
    return [each for each in found if isinstance(each, Event)]


def scores(found: list[Thing]) -> list[Score]:
    return [each for each in found if isinstance(each, Score)]


def bad(found: list[Thing]) -> list[BadRow]:
    return [each for each in found if isinstance(each, BadRow)]
