"""The demo's A/B test: which search finds the right section of hhweb's own documentation? Driven by `hhweb ab`.

Afterwards the means are computed again here from the exported rankings and the judgments, in plain Python.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from examples.demo import ab_corpus
from examples.demo.report import console

HERE = Path(__file__).resolve().parent
CORPUS = "hhweb-docs"
TOLERANCE = 1e-9
Grades = Mapping[str, int]


class CommandFailed(Exception):
    """A command ended otherwise than well; the message holds what it said."""


def hhweb(data: Path, *arguments: str) -> str:
    """What `hhweb ab …` prints, against the platform that runs on `data`; its progress goes straight on."""
    command = [sys.executable, "-m", "hhweb.cli", "ab", *arguments, "--data", str(data)]
    done = subprocess.run(command, cwd=ab_corpus.ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise CommandFailed(f"hhweb ab {' '.join(arguments)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def say(text: str) -> None:
    """One line, after everything printed before."""
    console.print(text, markup=False, soft_wrap=True)
    sys.stdout.flush()


def run_test(data: Path, spec: str) -> dict[str, Any]:
    """Run one specification to its end, show how it went and what came out; the document of the test."""
    test_id = json.loads(hhweb(data, "run", str(HERE / "ab" / spec), "--json"))["test_id"]
    say(hhweb(data, "watch", test_id).rstrip() + "\n")
    found: dict[str, Any] = json.loads(hhweb(data, "watch", test_id, "--json"))
    return found


def embedded(test: Mapping[str, Any]) -> int:
    """How many texts were embedded for a test."""
    return sum(arm["stats"].get("embedded") or 0 for arm in test["arms"].values())


def ndcg(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Normalised discounted cumulative gain of the first k, linear gain."""

    def gain(found: Sequence[int]) -> float:
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(found[:k]))

    return gain([grades.get(one, 0) for one in ranking]) / gain(sorted(grades.values(), reverse=True))


def recall(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Share of the relevant documents that are among the first k."""
    return sum(one in grades for one in ranking[:k]) / len(grades)


def reciprocal_rank(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """1 / rank of the first relevant document among the first k, else 0."""
    return next((1 / place for place, one in enumerate(ranking[:k], 1) if one in grades), 0.0)


MEASURES: dict[str, Callable[[Sequence[str], Grades, int], float]] = {
    "nDCG@10": ndcg,
    "R@10": recall,
    "MRR@10": reciprocal_rank,
}


def judgments() -> dict[str, dict[str, int]]:
    """Grades by query and document, as they stand in the repository; all are above 0."""
    found: dict[str, dict[str, int]] = {}
    for line in (HERE / "ab" / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        found.setdefault(query, {})[document] = int(grade)
    return found


def faults_of(test: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every mean of the server that differs from the one computed here, and every ranking that is missing."""
    grades = judgments()
    faults = []
    for name, arm in test["arms"].items():
        rankings = {row["query_id"]: row["ranked_ids"] for row in rows if row["arm"] == name}
        if rankings.keys() != grades.keys():
            faults.append(f"{test['name']}, {name}: {len(rankings)} rankings for {len(grades)} queries")
            continue
        for measure, compute in MEASURES.items():
            ours = fmean(compute(rankings[query], grades[query], 10) for query in grades)
            theirs = arm["metrics"][measure]["mean"]
            if theirs is None or abs(ours - theirs) > TOLERANCE:
                faults.append(f"{test['name']}, {name}: {measure} is {theirs} on the server and {ours} here")
    return faults


def console_page(test_id: str) -> str:
    """Where the console shows a test."""
    return f"/console/ab/{test_id}/"


def run(data: Path) -> tuple[list[str], dict[str, str]]:
    """Both tests, start to end: what differs from our own arithmetic, and the console pages of the tests."""
    say("Which search finds the right section of our own documentation?")
    with tempfile.TemporaryDirectory() as folder:
        say(hhweb(data, "import", CORPUS, str(ab_corpus.write_folder(Path(folder)))).rstrip())
    tests = [run_test(data, "docs.yaml")]
    say("Another weight of the vectors: the same texts, so nothing should have to be embedded.")
    tests.append(run_test(data, "alpha.yaml"))
    faults, links = [], {}
    for test in tests:
        faults += faults_of(test, json.loads(hhweb(data, "export", test["test_id"], "--format", "json"))["rows"])
        links[f"A/B test {test['name']}"] = console_page(test["test_id"])
    if embedded(tests[1]):
        faults.append(f"{tests[1]['name']}: {embedded(tests[1])} texts were embedded a second time")
    else:
        say("The second test made 0 new embeddings.\n")
    return faults, links
