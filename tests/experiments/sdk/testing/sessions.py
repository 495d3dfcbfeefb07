"""What tests of the plugin share: a module's usual beginning, and what the server was told."""

import importlib.metadata
from collections.abc import Callable
from typing import Any

import pytest

from tests.experiments.sdk.fault_server import FaultServer

IS_INSTALLED = any(entry.name == "hhweb" for entry in importlib.metadata.entry_points(group="pytest11"))
OPTIONS = ["-p", "no:cacheprovider", "-p", "no:django", "-p", "no:xdist"]
OPTIONS += [] if IS_INSTALLED else ["-p", "experiments.sdk.pytest_plugin"]
BEGINNING = """
import pytest
from experiments import evaluator

def upper(inputs):
    return inputs["word"].upper()

@evaluator
def same(outputs, ground_truth):
    return outputs == ground_truth
"""
Run = Callable[..., pytest.RunResult]


def only_run(server: FaultServer) -> dict[str, Any]:
    (found,) = server.runs.values()
    return found


def by_test(server: FaultServer) -> dict[str, dict[str, Any]]:
    """Sessions by what is behind `::` in their datapoint's id."""
    return {each["metadata"]["datapoint_id"].partition("::")[2]: each for each in server.sessions.values()}
