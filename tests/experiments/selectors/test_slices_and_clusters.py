"""Keys of datapoints: where they are read from, what they cluster and slice."""

import uuid

import pytest
from statsmodels.stats.multitest import multipletests

from experiments.domain.comparison_options import ComparisonOptions
from experiments.models import Datapoint, DatapointRun, DatapointSnapshot
from experiments.selectors import sliced_comparison
from experiments.selectors.datapoint_attributes import attributes_of
from experiments.selectors.paired_comparison import compare_runs_statistically
from governance.domain.errors import InvalidInput
from tests.experiments.executed import make_experiment
from tests.experiments.factories import make_event, make_run, make_session


def make_pair(project, topics, values):
    """Two runs over datapoints with a topic each; `values` are (old, new) of each datapoint."""
    runs = [make_run(project) for _ in range(2)]
    for topic, pair in zip(topics, values, strict=True):
        datapoint = Datapoint.objects.create(project=project, metadata={"topic": topic} if topic else {})
        for run, value in zip(runs, pair, strict=True):
            make_session(project, run.run_key, datapoint.public_id, metrics={"score": value})
    return runs


def compared(caller, old, new, **options):
    return compare_runs_statistically(
        caller=caller, new=new.run_key, old=old.run_key, options=ComparisonOptions(**options)
    )


def test_a_key_is_read_from_sessions_datapoints_and_pinned_versions(project, caller):
    run = make_run(project)
    datapoint = Datapoint.objects.create(project=project, metadata={"a": {"b": True}}, inputs={"lang": "de"})
    make_session(project, run.run_key, datapoint.public_id)
    key = uuid.uuid4()
    event = make_event(
        project, session=key, key=key, run=run.run_key, datapoint="EXT-1", event_type="session", inputs={"lang": 7}
    )
    event.metadata["a"] = {"b": "x" * 300}
    event.save()
    assert attributes_of(caller=caller, runs=[run], key="inputs.lang") == {datapoint.public_id: "de", "EXT-1": "7"}
    assert attributes_of(caller=caller, runs=[run], key="metadata.a.b") == {
        datapoint.public_id: "true",
        "EXT-1": "x" * 200,
    }
    assert attributes_of(caller=caller, runs=[run], key="metadata.none") == {}
    experiment = make_experiment(project)
    snapshot = DatapointSnapshot.objects.filter(project=project).first()
    DatapointSnapshot.objects.filter(pk=snapshot.pk).update(inputs={"lang": "as pinned"})
    DatapointRun.objects.create(
        experiment=experiment, snapshot=snapshot, datapoint_key=datapoint.public_id, rank=0, session_key=uuid.uuid4()
    )
    found = attributes_of(caller=caller, runs=[run, experiment.run], key="inputs.lang")
    assert found[datapoint.public_id] == "as pinned"


def test_clusters_flip_together(project, caller):
    topics = [topic for topic in "abcd" for _ in range(5)]
    values = [(0.5, 0.6 + 0.01 * number) for number in range(20)]
    old, new = make_pair(project, topics, values)
    alone = compared(caller, old, new).metrics[0].statistics
    together = compared(caller, old, new, cluster="metadata.topic")
    statistics = together.metrics[0].statistics
    assert alone.p < 0.001
    assert (statistics.n_clusters, statistics.p, statistics.draws) == (4, 0.125, 16)  # 2 of 2^4 flips
    assert together.to_json()["cluster"] == {"key": "metadata.topic", "clusters": 4, "unlabelled": 0}


def test_slices_are_corrected_together_and_small_ones_are_marked(project, caller, monkeypatch):
    topics = ["big"] * 12 + ["small"] * 6 + ["rare", ""]
    values = [(0.5, 0.7 + 0.01 * number) for number in range(18)] + [(0.5, 0.5), (0.5, 0.5)]
    old, new = make_pair(project, topics, values)
    document = compared(caller, old, new, slice_by="metadata.topic").to_json()["slices"]
    found = document["slices"]
    assert [(each["slice_label"], each["n_common"]) for each in found] == [("big", 12), ("small", 6), ("rare", 1)]
    expected = multipletests([each["p"] for each in found], method="fdr_bh")[1]
    assert [each["adjusted_p"] for each in found] == pytest.approx(list(expected))
    assert (document["correction"]["family_size"], document["unlabelled"]) == (3, 1)
    assert document["warnings"][0] == "3 of 3 slices have under 30 datapoints: read them as hints."
    monkeypatch.setattr(sliced_comparison, "MOST_SLICES", 2)
    cut = compared(caller, old, new, slice_by="metadata.topic").to_json()["slices"]
    assert (cut["left_out"], len(cut["slices"])) == (1, 2)


def test_slices_of_a_run_in_progress_show_no_tests_and_no_intervals(project, caller):
    old, new = make_pair(project, ["a"] * 8, [(0.5, 0.6 + number / 100) for number in range(8)])
    type(new).objects.filter(pk=new.pk).update(status="running", finished_at=None)
    found = compared(caller, old, new, slice_by="metadata.topic")
    document = found.to_json()
    (only,) = document["slices"]["slices"]
    hidden = ("p", "interval_low", "interval_high", "sign_p", "t_p", "wilcoxon_p", "adjusted_p", "equivalence_p")
    for statistics in (only, document["metrics"][0]["statistics"]):
        assert statistics["n_common"] == 8
        assert [statistics[name] for name in hidden] == [None] * len(hidden)
        evidence = statistics["evidence"]
        for each in ("failures", "lacking"):
            assert (evidence[each]["p"], evidence[each]["mid_p"]) == (None, None)
        assert [evidence[name] for name in ("holm_p", "benjamini_hochberg_p", "binary", "worst_case")] == [None] * 4
    assert found.statistics_json()["slices"] == document["slices"]
    assert document["failures"]["p"] is None


def test_a_key_that_no_datapoint_has_is_refused(project, caller):
    old, new = make_pair(project, ["a"], [(0.5, 0.6)])
    for field in ("cluster", "slice_by"):
        with pytest.raises(InvalidInput) as refused:
            compared(caller, old, new, **{field: "metadata.other"})
        assert refused.value.details["field"] == field
    with pytest.raises(InvalidInput, match="score"):
        compared(caller, old, new, slice_by="metadata.topic", slice_metric="other")
