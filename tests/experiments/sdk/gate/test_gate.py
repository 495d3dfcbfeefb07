"""The gate's decisions as pure functions, and its report; against a server that is no hhweb as well."""

import json

import pytest
from lxml import etree

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.gate import deciding as gate
from experiments.sdk.gate import output as gate_output
from experiments.sdk.gate.deciding import Check, GateReport, Rules
from experiments.sdk.gate.rules import (
    Figures,
    absence,
    by_name,
    decided_by_difference,
    decided_by_interval,
    least_pairs,
    plain,
)
from experiments.sdk.transport.client import Client
from tests.experiments.sdk.fault_server import FaultServer, answer


def figures(low=None, high=None, *, direction="higher", pairs=100, more=None, old=0.8, new=0.78, missing_in="", p=None):
    return Figures(
        metric="m",
        direction=direction,
        old=old,
        new=new,
        difference=None if old is None or new is None else new - old,
        pairs=pairs,
        interval_low=low,
        interval_high=high,
        level=0.95,
        more_pairs=more,
        missing_in=missing_in,
        p=p,
    )


@pytest.mark.parametrize(
    ("found", "allowed", "outcome"),
    [
        (figures(-0.08, -0.01, p=0.25, more=160), 0.0, "too_small"),  # three of a hundred fell, none rose
        (figures(-0.08, -0.01, p=0.0501), 0.0, "undecided"),
        (figures(-0.08, -0.01, p=0.05), 0.0, "failed"),
        (figures(-0.05, -0.03), 0.02, "failed"),
        (figures(-0.05, -0.02), 0.02, "undecided"),  # the favourable end just reaches what is allowed
        (figures(-0.02, 0.01), 0.02, "passed"),  # the unfavourable end just does
        (figures(-0.03, 0.05), 0.02, "undecided"),
        (figures(-0.03, 0.05, more=120), 0.02, "too_small"),
        (figures(-0.05, -0.01), 0.0, "failed"),
        (figures(-0.01, 0.05), 0.0, "undecided"),
        (figures(0.0, 0.05), 0.0, "passed"),
        (figures(0.03, 0.05, direction="lower"), 0.02, "failed"),
        (figures(-0.05, 0.02, direction="lower"), 0.02, "passed"),
        (figures(-0.5, -0.4, pairs=5), 0.02, "too_small"),
        (figures(None, None), 0.02, "too_small"),
    ],
)
def test_the_interval_of_the_gain_decides(found, allowed, outcome):
    assert decided_by_interval(found, allowed, 6, 1e-9)[0] == outcome


def entry(*, only_arm, p, low=0.0, missing="leave_out", evidence=True):
    failures = {"arm": only_arm + 1, "control": 1, "only_arm": only_arm, "only_control": 0, "p": p}
    statistics = {
        "control_mean": 0.7, "arm_mean": 0.8, "difference": 0.1, "n_common": 100, "interval_low": low,
        "interval_high": None if low is None else 0.2, "interval_level": 0.95, "more_queries": None,
        "verdict": "undecided", "sentence": "undecided: the run is not complete.", "warnings": [], "p": 0.01,
        "alpha": 0.05,
    }  # fmt: skip
    if evidence:
        statistics["evidence"] = {"failures": failures, "missing": missing}
    return Figures.of_statistics({"metric_name": "m", "direction": "higher", "statistics": statistics})


def test_a_run_that_fails_more_often_does_not_pass_on_what_is_left():
    outcome, said = decided_by_interval(entry(only_arm=6, p=0.031), 0.0, 6, 1e-9)
    assert outcome == "undecided"
    assert said.endswith(
        "Yet 7 common datapoints failed or have no score in the run, 1 in the baseline (p = 0.031): what has none "
        "could not be compared."
    )
    for harmless in (
        entry(only_arm=5, p=0.063),
        entry(only_arm=0, p=0.01),
        entry(only_arm=6, p=0.031, missing="worst"),
        entry(only_arm=6, p=0.031, evidence=False),  # an older server
    ):
        assert decided_by_interval(harmless, 0.0, 6, 1e-9)[0] == "passed"


def test_an_interval_that_the_server_withholds_is_told_in_its_words():
    found = decided_by_interval(entry(only_arm=0, p=1.0, low=None), 0.0, 6, 1e-9)
    assert found == ("undecided", "Undecided: the run is not complete.")


