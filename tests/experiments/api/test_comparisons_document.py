"""docs/comparisons.md tells the truth: each request in it is sent, and what it shows of the answer is in the answer."""

import json
import re
from pathlib import Path

import pytest

from experiments.models import Datapoint, Event, Run
from tests.experiments.factories import make_run, make_session, moment

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "comparisons.md"
EXAMPLE = re.compile(r"^```http\nGET (\S+)\n```\n\n```json\n(.*?)^```$", re.M | re.S)
TOPICS = ("billing", "delivery", "login", "returns")


@pytest.fixture
def support(project):
    """The document's runs: 40 questions, answered plainly and with hints; the hints fail on the last one."""
    plain, hints, short = (
        make_run(
            project,
            run_key=name,
            name=name,
            metadata={"passing_ranges": {"accuracy": {"min": 0.5}}, "bounds": {"accuracy": [0, 1]}, "tags": ["bot"]},
        )
        for name in ("plain", "hints", "short")
    )
    for day, run in enumerate((plain, hints, short), start=1):
        Run.objects.filter(pk=run.pk).update(created_at=moment(f"2026-01-0{day}T00:00:00+00:00"))
    for number in range(40):
        datapoint = Datapoint.objects.create(project=project, metadata={"topic": TOPICS[number % 4]})
        Datapoint.objects.filter(pk=datapoint.pk).update(public_id=f"q{number:02}")
        base = 0.4 + (number * 7 % 11) / 25
        gain = 0.05 + (number * 5 % 13 - 6) / 60
        scores = {
            "plain": (base, number % 3 > 0),
            "hints": (base + gain, number % 3 > 0 or number % 4 == 0),
            "short": (base - gain / 4, number % 5 > 0),
        }
        for name, (accuracy, is_kind) in scores.items():
            metrics = {"accuracy": round(accuracy, 4), "kind": is_kind}
            if name == "hints" and number == 39:
                make_session(project, name, f"q{number:02}", error="TimeoutError: the model took too long")
            else:
                make_session(project, name, f"q{number:02}", metrics=metrics)
    answers = {
        "plain": "You can return it within 14 days.",
        "hints": "You can return it free of charge within 30 days.",
    }
    for name, text in answers.items():
        found = Event.objects.filter(project=project, run_key=name, datapoint_key="q23", event_type="session")
        found.update(inputs={"question": "How long may I return it?"}, outputs={"result": text})


def part_of(shown, found, where="answer"):
    """Assert that everything shown is in what was found; lists are shown up to some item, numbers to 4 digits."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in found, f"{where} has no {name}"
            part_of(value, found[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert len(shown) <= len(found), where
        for place, value in enumerate(shown):
            part_of(value, found[place], f"{where}[{place}]")
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, rel=1e-3, abs=5e-5), where
    else:
        assert found == shown, where


def test_the_answers_are_as_the_document_shows_them(api, support):
    examples = EXAMPLE.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(examples) >= 6
    for path, shown in examples:
        answer = api.get(path)
        assert answer.status_code == 200, answer.content
        part_of(json.loads(shown), answer.json(), path)


def test_every_parameter_and_endpoint_of_comparisons_is_in_the_document():
    from experiments.domain.comparison_options import PARAMETERS

    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in PARAMETERS if f"`{name}" not in text] == []
    for path in ("metrics-summary", "watch", "comparisons", "trends", "datapoints", "compare-with", "export"):
        assert path in text
