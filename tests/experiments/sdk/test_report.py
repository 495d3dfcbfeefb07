"""The report against servers with prepared answers: what stands in it, what is escaped, how it is bounded."""

import base64
import datetime as dt
import hashlib
import re

import pytest
from lxml import etree, html

from experiments.sdk import report
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.report import material, pictures, sections
from experiments.sdk.transport.client import Client
from tests.experiments.sdk.fault_server import FaultServer, answer

NOW = dt.datetime(2026, 11, 21, 15, 0, tzinfo=dt.UTC)
EVIL = "<script>alert('x')</script>"


def row(number, value=0.9, passed=True, metric="accuracy", **fields):
    found = [{"name": metric, "event_name": "fn", "event_type": "chain", "value": value, "passed": passed}]
    metrics = fields.pop("metrics", found)
    return {"datapoint_id": f"d{number}", "session_id": f"s{number}", "passed": passed, "metrics": metrics, **fields}


def detail(values, *, metric="accuracy", bounds=None, failed=(), aggregate=0.5):
    return {
        "metric_name": metric,
        "event_name": "fn",
        "event_type": "chain",
        "aggregate": aggregate,
        "values": values,
        "passing_range": bounds,
        "datapoints": {"passed": [], "failed": list(failed)},
    }


def result(rows, details, status="completed"):
    ids = {passed: [each["datapoint_id"] for each in rows if each["passed"] is passed] for passed in (True, False)}
    metrics = {"aggregation_function": "average", "details": details}
    return {
        "status": status,
        "passed": ids[True],
        "failed": ids[False],
        "metrics": metrics,
        "datapoints": rows,
        "event_details": [],
    }


@pytest.fixture
def server():
    with FaultServer(is_hhweb=False) as found:
        for run_id, name in (("new", "after"), ("old", "before")):
            found.runs[run_id] = {"run_id": run_id, "name": name, "status": "completed", "metadata": {}}
        yield found


@pytest.fixture
def made(server):
    """Makes the report of run `new` and gives it as text and as a parsed document."""

    def make(baseline=None):
        with Client(server_url=server.url, api_key="k") as client:
            text = report.report_html(client, "new", baseline, now=NOW)
        return text, html.document_fromstring(text)

    return make


def text_of(document, path):
    return [" ".join(found.text_content().split()) for found in document.xpath(path)]


def test_a_run_without_failures_says_so(server, made):
    server.plan(answer(200, body=result([row(1), row(2)], [detail([0.9, 0.8])])), path="/result")
    text, document = made()
    assert text_of(document, "//h1") == ["after"]
    assert text_of(document, "//p[@class='answer']") == ["All 2 datapoints passed."]
    assert text_of(document, "//section[last()]/p") == ["All 2 datapoints passed."]
    assert "written 2026-11-21 15:00 UTC" in text
    assert document.xpath("//footer//a") == []  # another server's pages are elsewhere


def test_nothing_in_the_file_is_fetched_or_executed(server, made):
    server.runs["new"]["name"] = f'{EVIL} " onload="x'
    server.runs["new"]["description"] = EVIL
    server.runs["new"]["dataset_id"] = EVIL
    server.runs["new"]["metadata"] = {"git": {"branch": EVIL, "commit": EVIL, "is_dirty": True}}
    server.sessions["s1"] = {
        "session_id": "s1",
        "inputs": {"question": EVIL},
        "outputs": {"a": EVIL, "b": [1]},
        "feedback": {"ground_truth": EVIL},
        "metrics": {"accuracy_explanation": EVIL, "accuracy": 0.1},
        "error": EVIL,
    }
    rows = [row(1, 0.1, False, metric=EVIL) | {"datapoint_id": EVIL}]
    server.plan(answer(200, body=result(rows, [detail([0.1], metric=EVIL, bounds={"min": 0.5})])), path="/result")
    text, document = made()
    assert EVIL not in text
    assert text.count("&lt;script&gt;") >= 10
    assert document.xpath("//script | //link | //img | //iframe | //*[@style] | //@*[starts-with(name(), 'on')]") == []
    assert re.findall(r"https?://", text) == []
    style = document.xpath("string(//style)")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = document.xpath("string(//meta[@http-equiv='Content-Security-Policy']/@content)")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    for picture in document.xpath("//svg"):
        etree.fromstring(etree.tostring(picture))


