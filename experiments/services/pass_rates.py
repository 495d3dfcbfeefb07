"""Pass rates of many runs at once, for lists: kept ones are read, a few of the others are computed at each call.

A rate costs three queries and a walk over the run's measurements. So that a list never waits for fifty of them, the
newest ones that are not kept are computed, and the others at the next call. The name of a kept rate tells of every
change of the run and of the project's metrics, as in `comparison_answers`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.db.models import Sum

from experiments.adapters import result_cache
from experiments.domain.run_status import RunStatus
from experiments.models import Run, RunRevision
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.models import Project

COMPUTED_AT_ONCE = 6
LARGEST = 2_000  # sessions of a run whose rate a list computes by itself
CONFIDENCE = 0.95
VERSION = 1  # raise it when the same rows would give another rate


def pass_rates(*, caller: Caller, runs: Sequence[Run], sessions: Mapping[str, int]) -> dict[int, dict[str, Any]]:
    """`{passed, total, rate, low, high}` by primary key, of those completed runs whose rate is known.

    `runs` are the caller's. `sessions`: how many each run has, by run id; without any there is no rate. Two queries,
    and three for each of at most six runs that are computed now.
    """
    caller.require(Action.RUNS_READ)
    over = [run for run in runs if run.status == RunStatus.COMPLETED and sessions.get(run.run_key)]
    if not over:
        return {}
    counted = RunRevision.objects.filter(project_id=caller.project_id, run_key__in=[run.run_key for run in over])
    revisions = dict(counted.order_by().values_list("run_key").annotate(total=Sum("revision")))
    metrics = Project.objects.values_list("metrics_revision", flat=True).get(pk=caller.project_id)
    found: dict[int, dict[str, Any]] = {}
    computed = 0
    for run in over:
        name = _name(run, revisions.get(run.run_key, 0), metrics)
        file = result_cache.stored(name)
        if file is not None:
            found[run.pk] = orjson.loads(b"".join(result_cache.pieces(file)))
        elif computed < COMPUTED_AT_ONCE and sessions[run.run_key] <= LARGEST:
            computed += 1
            found[run.pk] = _computed(caller, run, name)
    return found


def _name(run: Run, revision: int, metrics_revision: int) -> str:
    said = ["pass rate", VERSION, run.pk, run.updated_at, revision, metrics_revision, CONFIDENCE]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()


def _computed(caller: Caller, run: Run, name: str) -> dict[str, Any]:
    # These load numpy, which a list of kept rates has no need of.
    from experiments.selectors.comparison import read_side
    from experiments.selectors.comparison_findings import pass_rate_of

    side = read_side(caller=caller, run=run)
    rate = pass_rate_of(side, confidence=CONFIDENCE, is_complete=True).to_json()
    if side.depends_on_run_alone:
        for _ in result_cache.keeping(name, [orjson.dumps(rate)]):
            pass
    return rate
