"""Comparisons as finished answers: computed once, then kept as files under the hash of what they were made from.

The name of an answer tells of every change of the runs (their revisions), of the project's metrics, of the options and
of the keys that cluster or slice, so that nothing is ever missed and nothing has to be thrown away. What is asked of a
run under way changes with every event, and is computed again. numpy and scipy are loaded when something is computed.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from experiments.adapters import result_cache
from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.comparison_options import DEFAULT_CONFIDENCE, ComparisonOptions
from experiments.domain.filters import Condition
from experiments.models import Run
from experiments.selectors.comparison import comparison_of, read_side, sides_of
from experiments.selectors.datapoint_attributes import attributes_of
from experiments.selectors.results import Computation, result_identity
from experiments.selectors.runs import get_run
from experiments.telemetry import RESULT_READS
from governance.domain.actions import Action
from governance.domain.caller import Caller

ANSWER_VERSION = 2  # raise it when the same rows would give other bytes
PAIRS_UNASKED = 200_000  # of all metrics: statistics of more are computed for `compare-with` only when asked for
_JSON = orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of JSON. `identity` changes whenever they may, and is a strong ETag; None: not to be relied on."""

    body: bytes
    identity: str | None

    @property
    def document(self) -> dict[str, Any]:
        """The answer as plain data; times are texts."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which runs; `identity` is known before anything is computed."""

    caller: Caller
    runs: tuple[Run, ...]
    identity: str
    compute: Callable[[], tuple[bytes, bool]]  # (the answer, whether it may be kept)

    def kept(self) -> Answer | None:
        """The answer if it was computed before."""
        file = result_cache.stored(self.identity)
        if file is None:
            return None
        RESULT_READS.labels("cache").inc()
        return Answer(b"".join(result_cache.pieces(file)), self.identity)

    def answer(self) -> Answer:
        """The answer, kept or computed now."""
        if (found := self.kept()) is not None:
            return found
        RESULT_READS.labels("computed").inc()
        body, may_keep = self.compute()
        if may_keep:
            body = b"".join(result_cache.keeping(self.identity, [body]))
        return Answer(body, self.identity if may_keep else None)


def comparison_question(*, caller: Caller, new: str, old: str, options: ComparisonOptions | None = None) -> Question:
    """Two runs compared with statistics: the native API's answer."""
    caller.require(Action.RUNS_READ)
    asked = options or ComparisonOptions()
    runs = _runs(caller, [new, old])

    def compute() -> tuple[bytes, bool]:
        from experiments.selectors.paired_comparison import statistics_of

        new_side, old_side = (read_side(caller=caller, run=run) for run in runs)
        sides = sides_of(old_side, new_side)
        compared = sides.compared(asked.aggregate_function)
        found = statistics_of(sides, caller=caller, compared=compared, options=asked)
        return orjson.dumps(found.to_json(), option=_JSON), _may_keep(new_side, old_side)

    return Question(caller, runs, _identity(caller, "comparison", runs, asked), compute)


def compared(*, caller: Caller, new: str, old: str, options: ComparisonOptions | None = None) -> dict[str, Any]:
    """The comparison of two runs as plain data."""
    return comparison_question(caller=caller, new=new, old=old, options=options).answer().document


def kept_comparison(
    *, caller: Caller, new: str, old: str, options: ComparisonOptions | None = None
) -> dict[str, Any] | None:
    """The same if it was computed before; None without computing anything."""
    found = comparison_question(caller=caller, new=new, old=old, options=options).kept()
    return None if found is None else found.document


def wire_question(
    *,
    caller: Caller,
    new: str,
    old: str,
    options: ComparisonOptions,
    conditions: Sequence[Condition] = (),
    statistics: bool | None = None,
) -> Question:
    """The protocol's comparison of two runs, with the key `statistics` after the protocol's own.

    `statistics`: True or False as asked for; None computes them for up to 200,000 pairs. The protocol's keys never
    depend on them: statistics that fail are logged and null.
    """
    caller.require(Action.RUNS_READ)
    runs = _runs(caller, [new, old])

    def compute() -> tuple[bytes, bool]:
        new_side, old_side = (read_side(caller=caller, run=run, conditions=conditions) for run in runs)
        sides = sides_of(old_side, new_side)
        columns = sides.compared(options.aggregate_function)
        plain = _wire_json(comparison_of(sides, function=options.aggregate_function, compared=columns).as_wire())
        may_keep = _may_keep(new_side, old_side)
        if statistics is False:
            return plain, may_keep
        document: dict[str, Any] | None = None
        note = None
        if statistics is None and sum(each.figures.found_count for each in columns) > PAIRS_UNASKED:
            note = "So many pairs are compared with statistics only when asked for: add statistics=true."
        else:
            from experiments.selectors.paired_comparison import statistics_of

            try:
                found = statistics_of(sides, caller=caller, compared=columns, options=options)
                document = found.statistics_json()
            except (ArithmeticError, ValueError):
                log.exception("comparison_statistics_failed", new_run=new, old_run=old)
                note, may_keep = "The statistics could not be computed; the server's log says why.", False
        more = {"statistics": document} if note is None else {"statistics": None, "statistics_note": note}
        return plain[:-1] + b"," + orjson.dumps(more, option=_JSON)[1:], may_keep

    identity = _identity(caller, f"wire {statistics}", runs, options, conditions=conditions)
    return Question(caller, runs, identity, compute)