def test_failing_datapoints_show_what_went_in_and_why_crashed_ones_first(server, made):
    server.sessions["s2"] = {
        "session_id": "s2",
        "inputs": {"question": "how", "n": 2},
        "outputs": {"answer": "x" * 5000},
        "feedback": {"ground_truth": {"answer": "so"}},
        "metrics": {"accuracy_explanation": "misses the point"},
    }
    server.sessions["s3"] = {"session_id": "s3", "error": "ValueError: boom"}
    rows = [row(1), row(2, 0.2, False), row(3, passed=False, metrics=[])]
    server.plan(
        answer(200, body=result(rows, [detail([0.9, 0.2], bounds={"min": 0.5}, failed=["d2"])])), path="/result"
    )
    _, document = made()
    crashed, failed = document.xpath("//details")
    assert text_of(crashed, ".//span[@class='reasons']") == ["crashed"]
    assert text_of(crashed, ".//pre") == ["ValueError: boom"]
    assert text_of(failed, "./summary/span") == ["how", "accuracy 0.200, passes from 0.5"]
    inputs, outputs, truth = failed.xpath(".//pre")
    assert inputs.text == '{\n  "question": "how",\n  "n": 2\n}'
    assert outputs.text.endswith("x\n… and 1,000 more characters")
    assert truth.text == "so"
    assert text_of(failed, ".//dl") == ["accuracy_explanationmisses the point"]
    assert text_of(document, "//div[@class='passbar']//li") == ["1 passed", "1 failed", "1 crashed"]
    assert text_of(document, "//p[@class='answer']") == ["1 of 3 datapoints passed, 2 failed."]


def test_many_failures_are_bounded_and_counted(server, made):
    rows = [row(n, 0.1, False) for n in range(40)]
    server.plan(answer(200, body=result(rows, [detail([0.1] * 40)])), path="/result")
    _, document = made()
    assert len(document.xpath("//details")) == material.MAX_FAILING
    assert len(server.sent("/v1/events/export")) == material.MAX_FAILING
    assert text_of(document, "//section[last()]/p[@class='all-well']") == ["… and 15 more, not shown here."]


def test_a_comparison_of_another_server_has_movers_and_no_intervals(server, made):
    rows = [row(1, 0.9), row(2, 0.4), row(3, 0.5)]
    metric = {
        "metric_name": "accuracy",
        "event_name": "fn",
        "old_aggregate": 0.5,
        "new_aggregate": 0.6,
        "found_count": 3,
        "improved_count": 1,
        "degraded_count": 1,
        "same_count": 1,
        "improved": ["d1"],
        "degraded": ["d2"],
        "same": ["d3"],
        "old_values": [0.2, 0.8, 0.5],
        "new_values": [0.9, 0.4, 0.5],
    }
    gone = {"metric_name": "f1", "event_name": "fn", "old_aggregate": 0.5, "new_aggregate": None}
    body = {"metrics": [metric, gone], "commonDatapoints": ["d1", "d2", "d3", "d4"], "event_details": []}
    server.plan(answer(200, body=body), path="/compare-with/")
    server.plan(answer(200, body=result(rows, [detail([0.9, 0.4, 0.5])])), path="/v1/runs/new/result")
    server.plan(answer(200, body=result(rows, [detail([0.2, 0.8, 0.5])])), path="/v1/runs/old/result")
    server.sessions["s1"] = {"session_id": "s1", "inputs": "plain text"}
    _, document = made("old")
    assert "Against before: 1 metric up, 0 down." in text_of(document, "//p[@class='answer']")[0]
    (finding,) = document.xpath("//article[@class='finding']")
    assert text_of(finding, ".//span[contains(@class, 'chip')]") == ["▲ better"]
    assert text_of(finding, "./p") == ["1 improved, 1 degraded, 1 unchanged, of 3 datapoints."]
    assert "sends no intervals" in text_of(document, "//section[1]/p")[0]
    assert text_of(document, "//ul[@class='notes']/li") == ["Only in the baseline, so not compared: f1."]
    moved = document.xpath("//article[@class='moving']//tr")
    assert [text_of(each, "./td") for each in moved] == [
        ["d2", "", "0.800 → 0.400"],
        ["plain textd1", "", "0.200 → 0.900"],
    ]
    assert len(document.xpath("//path[@class='outline']")) == 1


def test_lists_that_do_not_fit_together_give_no_movers(server, made):
    metric = {
        "metric_name": "accuracy",
        "old_aggregate": 0.5,
        "new_aggregate": 0.5,
        "improved": ["d1"],
        "old_values": [0.1, 0.2],
        "new_values": [0.3],
    }
    server.plan(answer(200, body={"metrics": [metric], "commonDatapoints": None}), path="/compare-with/")
    server.plan(*[answer(200, body=result([], []))] * 2, path="/result")
    _, document = made("old")
    assert document.xpath("//article[@class='moving']") == []
    assert text_of(document, "//p[@class='answer']") == [
        "The run has no datapoints. It shares no datapoint with before, so that nothing can be compared."
    ]
    assert text_of(document, "//section[h2='Metrics']/p") == ["The run measured nothing."]
    with pytest.raises(ConfigurationError, match="same run"):
        made("new")


