"""Runs to compare: the same questions answered by prompts of different quality, with crashes, languages and reruns."""

import datetime as dt
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from experiments.models import Datapoint, Dataset, DatasetMembership, Event, Measurement, Run
from governance.models import Project
from tests.console.seed import QUESTIONS

LANGUAGES = ("de", "en", "fr", "es")
DIRECTIONS = {"latency_ms": "lower", "toxicity": "lower"}
ANSWERS = (
    "Open section {section} of the manual, then follow step {step}.",
    "Switch the pump off, wait a minute, and follow step {step} of section {section}.",
    "See section {section}. The limit is {step} bar; do not go above it.",
)


@dataclass
class Compared:
    """What was made."""

    project: Project
    dataset: Dataset
    datapoints: list[Datapoint]
    runs: list[Run]


def seed_runs(
    project: Project,
    *,
    size: int = 40,
    skills: Sequence[float] = (0.55, 0.68),
    crashes: Sequence[Sequence[int]] = ((3, 5), (3,)),
    names: Sequence[str] = ("prompt v3", "prompt v4"),
    status: str = "completed",
    days_apart: int = 1,
) -> Compared:
    """One run per skill over `size` datapoints; `crashes` names by run the places that failed. The same each time."""
    chance = random.Random(11)
    dataset = Dataset.objects.create(project=project, name="pump questions, compared")
    datapoints = Datapoint.objects.bulk_create(
        [
            Datapoint(
                project=project,
                inputs={"question": f"{QUESTIONS[i % 6]} (case {i + 1})"},
                ground_truth={"answer": f"See section {i % 9 + 1}."},
                metadata={"language": LANGUAGES[i % 4], "thread": f"t{i // 3}"},
            )
            for i in range(size)
        ]
    )
    DatasetMembership.objects.bulk_create(
        [DatasetMembership(dataset=dataset, datapoint=point, position=i) for i, point in enumerate(datapoints)]
    )
    ease = [chance.gauss(0, 0.18) for _ in datapoints]
    runs: list[Run] = []
    for number, skill in enumerate(skills):
        name = names[number] if number < len(names) else f"prompt v{number + 3}"
        is_over = status == "completed" or number < len(skills) - 1
        run = Run.objects.create(
            project=project,
            run_key=str(uuid.UUID(int=0xC0 << 64 | number)),
            name=name,
            status="completed" if is_over else status,
            dataset=dataset,
            metadata={"metric_directions": DIRECTIONS, "baseline_run_id": runs[0].run_key if runs else ""},
            created_by="anna",
            finished_at=timezone.now() if is_over else None,
        )
        start = timezone.now() - dt.timedelta(days=days_apart * (len(skills) - number))
        Run.objects.filter(pk=run.pk).update(created_at=start)
        run.refresh_from_db()
        _fill(run, datapoints, ease, skill, set(crashes[number]) if number < len(crashes) else set(), chance)
        runs.append(run)
    return Compared(project, dataset, datapoints, runs)


def _fill(
    run: Run, points: Sequence[Datapoint], ease: Sequence[float], skill: float, crashed: set[int], chance: random.Random
) -> None:
    events, measured = [], []
    start = run.created_at.timestamp() * 1000
    for i, point in enumerate(points):
        key = uuid.uuid5(uuid.NAMESPACE_URL, f"{run.run_key}/{i}")
        f1 = round(min(1.0, max(0.0, skill + ease[i] + chance.gauss(0, 0.12))), 4)
        took = 400 + 500 * chance.random() + 120 * skill
        failed = i in crashed
        scores: dict[str, float | bool] = (
            {}
            if failed
            else {
                "answer_f1": f1,
                "cites_section": f1 > 0.5,
                "judge_score": round(min(5.0, max(1.0, 1 + 4 * f1 + chance.gauss(0, 0.4))), 1),
                "latency_ms": round(took, 1),
                "toxicity": round(max(0.0, 0.06 - 0.05 * skill + chance.gauss(0, 0.02)), 4),
            }
        )
        answer = ANSWERS[int(f1 * 2.99)].format(section=i % 9 + 1, step=int(f1 * 10))
        events.append(
            Event(
                project=run.project,
                event_key=key,
                session_key=key,
                run_key=run.run_key,
                datapoint_key=point.public_id,
                dataset_key=run.dataset.public_id if run.dataset else None,
                event_type="session",
                event_name="answer",
                source="sdk-python",
                start_time=start,
                end_time=start + took,
                duration=took,
                inputs=point.inputs,
                outputs={} if failed else {"answer": answer},
                error="TimeoutError: the model did not answer within 30 s" if failed else None,
                metrics=scores,
            )
        )
        measured += [
            Measurement(
                project=run.project,
                event_key=key,
                session_key=key,
                run_key=run.run_key,
                name=metric,
                value=float(value),
                is_boolean=isinstance(value, bool),
                event_name="answer",
                event_type="session",
            )
            for metric, value in scores.items()
        ]
        start += took
    Event.objects.bulk_create(events, batch_size=2_000)
    Measurement.objects.bulk_create(measured, batch_size=5_000)
