"""The demo's datapoints: enough of them, well formed, in canonical form, and telling the variants apart."""

import json
import re
from datetime import date
from pathlib import Path

from examples.demo import extract_v1, extract_v2
from examples.demo.evaluators import KINDS, exact

PATH = Path(__file__).parents[2] / "examples" / "demo" / "datapoints.jsonl"
DATAPOINTS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
CANONICAL = {
    "amounts": r"(EUR|USD|GBP|CHF) \d+\.\d\d",
    "emails": r"[^A-Z\s@]+@[^A-Z\s@]+\.[a-z]+",
    "quantities": r"-?\d+(\.\d*[1-9])? \S+",
}


def outcome(variant, datapoint):
    inputs = datapoint["inputs"]
    try:
        return {kind: find(inputs["text"], inputs["sent"]) for kind, find in variant.FINDERS.items()}
    except ValueError as error:
        return error


def test_datapoints_are_at_least_sixty_with_unique_ids_and_texts():
    assert len(DATAPOINTS) >= 60
    assert len({row["id"] for row in DATAPOINTS}) == len(DATAPOINTS)
    assert len({row["inputs"]["text"] for row in DATAPOINTS}) == len(DATAPOINTS)


def test_datapoints_have_the_same_fields():
    for row in DATAPOINTS:
        assert set(row) == {"id", "inputs", "ground_truth"}
        assert set(row["inputs"]) == {"text", "sent"}
        assert tuple(row["ground_truth"]) == KINDS
        date.fromisoformat(row["inputs"]["sent"])


def test_ground_truth_is_canonical_and_without_doubles():
    for row in DATAPOINTS:
        for kind, facts in row["ground_truth"].items():
            assert len(set(facts)) == len(facts), row["id"]
            for fact in facts:
                if kind == "dates":
                    assert date.fromisoformat(fact).isoformat() == fact
                else:
                    assert re.fullmatch(CANONICAL[kind], fact), (row["id"], fact)


def test_first_variant_raises_on_two_datapoints_and_second_on_none():
    raised = [row["id"] for row in DATAPOINTS if isinstance(outcome(extract_v1, row), ValueError)]
    assert raised == ["invoice-09", "delivery-03"]
    assert not [row["id"] for row in DATAPOINTS if isinstance(outcome(extract_v2, row), ValueError)]


def test_variants_differ_clearly_and_neither_is_perfect():
    right = {}
    for variant in (extract_v1, extract_v2):
        outcomes = {row["id"]: outcome(variant, row) for row in DATAPOINTS}
        right[variant] = {
            row["id"]
            for row in DATAPOINTS
            if not isinstance(outcomes[row["id"]], ValueError)
            and exact(outcomes[row["id"]], row["inputs"], row["ground_truth"])
        }
    assert len(right[extract_v1]) == 22
    assert len(right[extract_v2]) == 59
    assert right[extract_v1] - right[extract_v2] == {"support-07"}
