"""docs/embeddings-ab.md tells the truth: its walk-through runs as written, its tables name every field and default.

A block's info string says what happens to it: `yaml file=NAME` is saved, `bash run` is executed in one shell with the
others. In place of Cranfield stands a small collection in the same layout; HHWEB_PROOF=1 takes Cranfield itself.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from embeddings_ab.domain import spec as shapes
from embeddings_ab.domain.measures import FAMILIES
from examples.demo import ab_corpus, ab_demo
from examples.demo.stack import Stack
from hhweb.ab_cli import COMMANDS
from tests.hhweb.running import prepared

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "embeddings-ab.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\S+)[ ]?(.*?)\n(.*?)^```$", re.M | re.S)
CRANFIELD = ROOT.parent / "shared" / "data" / "cranfield"


def small_collection(folder: Path) -> None:
    """The page about A/B testing itself with the queries that its sections answer, packed like Cranfield."""
    documents = [one for one in ab_corpus.documents() if one["_id"].startswith("docs/embeddings-ab.md")]
    known = {one["_id"] for one in documents}
    judged = [
        (query, document, grade)
        for query, grades in ab_demo.judgments().items()
        for document, grade in grades.items()
        if document in known
    ]
    wanted = {query for query, _, _ in judged}
    lines = (ab_corpus.HERE / "ab" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    parts = {
        "corpus.jsonl.gz": "".join(json.dumps(one) + "\n" for one in documents),
        "queries.jsonl.gz": "".join(line + "\n" for line in lines if json.loads(line)["_id"] in wanted),
        "qrels/test.tsv.gz": "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{g}\n" for q, d, g in judged),
    }
    (folder / "qrels").mkdir(parents=True)
    for name, content in parts.items():
        (folder / name).write_bytes(gzip.compress(content.encode()))


@pytest.mark.process
def test_walk_through_runs_from_start_to_end(server_folder):
    folder = server_folder / "walk"
    folder.mkdir()
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    if os.environ.get("HHWEB_PROOF"):
        if not CRANFIELD.is_dir():
            pytest.skip("Cranfield is not beside this repository")
        (folder / "cranfield").symlink_to(CRANFIELD)
    else:
        small_collection(folder / "cranfield")
    script = ["set -eu"]
    for _, mark, content in BLOCK.findall(PAGE):
        if mark.startswith("file="):
            (folder / mark.removeprefix("file=")).write_text(content, encoding="utf-8")
        elif mark == "run":
            script.append(content)
    with Stack(prepared(folder / "var" / "hhweb")):
        ended = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "TERM": "dumb", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "corpus cranfield@1: " in ended.stdout
    assert "query set cranfield/test@1: " in ended.stdout
    assert "nothing was started" in ended.stdout
    for arm in ("minilm", "hybrid", "convex"):
        assert re.search(rf"^{arm}( beats| loses to|: undecided)", ended.stdout, re.M), ended.stdout
    found = json.loads((folder / "second.json").read_text())
    assert (found["name"], found["status"]) == ("cranfield-second", "completed")
    assert found["arms"].keys() == {"bm25", "minilm", "hybrid", "convex"}
    assert [arm["stats"].get("embedded") or 0 for arm in found["arms"].values()] == [0, 0, 0, 0]
    assert all(arm["metrics"]["nDCG@10"]["n"] > 10 for arm in found["arms"].values())
    assert all(arm["latency"]["total"]["p50"] > 0 for arm in found["arms"].values())
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>cranfield-first</h1>" in report
    assert re.search(r'class="hash">[0-9a-f]{64}<', report)


def test_the_first_specification_is_the_one_of_the_repository():
    (written,) = [content for _, mark, content in BLOCK.findall(PAGE) if mark == "file=first.yaml"]
    kept = (ROOT / "examples" / "ab" / "cranfield-first.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(written) == yaml.safe_load(kept)
    assert shapes.TestSpec.model_validate(yaml.safe_load(written)).control == "bm25"


def documented(shape: str) -> dict[str, str]:
    """Field and default of a shape's table."""
    table = PAGE.partition(f"<!-- fields {shape} -->")[2].partition("<!-- /fields -->")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.M))


@pytest.mark.parametrize(
    "shape",
    ["TestSpec", "CleanUp", "Limits", "ArmSpec", "Chunking", "Lexical", "Fusion", "Index", "Quantisation", "Reranker",
     "External"],
)  # fmt: skip
def test_every_field_stands_in_its_table_with_its_default(shape):
    fields = getattr(shapes, shape).model_fields
    said = documented(shape)
    assert list(said) == list(fields)
    wrong = []
    for name, field in fields.items():
        value = field.default
        if value is PydanticUndefined and not said[name].startswith("required"):
            wrong.append(name)
        elif isinstance(value, bool | int | float) or (isinstance(value, str) and value and shape != "ArmSpec"):
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            if said[name] != f"`{shown}`":
                wrong.append(name)
        elif value in (None, "", ()) and said[name].startswith("`") and name not in ("lexical", "fusion"):
            wrong.append(name)
    assert wrong == []


def test_every_measure_and_every_command_is_named():
    assert [name for name in FAMILIES if f"`{name}@k`" not in PAGE] == []
    assert [name for name in COMMANDS if not re.search(rf"`(hhweb ab )?{name}\b", PAGE)] == []
