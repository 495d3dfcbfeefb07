"""Whose export this is, told by names that only one tool uses: a wrong tool must be refused before anything is sent."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.importers.files import read_rows

LOOKED_AT = 50  # rows of each file
_DEEPEST = 3
_OWN_NAMES = {
    "honeyhive": {"event_type", "evaluations", "linked_event", "linked_datasets", "scope_type"},
    "langfuse": {"datasetItemId", "datasetRunId", "observationId", "traceId", "datasetId", "expectedOutput", "userId"},
    "phoenix": {"span_kind", "context.trace_id", "context.span_id", "annotator_kind", "reference_output", "version_id"},
    "mlflow": {"trace_location", "trace_metadata", "columns", "execution_duration", "mlflow_experiment"},
}


def check_tool(tool: str, paths: Sequence[Path]) -> None:
    """Raise ConfigurationError when the files bear names of other tools and none of this one."""
    found: Counter[str] = Counter()
    for path in paths:
        for row in itertools.islice(read_rows([path]), LOOKED_AT):
            names = set(_names(row.value, 0))
            found.update(other for other, own in _OWN_NAMES.items() if names & own)
    if found and not found[tool]:
        likely = found.most_common(1)[0][0]
        raise ConfigurationError(
            f"{paths[0].parent if len(paths) > 1 else paths[0]} looks like an export of {likely}, not of {tool}; "
            f"type: hhweb import {likely} …"
        )


def _names(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _names(item, depth + 1)
    elif isinstance(value, list):
        for item in value[:3]:
            yield from _names(item, depth + 1)