def many_question(
    *,
    caller: Caller,
    baseline: str,
    runs: Sequence[str],
    options: ComparisonOptions | None = None,
    all_pairs: bool = False,
) -> Question:
    """One baseline against several runs, or all pairs of them."""
    caller.require(Action.RUNS_READ)
    asked = options or ComparisonOptions()
    found = _runs(caller, [baseline, *runs])

    def compute() -> tuple[bytes, bool]:
        from experiments.selectors.run_comparisons import compare_many

        sides = [read_side(caller=caller, run=run) for run in found]
        document = compare_many(sides, caller=caller, options=asked, all_pairs=all_pairs)
        return orjson.dumps(document, option=_JSON), _may_keep(*sides)

    return Question(caller, found, _identity(caller, f"many {all_pairs}", found, asked), compute)


def compared_many(
    *,
    caller: Caller,
    baseline: str,
    runs: Sequence[str],
    options: ComparisonOptions | None = None,
    all_pairs: bool = False,
) -> dict[str, Any]:
    """The same as plain data."""
    question = many_question(caller=caller, baseline=baseline, runs=runs, options=options, all_pairs=all_pairs)
    return question.answer().document


def kept_many(
    *,
    caller: Caller,
    baseline: str,
    runs: Sequence[str],
    options: ComparisonOptions | None = None,
    all_pairs: bool = False,
) -> dict[str, Any] | None:
    """The same if it was computed before; None without computing anything."""
    question = many_question(caller=caller, baseline=baseline, runs=runs, options=options, all_pairs=all_pairs)
    found = question.kept()
    return None if found is None else found.document


def summary_question(*, caller: Caller, run_id: str, confidence: float = DEFAULT_CONFIDENCE) -> Question:
    """One run: each metric's mean or rate with its interval."""
    caller.require(Action.RUNS_READ)
    runs = _runs(caller, [run_id])

    def compute() -> tuple[bytes, bool]:
        from experiments.selectors.run_summaries import summary_of

        side = read_side(caller=caller, run=runs[0])
        return orjson.dumps(summary_of(side, confidence=confidence), option=_JSON), _may_keep(side)

    return Question(caller, runs, _identity(caller, "summary", runs, ComparisonOptions(confidence=confidence)), compute)


def run_summary(*, caller: Caller, run_id: str, confidence: float = DEFAULT_CONFIDENCE) -> dict[str, Any]:
    """The same as plain data."""
    return summary_question(caller=caller, run_id=run_id, confidence=confidence).answer().document


def watched_run(
    *, caller: Caller, run_id: str, baseline: str = "", confidence: float = DEFAULT_CONFIDENCE
) -> dict[str, Any]:
    """A run in progress with its always-valid intervals, which are computed once for each length of the prefix.

    Many may watch a long run: while it is in progress, later changes of what has finished are not looked for.
    """
    from experiments.selectors.watched_runs import intervals_of, look_at

    caller.require(Action.RUNS_READ)
    look = look_at(caller=caller, run_id=run_id, baseline=baseline, confidence=confidence)
    if look.is_empty:
        return look.head()
    watched = [run for run in (look.run if look.has_ended else None, look.old_run) if run is not None]
    revisions = [result_identity(caller=caller, run=run, aggregate_function=DEFAULT_AGGREGATE) for run in watched]
    said = orjson.dumps([ANSWER_VERSION, "watched", look.said(), revisions], default=str)

    def compute() -> tuple[bytes, bool]:
        return orjson.dumps(intervals_of(look), option=_JSON), True

    question = Question(caller, (look.run,), hashlib.sha256(said).hexdigest(), compute)
    return look.head() | question.answer().document


def _runs(caller: Caller, run_ids: Sequence[str]) -> tuple[Run, ...]:
    return tuple(get_run(caller=caller, run_key=run_id) for run_id in run_ids)


def _wire_json(body: Any) -> bytes:
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # PostgreSQL's jsonb gives 1e22 back as an integer beyond 64 bits, which orjson refuses.
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _may_keep(*sides: Computation) -> bool:
    return all(side.depends_on_run_alone for side in sides)


def _identity(
    caller: Caller,
    kind: str,
    runs: Sequence[Run],
    options: ComparisonOptions,
    *,
    conditions: Sequence[Condition] = (),
) -> str:
    function = aggregate_name(options.aggregate_function)
    said = [
        ANSWER_VERSION,
        kind,
        [result_identity(caller=caller, run=run, aggregate_function=function, conditions=conditions) for run in runs],
        options.said(),
        # Datapoints are edited without the run's knowledge.
        [
            sorted(attributes_of(caller=caller, runs=runs, key=key).items())
            for key in (options.cluster, options.slice_by)
            if key
        ],
    ]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()
