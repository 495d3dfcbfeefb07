"""Figures of record and the row of significance, as a user gets them: command line, REST, Celery, report.

BM25 and WordLlama on Cranfield always; MiniLM and its fusions, whose embedding takes minutes, with `HHWEB_PROOF=1` on
Cranfield and CISI.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.hhweb.running import ROOT, Platform, clean_environment, prepared
from tests.proofs import report

DATA = ROOT.parent / "shared" / "data"
FULL = os.environ.get("HHWEB_PROOF") == "1"
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared collections are not beside the repository"),
]
METRICS = ["nDCG@10", "R@10", "R@100", "MRR@10", "Hit@10", "AP"]
# embeddings-ab.md, section 8, in points; the MRR of the rrf row goes by another order of ties (decision 0008).
FIGURES = {
    ("cranfield", "bm25"): (36.89, 38.89, 70.93, 50.79, 85.78, 28.53),
    ("cranfield", "stemmed"): (38.82, 40.04, 73.81, 53.15, 86.22, 31.04),
    ("cranfield", "wordllama"): (34.30, 35.05, 69.67, 51.59, 81.78, 26.84),
    ("cranfield", "minilm"): (39.95, 41.61, 77.24, 53.80, 86.67, 32.72),
    ("cranfield", "rrf"): (42.64, 43.43, 77.94, None, 88.44, 34.84),
    ("cranfield", "convex"): (43.28, 44.48, 77.23, 57.71, 89.33, 34.72),
    ("cisi", "bm25"): (36.39, 12.27, 41.92, 65.42, 85.53, 19.71),
    ("cisi", "stemmed"): (39.56, 13.23, 45.27, 64.89, 89.47, 22.24),
    ("cisi", "wordllama"): (38.47, 13.41, 42.83, 60.21, 82.89, 21.49),
    ("cisi", "minilm"): (42.07, 12.82, 47.07, 61.60, 85.53, 24.73),
    ("cisi", "rrf"): (42.36, 13.49, 49.91, None, 88.16, 25.25),
    ("cisi", "convex"): (43.74, 15.31, 49.90, 65.78, 92.11, 22.00),
}
# Section 5: MiniLM against BM25 on nDCG@10. Wilcoxon's p with zeros as Pratt has them, which the section asks for; its
# own table (0.014 and 0.031) dropped them, as scipy's zero_method "wilcox" does: 0.01385 and 0.03166.
SIGNIFICANCE = {
    "cranfield": {
        "n_common": 225, "difference": 0.0306, "wins": 107, "ties": 30, "losses": 88, "sign_p": 0.197, "t_p": 0.019,
        "p": 0.018, "wilcoxon_p": 0.0225, "interval_low": 0.005, "interval_high": 0.056, "sd": 0.193, "mde": 0.036,
    },
    "cisi": {
        "n_common": 76, "difference": 0.0568, "wins": 44, "ties": 5, "losses": 27, "sign_p": 0.057, "t_p": 0.046,
        "p": 0.044, "wilcoxon_p": 0.0306, "interval_low": 0.002, "interval_high": 0.111, "sd": 0.243, "mde": 0.078,
    },
}  # fmt: skip
CHEAP = {
    "bm25": {"retrieval": "lexical", "lexical": {"engine": "bm25s"}},
    "stemmed": {"retrieval": "lexical", "lexical": {"engine": "bm25s", "stemmer": "english"}},
    "wordllama": {"retrieval": "vector", "provider": "wordllama"},
}
DEAR = {
    "minilm": {"retrieval": "vector", "provider": "minilm"},
    "rrf": {"retrieval": "hybrid", "provider": "minilm", "fusion": {"method": "rrf", "k": 60}},
    "convex": {"retrieval": "hybrid", "provider": "minilm", "fusion": {"method": "convex", "alpha": 0.5, "depth": 100}},
}


@pytest.fixture(scope="module")
def platform(server_folder):
    started = Platform(prepared(server_folder / "reference")).start()
    yield started
    started.kill_everything()


def hhweb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hhweb.cli", "ab", *arguments],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


@pytest.mark.parametrize("name", ["cranfield", *(["cisi"] if FULL else [])])
def test_the_figures_of_record_come_out_of_a_test(platform, tmp_path, name):
    data = ("--data", str(platform.data))
    imported = hhweb("import", name, str(DATA / name), "--split", "test", *data)
    assert imported.returncode == 0, imported.stdout + imported.stderr
    arms = {**CHEAP, **(DEAR if FULL else {})}
    spec = {
        "name": f"{name} of record",
        "corpus": name,
        "query_set": f"{name}/test",
        "metrics": METRICS,
        "control": "bm25",
        "arms": arms,
        "latency_queries": 20,
    }
    file = Path(tmp_path) / "spec.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    ran = hhweb("run", str(file), "--wait", "--json", *data)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found["status"] == "completed"
    for arm in arms:
        limit = 0.15 if arm in ("rrf", "convex") else 0.10
        for metric, expected in zip(METRICS, FIGURES[name, arm], strict=True):
            mean = found["arms"][arm]["metrics"][metric]["mean"]
            assert expected is None or abs(100 * mean - expected) <= limit, (arm, metric, 100 * mean, expected)
        report(
            f"{name} by REST and Celery",
            arm=arm,
            ndcg10=round(100 * found["arms"][arm]["metrics"]["nDCG@10"]["mean"], 2),
        )
    if FULL:
        check_significance(name, found["comparisons"])


def check_significance(name, comparisons):
    """The row of section 5; the last digit of a p-value depends on the draws."""
    row = next(c for c in comparisons if c["arm"] == "minilm" and c["metric"] == "nDCG@10")
    for key, expected in SIGNIFICANCE[name].items():
        limit = 0 if isinstance(expected, int) else 0.0025
        assert abs(row[key] - expected) <= limit, (key, row[key], expected)
    report(f"significance row, {name}", **{key: round(row[key], 4) for key in SIGNIFICANCE[name]})
