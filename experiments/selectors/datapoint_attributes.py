"""What datapoints are like, by a key that the user names: `metadata.topic`, `inputs.language`."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from django.db.models import F
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTransform

from experiments.domain.comparison_options import path_of
from experiments.models import Datapoint, DatapointRun, Event, Run
from governance.domain.caller import Caller

LONGEST_LABEL = 200


def attributes_of(*, caller: Caller, runs: Sequence[Run], key: str) -> dict[str, str]:
    """Text of `key` by datapoint id, for the datapoints of the given runs that have it. Three queries.

    The version of the dataset that a run pinned knows best, then the datapoint as it is now, then what the sessions
    say; of two runs that disagree the last one given counts. Texts are cut at 200 characters, numbers and booleans
    are written as in JSON.
    """
    run_keys = [run.run_key for run in runs]
    sessions = Event.objects.filter(
        project_id=caller.project_id, run_key__in=run_keys, event_type="session", datapoint_key__isnull=False
    )
    told = sessions.order_by("id").values_list("run_key", "datapoint_key", _value("", key))
    by_run: dict[str, list[tuple[str, Any]]] = {}
    for run_key, datapoint, value in told:
        by_run.setdefault(str(run_key), []).append((str(datapoint), value))
    found: dict[str, str] = {}
    for run_key in run_keys:
        found.update(_labels(by_run.get(run_key, ())))
    datapoints = Datapoint.objects.filter(
        project_id=caller.project_id, public_id__in=sessions.order_by().values("datapoint_key")
    )
    found.update(_labels(datapoints.values_list("public_id", _value("", key))))
    pinned = DatapointRun.objects.filter(
        experiment__project_id=caller.project_id, experiment__run__in=runs, repetition=0
    ).order_by("id")
    found.update(_labels(pinned.values_list("datapoint_key", _value("snapshot__", key))))
    return found


def _value(relation: str, key: str) -> Combinable:
    root, keys = path_of(key)
    value: Any = F(f"{relation}{root}")
    for each in keys:
        value = KeyTransform(each, value)
    return value  # type: ignore[no-any-return]


def _labels(rows: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {datapoint: _text(value)[:LONGEST_LABEL] for datapoint, value in rows if value not in (None, "")}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
