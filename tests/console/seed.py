"""A believable project for tests and screenshots: two runs of 60 datapoints, three metrics, a crash, thresholds."""

import random
import time
import uuid
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from experiments.models import Datapoint, Dataset, DatasetMembership, Event, Measurement, Metric, Run
from governance.domain.actions import KeyKind, Role
from governance.models import IngestionCount, Member, Project
from governance.services.api_keys import issue_key
from governance.services.projects import create_project, system_caller

QUESTIONS = [
    "How do I reset the meter after a power failure?",
    "Which fuse protects the inlet pump?",
    "What does the blinking amber light mean?",
    "May the filter be washed or must it be replaced?",
    "At which pressure does the relief valve open?",
    "How long is the warranty of the compressor?",
]


@dataclass
class Seeded:
    """What was made."""

    project: Project
    admin: User
    dataset: Dataset
    datapoints: list[Datapoint]
    runs: list[Run]
    session: uuid.UUID


def seed(*, size: int = 60, name: str = "support answers") -> Seeded:
    """Store the project; numbers are the same each time."""
    chance = random.Random(7)
    admin = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    project = create_project(name=name, owner=admin, description="Answers to questions about pumps and meters.")
    caller = system_caller(project)
    issue_key(caller=caller, kind=KeyKind.PROJECT, name="nightly evaluation")
    issue_key(caller=caller, kind=KeyKind.INGESTION, name="production traces")
    viewer = User.objects.create_user("li", password="li-li-li", is_staff=True)
    Member.objects.create(project=project, user=viewer, role=Role.VIEWER.value)
    dataset = Dataset.objects.create(project=project, name="pump questions", description="From the support inbox.")
    datapoints = [
        Datapoint(
            project=project,
            inputs={"question": f"{QUESTIONS[i % 6]} (case {i + 1})"},
            ground_truth={"answer": f"See section {i % 9 + 1}."},
        )
        for i in range(size)
    ]
    datapoints = Datapoint.objects.bulk_create(datapoints)
    DatasetMembership.objects.bulk_create(
        [DatasetMembership(dataset=dataset, datapoint=point, position=i) for i, point in enumerate(datapoints)]
    )
    Metric.objects.create(project=project, name="answer_f1", type="PYTHON", threshold={"min": 0.5})
    Metric.objects.create(project=project, name="latency_ms", type="PYTHON", direction="lower", threshold={"max": 900})
    runs, first = [], None
    for number, (label, skill) in enumerate((("prompt v3", 0.55), ("prompt v4", 0.68))):
        run = Run.objects.create(
            project=project,
            run_key=str(uuid.UUID(int=number + 1)),
            name=label,
            status="completed",
            dataset=dataset,
            configuration={"function": "answer", "prompt": label, "temperature": 0.2},
            created_by="anna",
            finished_at=timezone.now() + timezone.timedelta(seconds=95 + 7 * number),
        )
        events: list[Event] = []
        measured: list[Measurement] = []
        start = time.time() * 1000 - 3_600_000 * (2 - number)
        for i, point in enumerate(datapoints):
            key = uuid.UUID(int=(number + 1) << 64 | i)
            first = first or key
            crashed = i == 17 and number == 0
            f1 = min(1.0, max(0.0, skill + chance.gauss(0, 0.22)))
            took = 300 + chance.random() * 700
            scores = {} if crashed else {"answer_f1": f1, "cites_section": f1 > 0.45, "latency_ms": took}
            common = {"project": project, "session_key": key, "run_key": run.run_key, "source": "sdk-python"}
            common |= {"datapoint_key": point.public_id, "dataset_key": dataset.public_id}
            error = "ValueError: the model returned no text" if crashed else None
            outputs = {} if crashed else {"answer": f"{label}: open section {i % 9 + 1} and follow step {i % 4 + 1}."}
            answer, call, tool = (uuid.UUID(int=key.int | part << 96) for part in (1, 2, 3))
            spans = [
                (key, None, "session", f"{label} {i + 1}", 0.0, took, point.inputs, outputs, error),
                (answer, key, "chain", "answer", 2.0, took, point.inputs, outputs, error),
                (tool, answer, "tool", "search_manual", 5.0, took * 0.4, {"query": "pump"}, {"hits": 3}, None),
                (call, answer, "model", "chat", took * 0.4, took * 0.95, {"messages": 2}, outputs, error),
            ]
            for event_key, parent, kind, event_name, since, until, inputs, made, failed in spans:
                events.append(
                    Event(
                        event_key=event_key,
                        parent_key=parent,
                        event_type=kind,
                        event_name=event_name,
                        start_time=start + since,
                        end_time=start + until,
                        duration=until - since,
                        inputs=inputs,
                        outputs=made,
                        error=failed,
                        metrics=scores if kind == "session" else {},
                        **common,
                    )
                )
            measured += [
                Measurement(
                    project=project,
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
        Event.objects.bulk_create(events)
        Measurement.objects.bulk_create(measured)
        runs.append(run)
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    for hour in range(12):
        IngestionCount.objects.create(
            project=project,
            key_label="nightly evaluation",
            hour=now - timezone.timedelta(hours=hour),
            requests=20,
            events=40 + hour * hour * 7 % 160,
        )
    assert first is not None
    return Seeded(project, admin, dataset, datapoints, runs, first)
