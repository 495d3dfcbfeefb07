"""`compare-with`: the protocol's keys as ever, statistics after them, kept until a run changes."""

import orjson
import pytest

from experiments.domain.comparison_options import ComparisonOptions
from experiments.selectors import paired_comparison
from experiments.selectors.comparison import compare_runs
from experiments.services import comparison_answers
from experiments.services.event_writer import bump_revisions
from tests.experiments.factories import make_run, make_session
from tests.factories import make_client, make_project, make_token

PATH = "/v1/runs/new/compare-with/old"
KEYS = ["metrics", "commonDatapoints", "event_details", "old_run", "new_run", "aggregation_function"]


@pytest.fixture(autouse=True)
def own_cache(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def runs(project):
    # 1e22 comes back from jsonb as an integer beyond 64 bits.
    made = [make_run(project, name=name, run_key=name, metadata={"large": 1e22}) for name in ("old", "new")]
    for place, run in enumerate(made):
        for number in range(8):
            scores = {"score": 0.3 + 0.1 * place + number * (1 + place) / 100, "ok": number > 2 - place}
            make_session(project, run.run_key, f"d{number}", metrics=scores)
    return made


def test_the_protocols_keys_are_the_same_bytes_with_and_without_statistics(api, runs, caller):
    full, plain = api.get(PATH).content, api.get(PATH, {"statistics": "false"}).content
    assert full.startswith(plain[:-1] + b',"statistics":{')
    assert list(orjson.loads(plain)) == KEYS
    assert list(orjson.loads(full)) == [*KEYS, "statistics"]
    expected = compare_runs(caller=caller, new="new", old="old").as_wire()
    assert {name: orjson.loads(plain)[name] for name in KEYS[:3]} == {name: expected[name] for name in KEYS[:3]}


def test_statistics_are_those_of_the_native_comparison(api, runs):
    found = api.get(PATH).json()["statistics"]
    native = api.get("/api/v1/runs/new/compare/old").json()
    assert {entry["metric_name"]: entry["statistics"] for entry in found["metrics"]} == {
        entry["metric_name"]: entry["statistics"] for entry in native["metrics"]
    }
    for name in ("failures", "correction", "pass_rates", "primary_metric", "warnings", "confidence"):
        assert found[name] == native[name]
    asked = api.get(PATH, {"confidence": "0.9", "metric": "score"}).json()
    assert [entry["metric_name"] for entry in asked["statistics"]["metrics"]] == ["score"]
    assert asked["statistics"]["metrics"][0]["statistics"]["interval_level"] == 0.9
    assert len(asked["metrics"]) == 2  # the protocol's part is not touched


def test_an_answer_is_kept_until_a_run_changes(api, runs, project, monkeypatch):
    first = api.get(PATH)
    with monkeypatch.context() as broken:
        broken.setattr(comparison_answers, "read_side", None)  # nothing is read again
        assert api.get(PATH).content == first.content
        assert api.get(PATH, headers={"if-none-match": f'"x", {first["ETag"]}'}).status_code == 304
    make_session(project, "old", "d9", metrics={"score": 0.9})
    bump_revisions(project_id=project.pk, run_keys=["old"])
    assert api.get(PATH, headers={"if-none-match": first["ETag"]}).status_code == 200


def test_statistics_that_fail_leave_the_protocols_keys_alone(api, runs, monkeypatch):
    plain = api.get(PATH, {"statistics": "false"}).content

    def fail(*_, **__):
        raise ValueError("never to be seen by a client")

    with monkeypatch.context() as broken:
        broken.setattr(paired_comparison, "statistics_of", fail)
        answer = api.get(PATH)
    assert answer.status_code == 200
    assert answer.content.startswith(plain[:-1])
    assert answer.json()["statistics"] is None
    assert b"never to be seen" not in answer.content
    assert "ETag" not in answer
    assert api.get(PATH).json()["statistics"] is not None  # nothing of it was kept


def test_statistics_of_very_many_pairs_are_computed_when_asked_for(api, runs, monkeypatch):
    monkeypatch.setattr(comparison_answers, "PAIRS_UNASKED", 15)
    assert "statistics=true" in api.get(PATH).json()["statistics_note"]
    assert api.get(PATH, {"statistics": "true"}).json()["statistics"]["metrics"]


def test_options_are_refused_by_name_and_foreign_runs_not_found(api, runs):
    for query in ({"statistics": "yes"}, {"confidence": "7"}, {"margin": "score"}, {"primary": "other"}):
        answer = api.get(PATH, query)
        assert (answer.status_code, answer.json()["details"]["field"]) == (400, next(iter(query)))
    assert make_client(make_token(make_project())).get(PATH).status_code == 404


def test_the_name_of_a_kept_answer_tells_of_every_option():
    plain = ComparisonOptions()
    others = [
        ComparisonOptions(confidence=0.9),
        ComparisonOptions(margins={"a": 1.0}),
        ComparisonOptions(noninferiority={"a": 1.0}),
        ComparisonOptions(effects={"a": 1.0}),
        ComparisonOptions(bounds={"a": (0.0, 1.0)}),
        ComparisonOptions(metrics=("a",)),
        ComparisonOptions(missing="worst"),
        ComparisonOptions(cluster="metadata.a"),
        ComparisonOptions(correction="none"),
        ComparisonOptions(primary="a"),
        ComparisonOptions(slice_by="metadata.a"),
        ComparisonOptions(slice_metric="a"),
        ComparisonOptions(aggregate_function="max"),
    ]
    assert len(others) == len(ComparisonOptions.__slots__)
    assert len({orjson.dumps(each.said()) for each in [plain, *others]}) == len(others) + 1
