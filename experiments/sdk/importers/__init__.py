"""Experiments of other tools, from the files that these export: one module per tool, one way to the server."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.sdk.importers.things import Thing

FORMATS = ("honeyhive", "langfuse", "phoenix", "mlflow")


def read_export(tool: str, paths: Sequence[Path], *, name: str) -> Iterator[Thing]:
    """What the files of `tool` (one of FORMATS) hold, in an order in which everything comes after what it refers to.

    `name` names datasets and runs that have no name in the files. What cannot be understood comes as a `BadRow`.
    """
    module = importlib.import_module(f"{__name__}.{tool}")
    found: Iterator[Thing] = module.read(paths, name=name)
    return found