def test_sentences_name_the_interval_as_a_gain():
    _, said = decided_by_interval(figures(0.03, 0.05, direction="lower", old=0.74), 0.02, 6, 1e-9)
    assert said == (
        "Worse by 0.04, 95 % interval of the gain [−0.05, −0.03], 100 common datapoints, lower is better. "
        "All of it lies below −0.02."
    )
    _, said = decided_by_interval(figures(-0.03, 0.05, more=1200, new=0.8), 0.0, 6, 1e-9)
    assert said == (
        "Too small a sample. Unchanged, 95 % interval of the gain [−0.03, 0.05], 100 common datapoints, higher is "
        "better. About 1,200 more datapoints would be needed to tell the difference seen from noise."
    )


def test_what_the_paired_test_takes_for_noise_is_said():
    _, said = decided_by_interval(figures(-0.08, -0.01, p=0.25), 0.0, 6, 1e-9)
    assert said.startswith("Undecided. Worse by 0.02, 95 % interval of the gain [−0.08, −0.01], 100 common")
    assert said.endswith("The paired test takes it for noise (p = 0.250).")


@pytest.mark.parametrize(("confidence", "pairs"), [(0.5, 2), (0.8, 4), (0.9, 5), (0.95, 6), (0.99, 8), (0.999, 11)])
def test_fewer_pairs_than_a_sign_flip_test_needs_are_too_few(confidence, pairs):
    assert least_pairs(confidence) == pairs
    assert 2 * 2**-pairs <= 1 - confidence + 1e-12 < 2 * 2 ** -(pairs - 1) + 1e-11


def test_plain_differences_forgive_what_binary_numbers_cannot_say():
    assert decided_by_difference(figures(), 0.02, 1e-9)[0]  # 0.8 − 0.78 is 0.020000000000000018
    assert not decided_by_difference(figures(), 0.0199, 1e-9)[0]
    assert decided_by_difference(figures(direction="lower"), 0.0, 1e-9)[0]


def test_a_metric_on_several_events_is_the_last_one_that_both_runs_have():
    first, last, alone = figures(old=0.1), figures(old=0.2), figures(old=None, missing_in="the baseline")
    assert by_name([first, last, alone]) == {"m": [last]}
    gone = figures(new=None, missing_in="the run")
    assert "on different events" in absence("m", by_name([alone, gone])["m"])
    assert absence("m", []) == "Neither run has values of 'm'."
    assert absence("m", [first]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (-0.02, "−0.02"), (0.123456, "0.1235"), (12345.6, "12,346"), (1e-7, "1e−07")],
)
def test_numbers_are_short_and_exact_enough(value, text):
    assert plain(value) == text


@pytest.mark.parametrize(
    "rules",
    [
        {"max_regressions": {"m": -1}},
        {"minimums": {"m": float("nan")}},
        {"pass_rate": 1.1},
        {"confidence": 0.4},
        {"confidence": 1.0},
        {"confidence": 0.95, "aggregate_function": "p90"},
    ],
)
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(ConfigurationError):
        Rules(**rules)


# --- the report


def reported(*checks, **fields):
    values = {"run_name": "new", "run_link": None, "baseline_id": None, "baseline_name": None, "comparison_link": None}
    values |= {"confidence": None, "is_strict": False, "figures": [], "warnings": [], **fields}
    return GateReport(run_id="r" * 36, checks=list(checks), **values)


def test_undecided_rules_pass_unless_strict_and_stay_visible():
    checks = [Check("a", "passed", "fine"), Check("b", "too_small", "too few"), Check("c", "skipped", "no baseline")]
    report = reported(*checks)
    assert (report.passed, gate_output.headline(report)) == (True, "passed, 1 rule undecided, 1 rule skipped")
    suite = etree.fromstring(gate_output.junit(report).encode()).find("testsuite")
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")
    strict = reported(*checks, is_strict=True)
    assert (strict.passed, gate_output.headline(strict)) == (False, "1 of 3 rules failed")
    assert [check["stops"] for check in strict.to_json()["checks"]] == [False, True, False]
    json.dumps(strict.to_json())