def test_runs_without_a_common_metric_are_told(server, made):
    body = {"metrics": [{"metric_name": "a", "new_aggregate": 1.0}], "commonDatapoints": ["d1"]}
    server.plan(answer(200, body=body), path="/compare-with/")
    server.plan(*[answer(200, body=result([row(1)], [detail([], metric="a", aggregate=None)]))] * 2, path="/result")
    _, document = made("old")
    assert text_of(document, "//section[1]/p") == ["Both runs have no metric in common."]
    assert text_of(document, "//figure") == ["No numeric values."]


def test_sessions_that_are_gone_leave_their_blocks_empty(server, made):
    rows = [row(1, True, False) | {"session_id": None, "datapoint_id": None}, row(2, 5.0, False)]
    server.plan(answer(200, body=result(rows, [detail([1e200, 5.0])])), path="/result")
    server.plan(answer(404, body={"message": "gone"}), path="/v1/events/export")
    _, document = made()
    assert text_of(document, "//summary") == ["–accuracy true", "d2accuracy 5"]
    assert text_of(document, "//figure") == ["Values too large to be drawn."]


def test_only_so_many_events_of_a_session_are_read(server, made):
    server.plan(
        answer(200, body={"events": [{"event_type": "tool", "error": "late"}] * 80, "totalEvents": 80}),
        path="/v1/events/export",
    )
    server.plan(answer(200, body=result([row(1, 0.1, False)], [])), path="/result")
    _, document = made()
    assert text_of(document, "//pre") == ["late"]


# --- pictures


def rectangles(picture, kind):
    return [
        {name: float(each.get(name)) for name in ("x", "width", "height")}
        for each in etree.fromstring(picture).findall(f"rect[@class='{kind}']")
    ]


def test_a_few_different_values_get_a_bar_each():
    picture, low, high = pictures.distribution([1, 2, 2, 5], [], said="x", passing=(2, None), mean=2.5)
    assert (low, high) == (1, 5)
    heights = [bar["height"] for bar in rectangles(picture, "bar")]
    assert heights == [36.0, 72.0, 36.0]
    (passing,) = rectangles(picture, "range")
    assert (passing["x"], passing["width"]) == (96.0, 224.0)  # from the middle of the second of five bars


def test_equal_values_and_values_far_apart_are_drawn_inside_the_picture():
    for values in ([0.0, 0.0], [-3.0], [1e-9, 1e9, 5.0, 5.0], [n / 7 for n in range(1000)]):
        picture, _, _ = pictures.distribution(values, [0.5], said="x", passing=None, mean=None)
        for bar in rectangles(picture, "bar"):
            assert 0 <= bar["x"] <= bar["x"] + bar["width"] <= pictures.WIDTH
            assert 2 <= bar["height"] <= pictures.FLOOR


def test_a_forest_row_is_symmetric_about_no_change():
    found = etree.fromstring(pictures.forest(0.5, (0.0, 1.0), tone="better", said="x"))
    assert found.find("circle").get("cx") == f"{130 + 130 * 0.5 / 1.12:.1f}"
    assert found.find("path[@class='whisker better']").get("d").startswith("M130.0 ")
    still = etree.fromstring(pictures.forest(0.0, None, tone="equivalent", said="x"))
    assert (still.find("circle").get("cx"), len(still.findall("path"))) == ("130.0", 2)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b", "a"], "a and b"),
        (list("abcde"), "a, b, c, d and e"),
        (list("abcdefg"), "a, b, c, d and 3 more"),
    ],
)
def test_names_are_listed_briefly(names, text):
    assert sections.listed(names) == text


@pytest.mark.parametrize(("value", "text"), [(2.0, "2"), (1234.5, "1,234"), (0.25, "0.250"), (1e300, "1e+300")])
def test_values_have_as_many_decimals_as_they_need(value, text):
    assert sections.number(value) == text


@pytest.mark.parametrize(
    ("bounds", "is_binary", "text"),
    [
        ({}, False, None),
        ({"min": 1}, True, "when true"),
        ({"min": 0.5, "max": 2}, False, "from 0.5 to 2"),
        ({"max": 2}, False, "up to 2"),
    ],
)
def test_passing_ranges_read_as_words(bounds, is_binary, text):
    from experiments.sdk.models import PassingRange

    assert sections.range_text(PassingRange(**bounds), is_binary=is_binary) == text
