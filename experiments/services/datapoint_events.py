"""What one execution on the server stores: a session and its main event, the same as the SDK sends.

Ids follow from experiment, datapoint and repetition, so that a second try to store the same finds it stored.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from experiments.domain.calls import CallAnswer, CallFailed, Judgement
from experiments.domain.event_row import EventRow, storable
from experiments.models import DatapointRun, Experiment
from governance.domain.actions import Action
from governance.domain.caller import Caller

SOURCE = "evaluation"
EVENTS_PER_DATAPOINT = 3  # at most: session, main event, the model's call


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt on one datapoint ended: `answer` with its judgement, or `error`. Times are epoch milliseconds."""

    row: DatapointRun
    started_ms: float
    ended_ms: float
    answer: CallAnswer | None = None
    judgement: Judgement | None = None
    error: CallFailed | None = None


def session_key_of(experiment: Experiment, datapoint_key: str, repetition: int) -> uuid.UUID:
    """The session of one repetition on one datapoint."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"hhweb:experiment:{experiment.public_id}:{datapoint_key}:{repetition}")


def system_caller(experiment: Experiment) -> Caller:
    """Who stores what workers found. Needs `experiment.project`."""
    return Caller(
        project_id=experiment.project_id,
        project_public_id=experiment.project.public_id,
        project_name=experiment.project.name,
        actor_kind="system",
        actor_id="experiments",
        actor_label="experiments on the server",
        allowed=frozenset({Action.EVENTS_WRITE, Action.RUNS_WRITE}),
    )


def events_of(experiment: Experiment, outcome: Outcome, *, event_type: str) -> list[EventRow]:
    """The events of an execution that has ended for good. Needs `experiment.run` and `outcome.row.snapshot`."""
    row, spec = outcome.row, experiment.spec
    function = spec["function"]
    ids = {
        "run_id": experiment.run.run_key,
        "dataset_id": experiment.dataset_version.dataset_key,
        "datapoint_id": row.datapoint_key,
        "source": SOURCE,
    }
    error = None if outcome.error is None else f"{outcome.error.error_class}: {outcome.error.message}"
    outputs = None if outcome.answer is None else outcome.answer.outputs
    inputs = row.snapshot.inputs if isinstance(row.snapshot.inputs, dict) else {"input": row.snapshot.inputs}
    root_key = uuid.uuid5(row.session_key, "main")
    told: dict[str, Any] = {"attempts": row.attempts}
    if row.repetition:
        told["repetition"] = row.repetition
    if outcome.judgement is not None and outcome.judgement.errors:
        told["evaluator_errors"] = dict(outcome.judgement.errors)
    if outcome.error is not None:
        told["error_type"] = outcome.error.error_class
    duration = max(outcome.ended_ms - outcome.started_ms, 0.0)
    shared: dict[str, Any] = {
        "session_key": row.session_key,
        "source": SOURCE,
        "start_time": outcome.started_ms,
        "end_time": outcome.started_ms + duration,
        "duration": duration,
        "inputs": dict(inputs),
        "error": error,
    }
    session = EventRow(
        event_key=row.session_key,
        parent_key=None,
        event_type="session",
        event_name=function,
        outputs=as_object(outputs),
        feedback={} if row.snapshot.ground_truth is None else {"ground_truth": row.snapshot.ground_truth},
        metadata={"repetition": row.repetition, **told, **ids},
        **shared,
    )
    root = EventRow(
        event_key=root_key,
        parent_key=row.session_key,
        event_type="chain",
        event_name=function,
        outputs={} if outcome.answer is None else {"result": outputs},
        metrics=dict(outcome.judgement.metrics) if outcome.judgement is not None else {},
        metadata={**told, **ids},
        **shared,
    )
    rows = [session, root]
    if event_type != "chain" and outcome.answer is not None:
        rows.append(_call(experiment, outcome, event_type, root_key, ids, shared))
    return [storable_row(event) for event in rows]


def _call(
    experiment: Experiment,
    outcome: Outcome,
    event_type: str,
    parent: uuid.UUID,
    ids: dict[str, Any],
    shared: dict[str, Any],
) -> EventRow:
    """The call itself, below the main event: which model, how many tokens."""
    answer = outcome.answer
    assert answer is not None
    tokens = {
        name: value
        for name, value in (("prompt_tokens", answer.prompt_tokens), ("completion_tokens", answer.completion_tokens))
        if value is not None
    }
    if len(tokens) == 2:
        tokens["total_tokens"] = sum(tokens.values())
    target = experiment.spec["target"]
    config = {"kind": target["kind"], **({"model": answer.model} if answer.model else {})}
    if experiment.provider:
        config["provider"] = experiment.provider
    return EventRow(
        event_key=uuid.uuid5(outcome.row.session_key, "call"),
        parent_key=parent,
        event_type=event_type,
        event_name=f"{target['kind']} call",
        outputs={"result": answer.outputs},
        config=config,
        metadata={**dict(answer.metadata), **tokens, **ids},
        **{**shared, "end_time": shared["start_time"] + answer.latency_ms, "duration": answer.latency_ms},
    )


def as_object(outputs: Any) -> dict[str, Any]:
    """Outputs as the session shows them: an object as it is, anything else under `result`."""
    if outputs is None:
        return {}
    return dict(outputs) if isinstance(outputs, dict) else {"result": outputs}


def storable_row(event: EventRow) -> EventRow:
    """The event with every text and number such that both databases hold it."""
    for name in ("inputs", "outputs", "metadata", "metrics", "feedback"):
        setattr(event, name, storable(getattr(event, name)))
    return event
