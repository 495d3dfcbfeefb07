"""The long proofs in their full form, and the table of docs/proof.md: `make proof`.

Runs every test that knows a full form with HHWEB_PROOF=1. The table is written only when all of them pass.
"""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROOFS = [
    "tests/experiments/process/test_kill_ingestion.py",
    "tests/experiments/domain/statistics/test_null_simulation.py",
    "tests/embeddings_ab/domain/test_retrieval_metrics.py",
    "tests/embeddings_ab/adapters/embedding_providers/test_minilm.py",
    "tests/embeddings_ab/process/test_reference_figures_by_rest.py",
    "tests/embeddings_ab/process/test_kill_ab.py",
]
HEAD = """# Proofs

The long forms of tests whose short, seeded forms run in `make test`. Written by `make proof`; a run that fails
writes nothing.

"""


def shown(value: object) -> str:
    """Numbers with separators, words as they are."""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.jsonl"
        environment = {**os.environ, "HHWEB_PROOF": "1", "PROOF_TABLE": str(table)}
        subprocess.run([sys.executable, "-m", "pytest", "-q", *PROOFS], cwd=ROOT, env=environment, check=True)
        rows = [json.loads(line) for line in table.read_text().splitlines()]
    where = f"{platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    lines = [f"Run on {dt.datetime.now(dt.UTC):%Y-%m-%d} ({where}).", "", "| proof | figures |", "|---|---|"]
    for row in rows:
        said = ", ".join(f"{name.replace('_', ' ')} **{shown(value)}**" for name, value in row["figures"].items())
        lines.append(f"| {row['proof']} | {said} |")
    (ROOT / "docs" / "proof.md").write_text(HEAD + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
