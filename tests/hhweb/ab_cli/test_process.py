"""The command line against the real platform: import, run, read, export, move, delete."""

import json

import pytest
import yaml
from click.testing import CliRunner

from embeddings_ab.domain.importing.beir import write_folder
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
from hhweb.cli import main
from tests.hhweb.running import Platform, prepared

WORDS = ["wing", "lift", "drag", "heat", "flow", "shock", "jet", "rotor", "plate", "cone", "nose", "tail", "wake"]
SPEC = {
    "name": "words",
    "corpus": "words",
    "query_set": "words/test",
    "metrics": ["nDCG@10", "Hit@1"],
    "control": "bm25",
    "draws": 1000,
    "latency_queries": 3,
    "arms": {
        "bm25": {"retrieval": "lexical"},
        "hashed": {"retrieval": "vector", "provider": "synthetic"},
        "both": {"retrieval": "hybrid", "provider": "synthetic", "fusion": {"method": "convex", "alpha": 0.0}},
        "backwards": {"retrieval": "run", "run": "backwards"},
    },
}


@pytest.fixture
def platform(server_folder):
    found = Platform(prepared(server_folder / "ab-cli"))
    try:
        yield found.start()
        assert found.stop() == 0
    finally:
        found.kill_everything()


@pytest.mark.process
def test_from_files_to_verdict_and_back_to_files(platform, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def hhweb(*arguments, code=0):
        done = CliRunner().invoke(main, ["ab", *map(str, arguments), "--data", str(platform.data)])
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.stdout if code == 0 else done.output

    documents = [DocumentRow(f"d{i:02d}", f"{word} tests", f"the {word} of aircraft") for i, word in enumerate(WORDS)]
    queries = [QueryRow(f"q{i:02d}", f"what about {word}", {"kind": "a"}) for i, word in enumerate(WORDS)]
    judgments = [JudgmentRow(f"q{i:02d}", f"d{i:02d}", 2) for i in range(len(WORDS))]
    write_folder(tmp_path / "set", documents, queries, {"test": judgments}, packed=True)
    count = len(WORDS)
    assert hhweb("import", "words", "set").splitlines()[0] == f"corpus words@1: {count} documents"
    assert f"words/test@1: {count} queries, {count} judged, {count} judgments, there already" in hhweb(
        "import", "words", "set"
    )
    # A ranking that puts the right document second of two: worse than the control on every query.
    lines = [f"q{i:02d} Q0 d{(i + 1) % count:02d} 1 2 x\nq{i:02d} Q0 d{i:02d} 2 1 x\n" for i in range(count)]
    (tmp_path / "backwards.run").write_text("".join(lines))
    hhweb("import", "backwards", "backwards.run", "--format", "run", "--query-set", "words/test")

    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    assert json.loads(hhweb("plan", "spec.yaml", "--json"))["arms"]["both"]["texts_to_embed"] == 0
    found = json.loads(hhweb("run", "spec.yaml", "--wait", "--json"))
    assert found["status"] == "completed"
    assert found["arms"]["bm25"]["metrics"]["Hit@1"]["mean"] == 1.0
    assert found["arms"]["bm25"]["metrics"]["nDCG@10"]["n"] == count
    assert found["arms"]["backwards"]["metrics"]["Hit@1"]["mean"] == 0.0
    assert found["arms"]["both"]["metrics"] == found["arms"]["bm25"]["metrics"] | {
        name: figure | {key: found["arms"]["both"]["metrics"][name][key] for key in ("low", "high")}
        for name, figure in found["arms"]["bm25"]["metrics"].items()
    }
    verdicts = {row["arm"]: row["verdict"] for row in found["comparisons"] if row["role"] == "primary"}
    assert verdicts["backwards"] == "worse"
    test_id = found["test_id"]

    assert "loses to bm25" in hhweb("watch", test_id, "--fail-if-worse", code=3)
    assert json.loads(hhweb("list", "--json"))[0]["id"] == test_id
    rows = json.loads(hhweb("results", test_id, "--arm", "backwards", "--limit", "500", "--json"))
    assert [row["ranked_ids"][:2] for row in rows] == [[f"d{(i + 1) % count:02d}", f"d{i:02d}"] for i in range(count)]
    assert json.loads(hhweb("compare", test_id, "--metric", "Hit@1", "--json"))[-1]["role"] == "exploratory"
    hhweb("export", test_id, "--format", "trec", "--arm", "backwards", "-o", "out.run")
    assert (tmp_path / "out.run").read_text().splitlines()[0].split()[:4] == ["q00", "Q0", "d01", "1"]
    assert hhweb("export", test_id, "--format", "qrels").splitlines()[0].split() == ["q00", "0", "d00", "2"]
    report = hhweb("export", test_id, "--format", "html")
    assert found["report_hash"] in report
    assert report.index("backwards loses to bm25") < report.index("<table")

    wrong = SPEC | {"arms": {"bm25": {"retrieval": "lexical"}, "x": {"retrieval": "vector", "provider": "nobody"}}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    assert "arms.x.provider" in hhweb("run", "wrong.yaml", code=2)
    assert "completed" in hhweb("cancel", test_id, code=2)
    assert hhweb("delete", test_id, "--yes") == f"test {test_id} deleted\n"
    assert test_id in hhweb("watch", test_id, code=2)
