"""A gate's report as Markdown, for job summaries and comments, and as JUnit XML, for everything that shows tests."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.sdk.gate.rules import plain

if TYPE_CHECKING:
    from experiments.sdk.gate.shapes import GateReport

_MARKS = {"passed": "✅", "skipped": "➖", "undecided": "⚠️", "too_small": "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~])")
# What GitHub turns into mentions of people and links to issues.
_REFERENCE = re.compile(r"([@#])(?=\w)")
# Characters that no XML document may hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(report: "GateReport") -> str:
    """The report as a section of GitHub's Markdown; names of runs and metrics cannot break out of it."""
    head = f"## {'✅' if report.passed else '❌'} hhweb gate: {headline(report)}"
    lines = [head, "", _subject(report), "", "| | Rule | Result |", "|---|---|---|"]
    for check in report.checks:
        mark = "❌" if report.stops(check) else _MARKS[check.outcome]
        lines.append(f"| {mark} | {escaped(check.rule)} | {escaped(check.message)} |")
    if report.figures:
        lines += ["", *_table(report)]
    if beware := [*report.warnings, *_remarks(report)]:
        lines += ["", "<details><summary>To beware of</summary>", ""]
        lines += [f"- {escaped(text)}" for text in beware]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def headline(report: "GateReport") -> str:
    """`passed`, `passed, 1 rule undecided`, `2 of 5 rules failed`."""
    total = len(report.checks)
    if not report.passed:
        return f"{len(report.failures)} of {total} rules failed"
    uncertain = sum(check.is_uncertain for check in report.checks)
    skipped = sum(check.outcome == "skipped" for check in report.checks)
    notes = [
        f"{count} {'rule' if count == 1 else 'rules'} {word}"
        for count, word in ((uncertain, "undecided"), (skipped, "skipped"))
        if count
    ]
    return ", ".join(["passed", *notes])


def junit(report: "GateReport") -> str:
    """The report as JUnit XML, one test case per rule; what is undecided or skipped counts as skipped, with reason."""
    from xml.etree import ElementTree

    failures, skipped = len(report.failures), 0
    suite = ElementTree.Element("testsuite", name="hhweb gate", tests=str(len(report.checks)), errors="0")
    for check in report.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="hhweb.gate", name=_xml(check.rule), time="0")
        message = _xml(check.message)
        if report.stops(check):
            ElementTree.SubElement(case, "failure", type=check.outcome, message=message).text = message
        elif check.outcome == "passed":
            ElementTree.SubElement(case, "system-out").text = message
        else:
            skipped += 1
            ElementTree.SubElement(case, "skipped", type=check.outcome, message=message).text = message
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    whole = ElementTree.Element("testsuites", name="hhweb gate")
    whole.append(suite)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def append(path: Path, text: str) -> None:
    """Add a section to a summary that other steps may have begun. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def escaped(text: str) -> str:
    """Text as it is inside a line of GitHub's Markdown: no markup, no table cell, no mention, no reference."""
    flat = " ".join(text.split())
    plainly = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _REFERENCE.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", plainly))


def _remarks(report: "GateReport") -> list[str]:
    """The server's remarks with the metric; what is said of several metrics alike stands once, without any."""
    said: dict[str, list[str]] = {}
    for each in report.figures:
        for remark in each.remarks:
            said.setdefault(remark, []).append(each.metric)
    return [f"{metrics[0]}: {remark}" if len(metrics) == 1 else remark for remark, metrics in said.items()]


def _subject(report: "GateReport") -> str:
    run = _named(report.run_name, report.run_id, report.run_link)
    if report.baseline_id is None:
        return f"Run {run}."
    baseline = _named(report.baseline_name or "", report.baseline_id, None)
    compared = f" ([compare]({report.comparison_link}))" if report.comparison_link else ""
    return f"Run {run} against baseline {baseline}{compared}."


def _named(name: str, run_id: str, link: str | None) -> str:
    shown = f"**{escaped(name or run_id)}**"
    shown = f"[{shown}]({link})" if link else shown
    return f"{shown} ({escaped(run_id[:8])})" if name else shown


def _table(report: "GateReport") -> list[str]:
    has_intervals = report.confidence is not None
    titles = ["Metric", "Baseline", "Run", "Difference"]
    titles += [f"{100 * (report.confidence or 0):g} % interval", "Datapoints", "Verdict"] if has_intervals else []
    lines = [f"| {' | '.join(titles)} |", "|---" + "|---:" * (len(titles) - 1) + "|"]
    for each in report.figures:
        arrow = "" if not each.gain else " ▲" if each.gain > 0 else " ▼"
        better = " (lower is better)" if each.direction == "lower" else ""
        cells = [escaped(each.metric) + better, plain(each.old), plain(each.new), _signed(each.difference) + arrow]
        if has_intervals:
            interval = "–"
            if each.interval_low is not None and each.interval_high is not None:
                interval = f"{_signed(each.interval_low)} … {_signed(each.interval_high)}"
            cells += [interval, f"{each.pairs:,}", escaped(each.verdict or "–")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _signed(value: float | None) -> str:
    return f"+{plain(value)}" if value is not None and value > 0 else plain(value)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
