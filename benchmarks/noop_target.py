"""The registered callable of benchmarks/experiments_bench.py: does nothing."""

from typing import Any


def noop(inputs: dict[str, Any]) -> dict[str, Any]:
    """Give back the number that came in."""
    return {"number": inputs["number"]}
