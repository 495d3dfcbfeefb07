"""Results and comparisons in notebooks and as data frames."""

import html.parser
import sys

import pytest

from experiments.sdk.models import DatapointMetric, DatapointResult, ExperimentResultSummary
from experiments.sdk.rendering import result_html
from experiments.sdk.views.result import failures
from tests.experiments.sdk.shown import RUN, compared, completed, outcome

# --- notebooks


class Tags(html.parser.HTMLParser):
    """Which elements a page has; whatever opens must close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_escaped_and_fetches_nothing() -> None:
    evil = '<script>alert("x")</script><img src=x onerror=y>'
    outcomes = [outcome(number, error=evil, inputs={"q": evil}) for number in range(12)]
    page = completed(name=evil, notices=[evil], outcomes=outcomes)._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen == {"div", "style", "h3", "h4", "p", "span", "table", "thead", "tbody", "tr", "th", "td", "a"}
    assert "src=" not in page.replace("src=x onerror=y", "")
    assert "url(" not in page
    assert "and 2 more" in page


def test_html_shows_what_the_terminal_shows() -> None:
    page = result_html(completed(), "a name")
    for text in ("<h3>a name</h3>", "12 passed", "3 failed", "≥ 0.5", "1,240.5", "0 to 2000", f"/console/runs/{RUN}/"):
        assert text in page
    for piece in ('<td class="number">0.760</td>', '<td class="number bad">3</td>', '<td class="number dim">–</td>'):
        assert piece in page


def test_long_ids_are_cut_in_html_and_whole_in_its_title() -> None:
    page = completed(datapoints=[DatapointResult(session_id="s" * 80, passed=False)])._repr_html_()
    assert f'<td class="id" title="{"s" * 80}">{"s" * 29}…ssssss</td>' in page


# --- data frames


def test_a_result_frame_has_a_row_per_execution_in_input_order() -> None:
    outcomes = [outcome(4, duration_ms=1.5), outcome(0, error="ValueError: x", error_type="ValueError"), outcome(99)]
    outcomes[2].metrics = {"accuracy": 0.4, "own": "text"}
    frame = completed(outcomes=outcomes).to_pandas()
    assert list(frame["session_id"])[:5] == ["s4", "s0", "s99", "s1", "s2"]
    assert len(frame) == 16
    assert list(frame.columns)[-2:] == ["metrics.accuracy", "metrics.own"]
    assert list(frame["metrics.accuracy"])[:2] == [0.9, 0.2]
    assert frame["metrics.own"][2] == "text"
    assert list(frame["passed"])[:2] == [True, False]
    assert frame["error"][1] == "ValueError: x"
    assert frame["inputs"][0] == {"q": "question 4"}


def test_a_result_frame_without_the_server_has_the_metrics_of_here() -> None:
    outcomes = [outcome(0, metrics={"accuracy": 1.0}), outcome(1, metrics={"accuracy": 0.0})]
    frame = ExperimentResultSummary(status="pending_upload", outcomes=outcomes).to_pandas()
    assert list(frame["metrics.accuracy"]) == [1.0, 0.0]
    assert frame["passed"].isna().all()
    assert list(ExperimentResultSummary(status="completed").to_pandas().columns)[:2] == ["datapoint_id", "session_id"]


def test_metrics_of_several_events_have_columns_of_their_own() -> None:
    metrics = [DatapointMetric(name="m", event_name=event, value=value) for event, value in (("a", 1), ("b", 2))]
    frame = completed(datapoints=[DatapointResult(session_id="s", metrics=metrics)]).to_pandas()
    assert (frame["metrics.m (a)"][0], frame["metrics.m (b)"][0]) == (1, 2)


def test_a_comparison_frame_has_a_row_per_metric() -> None:
    frame = compared().to_pandas()
    assert list(frame["metric_name"]) == ["accuracy", "latency", "only new"]
    assert list(frame["difference"])[:2] == [0.05, 428.3]
    assert frame["difference"].isna()[2]
    assert list(frame["degraded_count"]) == [2, 12, 0]


def test_without_pandas_the_error_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"need pandas, which is not installed\. Type: pip install pandas"):
        completed().to_pandas()


def test_a_missing_value_is_no_crash_and_its_evaluators_error_is_told_once():
    row = {"datapoint_id": "EXT-1", "session_id": "s1", "passed": False, "missing": ["exact", "near"], "metrics": []}
    crashed = {"datapoint_id": "EXT-2", "session_id": "s2", "passed": False, "crashed": True, "metrics": []}
    outcome = {"datapoint_id": "EXT-1", "session_id": "s1", "evaluator_errors": {"exact": "ValueError: x"}}
    result = ExperimentResultSummary(status="completed", datapoints=[row, crashed], outcomes=[outcome])
    first, second = failures(result)
    assert first.reasons == [
        ("evaluator", "exact: ValueError: x"),
        ("evaluator", "no value of near, which has a threshold"),
    ]
    assert second.reasons == [("function", "the server counts this execution as failed")]
    assert [each.has_crashed for each in result.datapoints] == [False, True]
    old = ExperimentResultSummary(status="completed", datapoints=[{**row, "missing": []}])
    assert old.datapoints[0].has_crashed is True  # a server that does not tell
