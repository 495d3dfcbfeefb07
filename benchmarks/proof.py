"""The long proofs: `make proof` runs all of them, `python benchmarks/proof.py FILE...` some. Writes docs/proof.md.

Rows are kept in docs/proof.jsonl, so that a run of some files leaves the rows of the others, each with its own date.
A run that fails writes nothing.
"""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROOFS = [
    "tests/experiments/process/test_kill_ingestion.py",
    "tests/experiments/process/test_kill_experiments.py",
    "tests/experiments/process/test_experiments_under_way.py",
    "tests/experiments/sdk/process/test_real_server.py",
    "tests/experiments/domain/statistics/test_null_simulation.py",
    "tests/experiments/domain/statistics/test_run_simulation.py",
    "tests/experiments/domain/statistics/test_sequence_simulation.py",
    "tests/embeddings_ab/domain/test_retrieval_metrics.py",
    "tests/embeddings_ab/adapters/embedding_providers/test_minilm.py",
    "tests/embeddings_ab/process/test_reference_figures_by_rest.py",
    "tests/embeddings_ab/process/test_kill_ab.py",
    "tests/project/test_malformed_bodies.py",
]
KEPT = ROOT / "docs" / "proof.jsonl"
HEAD = """# Proofs

The long forms of tests whose short, seeded forms run in `make test`. Written by `make proof` (all) or
`python benchmarks/proof.py FILE...` (some) from `proof.jsonl`.

"""


def main(files: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.jsonl"
        environment = {**os.environ, "HHWEB_PROOF": "1", "PROOF_TABLE": str(table)}
        subprocess.run([sys.executable, "-m", "pytest", "-q", *files], cwd=ROOT, env=environment, check=True)
        rows = [json.loads(line) for line in table.read_text().splitlines()]
    write(rows)


def write(rows: list[dict[str, Any]]) -> None:
    """Put new rows in the place of older ones of the same kind, and render the table."""
    where = f"{platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    new = [{**row, "date": today, "where": where} for row in rows]
    known = {kind_of(row) for row in new}
    merged = [row for row in kept if kind_of(row) not in known] + new
    KEPT.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in merged))
    lines = ["| proof | figures | run on |", "|---|---|---|"]
    for row in merged:
        said = ", ".join(f"{name.replace('_', ' ')} **{shown(value)}**" for name, value in row["figures"].items())
        lines.append(f"| {row['proof']} | {said} | {row['date']} |")
    places = sorted({row["where"] for row in merged})
    (ROOT / "docs" / "proof.md").write_text(HEAD + "\n".join(lines) + f"\n\nMachine: {'; '.join(places)}.\n")
    print("\n".join(lines))


def kind_of(row: dict[str, Any]) -> str:
    """What makes a row the successor of another: the proof, and whatever of its figures is a name."""
    names = [str(value) for value in row["figures"].values() if isinstance(value, str)]
    return " ".join([row["proof"], *names])


def shown(value: object) -> str:
    """Numbers with separators, words as they are."""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    main(sys.argv[1:] or PROOFS)