def test_markdown_is_stable_and_shows_the_figures():
    found = Figures("acc|x", "lower", 0.5, 0.4, -0.1, 1200, "", -0.2, -0.05, 0.9, None, "better", "s", ("beware",))
    other = Figures("f1", "higher", 0.5, 0.5, 0.0, 1200, remarks=("of both", "of f1"))
    third = Figures("f2", "higher", None, None, None, 1200, remarks=("of both",))
    report = reported(
        Check("a", "passed", "fine"),
        run_link="http://h/console/runs/r/",
        baseline_id="b" * 36,
        baseline_name="",
        comparison_link="http://h/compare",
        confidence=0.9,
        figures=[found, other, third],
        warnings=["one\ntwo"],
    )
    assert gate_output.markdown(report) == (
        "## ✅ hhweb gate: passed\n\n"
        f"Run [**new**](http://h/console/runs/r/) (rrrrrrrr) against baseline **{'b' * 36}** "
        "([compare](http://h/compare)).\n\n"
        "| | Rule | Result |\n|---|---|---|\n| ✅ | a | fine |\n\n"
        "| Metric | Baseline | Run | Difference | 90 % interval | Datapoints | Verdict |\n"
        "|---|---:|---:|---:|---:|---:|---:|\n"
        "| acc\\|x (lower is better) | 0.5 | 0.4 | −0.1 ▲ | −0.2 … −0.05 | 1,200 | better |\n"
        "| f1 | 0.5 | 0.5 | 0 | – | 1,200 | – |\n"
        "| f2 | – | – | – | – | 1,200 | – |\n\n"
        "<details><summary>To beware of</summary>\n\n"
        "- one two\n- acc\\|x: beware\n- of both\n- f1: of f1\n\n</details>\n"
    )


def test_xml_holds_no_character_that_xml_forbids():
    text = gate_output.junit(reported(Check("a\x00\x1b<&>", "failed", "b\ud800\uffff")))
    case = etree.fromstring(text.encode()).find("testsuite/testcase")
    assert (case.get("name"), case.find("failure").get("message")) == ("a��<&>", "b��")


# --- another server of the protocol


def contract(server, metrics, *, common=("d1", "d2"), status="completed"):
    for run_id, name in (("new", "after"), ("old", "before")):
        server.runs[run_id] = {"run_id": run_id, "name": name, "status": status, "metadata": {}}
    found = {"metrics": metrics, "commonDatapoints": list(common), "event_details": []}
    server.plan(answer(200, body=found), path="/compare-with/")


def test_plain_differences_are_judged_on_any_server_of_the_protocol():
    with FaultServer(is_hhweb=False) as server, Client(server_url=server.url, api_key="k") as client:
        # A server that leaves out the difference, and the direction.
        contract(
            server,
            [{"metric_name": "m", "event_name": "fn", "old_aggregate": 0.5, "new_aggregate": 0.45, "found_count": 2}],
        )
        report = gate.check(client, "new", "old", Rules(max_regressions={"m": 0.02}))
        assert [check.outcome for check in report.checks] == ["passed", "passed", "failed"]
        assert report.failures[0].message == "From 0.5 to 0.45: worse by 0.05 (higher is better), 2 common datapoints."
        assert (report.run_link, report.comparison_link, report.warnings) == (None, None, [])
        with pytest.raises(ConfigurationError, match="is no hhweb: intervals are computed by hhweb alone"):
            gate.check(client, "new", "old", Rules(max_regressions={"m": 0.02}, confidence=0.95))


def test_aggregates_of_unlike_datapoints_are_warned_of():
    with FaultServer(is_hhweb=False) as server, Client(server_url=server.url, api_key="k") as client:
        contract(server, [{"metric_name": "m", "old_aggregate": 0.5, "new_aggregate": 0.5, "found_count": 2}])
        empty = {"status": "completed", "metrics": {"details": []}, "datapoints": [], "failed": []}
        server.plan(answer(200, body={**empty, "passed": ["d1", "d2"]}), path="/v1/runs/new/result")
        server.plan(answer(200, body={**empty, "passed": ["d1", "d2", "d3", "d4"]}), path="/v1/runs/old/result")
        report = gate.check(client, "new", "old", Rules(max_regressions={"m": 0.02}))
        assert report.warnings == [
            "The baseline's aggregates count 2 datapoints that the other run has not: the difference is not of like "
            "with like. With --confidence only common datapoints are compared."
        ]
        assert report.checks[-1].message == "From 0.5 to 0.5: unchanged (higher is better), 2 common datapoints."


def test_an_unfinished_baseline_and_an_empty_run_are_told():
    with FaultServer(is_hhweb=False) as server, Client(server_url=server.url, api_key="k") as client:
        contract(server, [], status="running")
        report = gate.check(client, "new", "old", Rules(pass_rate=0.5))
        assert report.warnings == ["The baseline is running: its figures may still change."]
        assert report.checks[0].message == "The run is running: not everything that it measures is there."
        assert report.checks[2].message == "The run has no datapoints."


def test_a_run_is_no_baseline_of_itself_and_a_regression_needs_one():
    with FaultServer() as server, Client(server_url=server.url, api_key="k") as client:
        contract(server, [])
        with pytest.raises(ConfigurationError, match="same run"):
            gate.check(client, "new", "new", Rules())
        with pytest.raises(ConfigurationError, match="against a baseline"):
            gate.check(client, "new", None, Rules(max_regressions={"m": 0}))
