"""What people see of results and comparisons on terminals of any width."""

import contextlib
import io
import os
import pty
import re
import threading
from typing import Any

import pytest

from experiments.sdk.models import (
    DatapointMetric,
    DatapointResult,
    ExperimentResultSummary,
    MetricComparison,
    Metrics,
    PassingRange,
    RunComparisonResult,
)
from experiments.sdk.rendering import print_comparison, print_result
from experiments.sdk.views.parts import percentage, range_text, shortened
from experiments.sdk.views.result import console_url, failures
from tests.experiments.sdk.shown import LONG_NAME, RUN, compared, completed, detail, outcome, row


def printed(thing: ExperimentResultSummary | RunComparisonResult) -> str:
    stream = io.StringIO()
    thing.print_table(file=stream)
    return stream.getvalue()


def cells(text: str, start: str) -> list[str]:
    """The cells of the row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return re.split(r"\s{2,}", line.strip())


# --- one run


def test_metrics_stand_with_aggregate_number_range_and_verdicts() -> None:
    text = printed(completed())
    assert text.startswith("prompt 3\ncompleted · 12 passed · 3 failed\n")
    assert cells(text, "metric ") == ["metric", "average", "n", "passes", "passed", "failed"]
    assert cells(text, "accuracy") == ["accuracy", "0.760", "15", "≥ 0.5", "12", "3"]
    assert cells(text, LONG_NAME) == [LONG_NAME, "1,240.5", "15", "0 to 2000", "–", "–"]
    assert text.endswith(f"\nRun {RUN}\nhttp://127.0.0.1:8000/console/runs/{RUN}/\n")


def test_undefined_is_a_dash_and_never_zero() -> None:
    assert cells(printed(completed()), "undefined") == ["undefined", "–", "–", "–", "–", "–"]


def test_metrics_of_several_events_say_which() -> None:
    metrics = Metrics(details=[detail("m", 0.5, [0.5], event="session"), detail("m", 1.0, [True], event="answer")])
    text = printed(completed(metrics=metrics, datapoints=[]))
    assert cells(text, "metric") == ["metric", "event", "aggregate", "n", "passes", "passed", "failed"]
    assert [line.split()[:3] for line in text.splitlines() if line.startswith("m ")] == [
        ["m", "session", "0.500"],
        ["m", "answer", "1.000"],
    ]


def test_metrics_of_older_servers_are_shown() -> None:
    metrics = Metrics.model_validate({"a": {"aggregate": 0.85, "values": [0.8, "x"]}, "b": 3, "c": "?", "d": {}})
    text = printed(completed(metrics=metrics))
    assert cells(text, "a ")[:3] == ["a", "0.850", "1"]
    assert cells(text, "b ")[:3] == ["b", "3.000", "–"]
    assert cells(text, "d ")[:3] == ["d", "–", "–"]
    assert "\nc " not in text


def test_kinds_of_failure_are_kept_apart_and_thresholds_come_last() -> None:
    outcomes = [
        outcome(0),
        outcome(1, error="ZeroDivisionError: division by zero", error_type="ZeroDivisionError"),
        outcome(2, delivered=False),
        outcome(3, evaluator_errors={"judge": "TimeoutError: no answer", "length": "TypeError: None"}),
        *(outcome(number) for number in range(4, 15)),
    ]
    text = printed(completed(outcomes=outcomes))
    assert text.splitlines()[1] == (
        "completed · 12 passed · 3 failed · 1 function failure · 1 evaluator failure · 1 not delivered"
    )
    start = text.splitlines().index("Failing datapoints") + 3
    assert [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[start : start + 6]] == [
        ["EXT-0000000000000001", "question 1", "function", "ZeroDivisionError: division by zero"],
        ["threshold", "accuracy 0.200 (passes ≥ 0.5)"],
        ["EXT-0000000000000002", "question 2", "delivery", "not acknowledged by the server"],
        ["threshold", "accuracy 0.200 (passes ≥ 0.5)"],
        ["EXT-0000000000000003", "question 3", "evaluator", "judge: TimeoutError: no answer; length: TypeError: None"],
        ["EXT-0000000000000000", "question 0", "threshold", "accuracy 0.200 (passes ≥ 0.5)"],
    ]


def test_ten_failing_datapoints_are_shown_and_the_others_counted() -> None:
    rows = [row(number, accuracy=0.2, passed=False) for number in range(25)]
    text = printed(completed(datapoints=rows))
    assert text.count("threshold") == 10
    assert "\nand 15 more\n" in text
    assert "more" not in printed(completed(datapoints=rows[:10]))


def test_many_reasons_of_a_kind_are_cut_and_repetitions_numbered() -> None:
    errors = {f"judge {number}": "no" for number in range(5)}
    text = printed(completed(outcomes=[outcome(4, evaluator_errors=errors, repetition=2)], datapoints=[]))
    assert "judge 0: no; judge 1: no; judge 2: no; 2 more" in text
    assert "EXT-0000000000000004 #3 " in text


def test_an_execution_that_the_server_counts_as_failed_without_a_metric_says_so() -> None:
    rows = [DatapointResult(session_id="s1", passed=False), DatapointResult(passed=False), row(3)]
    found = list(failures(completed(datapoints=rows)))
    assert [(failure.datapoint_id, failure.reasons) for failure in found] == [
        ("s1", [("function", "the server counts this execution as failed")]),
        ("–", [("function", "the server counts this execution as failed")]),
    ]


def test_a_metric_without_bounds_that_failed_shows_its_value() -> None:
    metrics = [
        DatapointMetric(name="correct", event_name="other", value=False, passed=False),
        DatapointMetric(name="fine", value=1, passed=True),
    ]
    found = list(failures(completed(datapoints=[DatapointResult(session_id="s", passed=False, metrics=metrics)])))
    assert found[0].reasons == [("threshold", "correct false")]


def test_a_run_in_the_spool_says_where_it_waits_and_what_to_type() -> None:
    outcomes = [outcome(number, delivered=False) for number in range(3)]
    outcomes.append(outcome(3, delivered=False, error="ValueError: no", is_cached=True, is_resumed=True))
    waiting = ExperimentResultSummary(
        run_id=RUN,
        status="pending_upload",
        server_url="http://127.0.0.1:8000",
        spool_path=f"/var/lib/somebody/with/a/long/home/folder/.local/state/hhweb/spool/{RUN}.and.still.longer.to.break",
        outcomes=outcomes,
        notices=["The server went away."],
    )
    text = printed(waiting)
    assert text.splitlines()[:2] == [
        RUN,
        "pending upload · 4 datapoints executed · 1 function failure · 1 from the cache · 1 there before",
    ]
    assert f"\nNot uploaded yet: the run waits in {waiting.spool_path}\n" in text
    assert f"\nSend it with: hhweb spool replay {waiting.run_id}\n" in text
    assert "\nThe server went away.\n" in text
    assert "delivery" not in text
    assert "console" not in text
    told = waiting.model_copy(update={"notices": ["Deliver it with `hhweb spool replay run-1`."]})
    assert "Not uploaded yet" not in printed(told)
    waiting.spool_path = None
    assert "\nNot uploaded yet: the run waits\n" in printed(waiting)


def test_a_failed_run_says_why() -> None:
    text = printed(ExperimentResultSummary(status="failed", error="The server refused the run: quota"))
    assert text.splitlines() == ["", "failed", "The server refused the run: quota"]


def test_addresses_of_the_hosted_service_are_not_made_up() -> None:
    assert console_url("https://api.honeyhive.ai/", RUN) == "https://api.honeyhive.ai/"


# --- two runs


def test_a_comparison_shows_both_sides_their_difference_and_how_many_moved() -> None:
    text = printed(compared(new_only_datapoints=2, old_only_datapoints=1))
    assert text.splitlines()[:2] == [
        "prompt 3 (7c0f5ac1…9d11) against old",
        "40 common datapoints · 2 only in the new run · 1 only in the old run",
    ]
    head = ["metric", "old", "new", "difference", "change", "better", "worse", "same", "n"]
    assert cells(text, "metric ") == head
    assert cells(text, "accuracy ") == ["accuracy", "0.660", "0.710", "+0.050", "+7.6 %", "3", "2", "35", "40"]
    assert cells(text, "latency") == [
        "latency (lower is better)", "812.2", "1,240.5", "+428.3", "+52.7 %", "0", "12", "28", "40",
    ]  # fmt: skip
    assert cells(text, "only new") == ["only new", "–", "0.500", "–", "–", "0", "0", "0", "0"]


def test_datapoints_that_got_worse_are_named_the_worst_first() -> None:
    text = printed(compared())
    start = text.splitlines().index("Worse than before") + 3
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[start : start + 11]]
    assert lines[0] == ["EXT-0000000000000000", "accuracy, latency", "–"]
    assert lines[1] == ["EXT-000000000000000d", "accuracy", "accuracy"]
    assert lines[10] == ["and 3 more"]


def test_colours_follow_the_direction_of_the_metric() -> None:
    page = compared()._repr_html_()
    assert '<td class="number good">+0.050</td>' in page
    assert '<td class="number bad">+428.3</td>' in page
    lower = [
        MetricComparison(metric_name="m", direction="lower", difference=-0.5),
        MetricComparison(metric_name="m", difference=0.0),
    ]
    page = compared(metrics=lower)._repr_html_()
    assert '<td class="number good">−0.500</td>' in page
    assert '<td class="number">0.000</td>' in page


@pytest.mark.parametrize(
    ("bounds", "text"),
    [(None, "–"), (PassingRange(), "–"), (PassingRange(min=0.5), "≥ 0.5"), (PassingRange(max=2), "≤ 2"),
     (PassingRange(min=0, max=1), "0 to 1")],
)  # fmt: skip
def test_ranges(bounds: PassingRange | None, text: str) -> None:
    assert range_text(bounds) == text


def test_percentages_and_ids() -> None:
    assert [percentage(value) for value in (None, float("nan"), 4.24, -3.0, 0.0)] == [
        "–",
        "–",
        "+4.2 %",
        "−3.0 %",
        "0.0 %",
    ]
    assert shortened("EXT-" + "a" * 60, 20) == "EXT-aaaaaaaaa…aaaaaa"
    assert shortened("EXT-short", 20) == "EXT-short"


# --- terminals


def on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch, *shown: Any) -> str:
    """What a real terminal of that width gets to see."""
    leader, follower = pty.openpty()
    said: list[bytes] = []

    def listen() -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other side has ended
            while piece := os.read(leader, 65536):
                said.append(piece)

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        for thing in shown:
            thing.print_table(file=stream)
    listener.join(10)
    os.close(leader)
    text = b"".join(said).decode()
    assert "\x1b[31m3 failed\x1b[0m" in text  # red
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "")


def test_narrow_terminals_leave_columns_out_and_cut_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(
        46,
        monkeypatch,
        completed(outcomes=[outcome(number) for number in range(15)]),
        compared(),
        completed(datapoints=[DatapointResult(session_id="s" * 80, passed=False)]),
    )
    tables = [line for line in text.splitlines() if RUN not in line]
    assert max(len(line) for line in tables) <= 46
    assert re.search(r"^accuracy +0\.760 +3$", text, re.MULTILINE)
    assert re.search(r"^metric +average +failed$", text, re.MULTILINE)
    assert re.search(r"^accuracy +0\.710 +\+0\.050$", text, re.MULTILINE)
    assert re.search(r"^EXT-00…000000 +threshold +accuracy", text, re.MULTILINE)
    assert re.search(r"^ssssss…ssssss +function +the server", text, re.MULTILINE)
    assert f"Run {RUN}\n" in text


def test_without_a_terminal_there_is_no_colour_and_room_enough() -> None:
    text = printed(completed(outcomes=[outcome(0)]))
    assert "\x1b" not in text
    assert "EXT-0000000000000000" in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_streams_of_poor_encodings_still_show_everything(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_result(completed(), "name – ünïcode 漢", file=stream)
    print_comparison(compared(), file=stream)
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert text.startswith(
        {"ascii": "name - ?n?code ?\ncompleted | 12", "cp1252": "name - ünïcode ?\ncompleted · 12"}[encoding]
    )
    assert re.search(r"\| +>= 0\.5 \|", text)
    assert "prompt 3 (7c0f5ac1~9d11) against old" in text or "prompt 3 (7c0f5ac1…9d11) against old" in text


def test_control_characters_of_data_reach_no_terminal() -> None:
    text = printed(completed(outcomes=[outcome(0, error="\x1b[2J\x07boom\u202e")]))
    assert "�[2J�boom�" in text
    assert "\x1b" not in text


def test_markup_of_data_is_shown_as_it_is() -> None:
    assert "[red]x[/red] [link=http://a]" in printed(
        completed(outcomes=[outcome(0, error="[red]x[/red] [link=http://a]")])
    )
