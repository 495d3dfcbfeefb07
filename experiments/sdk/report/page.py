"""The report's page: head, verdict, counts, and its sections. Pure; every text that comes from outside is escaped."""

import base64
import datetime as dt
import hashlib
from collections import Counter
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from experiments.sdk.report import datapoints, pictures, sections
from experiments.sdk.report.material import Comparison, Material
from experiments.sdk.version import VERSION
from experiments.sdk.views.result import metric_details
from governance.domain.formats import exact, plural, rate

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentRun

_STATUSES = ("completed", "failed", "cancelled", "running", "pending")
_ORDER = ("worse", "better", "equivalent", "undecided")


def page(material: Material, *, now: dt.datetime) -> str:
    """The whole document."""
    style = files("experiments.sdk.report").joinpath("style.css").read_text(encoding="utf-8")
    # Nothing but this very style sheet may take effect: no script, no address, no form, whatever a text says.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(material.run.name or material.run.run_id)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title} · hhweb report</title>",
        f"<style>{style}</style></head><body>",
        _head(material),
        "<main>",
        _counts(material),
    ]
    if material.comparison is not None:
        parts.append(sections.compared(material.comparison))
    parts.append(sections.metrics(material.result, material.comparison))
    if material.comparison is not None:
        parts.append(datapoints.movers(material.comparison))
    parts.append(datapoints.failing(material))
    parts += ["</main>", _foot(material, now), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def _head(material: Material) -> str:
    run = material.run
    status = run.status or material.result.status
    chip = f'<span class="chip {status if status in _STATUSES else ""}">{escape(status)}</span>'
    about = f"<p>{escape(run.description)}</p>" if run.description else ""
    rows = [("run", f"<code>{escape(run.run_id)}</code>"), *_facts(run)]
    if material.comparison is not None:
        baseline = material.comparison.baseline
        named = f"{escape(baseline.name)} " if baseline.name else ""
        rows.append(("baseline", f"{named}<code>{escape(baseline.run_id)}</code>"))
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return (
        f'<header><p class="kicker">Experiment report</p><div class="title">'
        f"<h1>{escape(run.name or run.run_id)}</h1>{chip}</div>{about}"
        f'<dl class="facts">{facts}</dl><p class="answer">{escape(answer(material))}</p></header>'
    )


def _facts(run: "ExperimentRun") -> list[tuple[str, str]]:
    found = []
    git = run.metadata.get("git")
    if isinstance(git, dict):
        commit = str(git.get("commit") or "")[:10]
        text = " ".join(str(part) for part in (git.get("branch"), commit) if part)
        if text:
            dirty = " with local changes" if git.get("is_dirty") is True else ""
            found.append(("git", f"<code>{escape(text)}</code>{dirty}"))
    dataset = run.dataset_name or run.dataset_id
    if dataset:
        found.append(("dataset", escape(dataset)))
    if run.created_at:
        found.append(("created", escape(run.created_at[:16].replace("T", " ")) + " UTC"))
    return found


def answer(material: Material) -> str:
    """The report in one or two sentences."""
    result = material.result
    total = len(result.passed) + len(result.failed)
    if not total:
        said = "The run has no datapoints."
    elif not result.failed:
        said = f"All {plural(total, 'datapoint')} passed." if total > 1 else "The one datapoint passed."
    else:
        said = (
            f"{exact(len(result.passed))} of {plural(total, 'datapoint')} passed, {exact(len(result.failed))} failed."
        )
    comparison = material.comparison
    if comparison is None:
        return said
    return f"{said} {_against(comparison)}"


def _against(comparison: Comparison) -> str:
    name = comparison.baseline.name or comparison.baseline.run_id
    if not comparison.common:
        return f"It shares no datapoint with {name}, so that nothing can be compared."
    verdicts: dict[str, list[str]] = {}
    for each in comparison.metrics:
        verdicts.setdefault(each.figures.verdict or "", []).append(each.figures.metric)
    if not any(verdicts):
        counts = Counter(sections.tone_of(each) for each in comparison.metrics)
        return f"Against {name}: {plural(counts['better'], 'metric')} up, {exact(counts['worse'])} down."
    words = {"worse": "worse on", "better": "better on", "equivalent": "equivalent on", "undecided": "undecided on"}
    told = [f"{words[verdict]} {sections.listed(verdicts[verdict])}" for verdict in _ORDER if verdict in verdicts]
    return f"Against {name}: {'; '.join(told)}."


def _counts(material: Material) -> str:
    result = material.result
    passed, failed = len(result.passed), len(result.failed)
    total = passed + failed
    crashed = material.crashed
    rates = material.comparison.pass_rates if material.comparison is not None else None
    before = ""
    if rates is not None and rates["old"]["rate"] is not None:
        before = f"{100 * rates['old']['rate']:.1f} % in the baseline"
    interval = ""
    if rates is not None and rates["new"]["low"] is not None:
        new = rates["new"]
        interval = f"{100 * new['level']:g} % interval {100 * new['low']:.1f} to {100 * new['high']:.1f} %"
    executions = "" if len(result.datapoints) == total else plural(len(result.datapoints), "execution")
    cards = [
        _card("Datapoints", exact(total), executions),
        _card("Passed", rate(passed, total) if total else "–", "; ".join(text for text in (interval, before) if text)),
        _card(
            "Failed",
            exact(failed),
            plural(crashed, "crash", "crashes") if crashed else "",
            is_bad=failed > 0,
        ),
        _card("Metrics", exact(len({detail.metric_name for detail in metric_details(result.metrics)})), ""),
    ]
    return f'<ul class="cards">{"".join(cards)}</ul>{_pass_bar(passed, failed, crashed)}'


def _card(label: str, value: str, note: str, *, is_bad: bool = False) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    bad = " bad" if is_bad else ""
    return f'<li class="card{bad}"><p class="label">{label}</p><p class="value">{escape(value)}</p>{said}</li>'


def _pass_bar(passed: int, failed: int, crashed: int) -> str:
    if not passed + failed:
        return ""
    counts = [("passed", passed), ("failed", failed - min(crashed, failed)), ("crashed", min(crashed, failed))]
    shown = [(word, count) for word, count in counts if count]
    said = ", ".join(f"{count} {word}" for word, count in shown)
    legend = "".join(f'<li class="is-{word}">{exact(count)} {word}</li>' for word, count in shown)
    bar = pictures.share([(f"is-{word}", count) for word, count in counts], said=said)
    return f'<div class="passbar">{bar}<ul>{legend}</ul></div>'


def _foot(material: Material, now: dt.datetime) -> str:
    made = now.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = ""
    if material.has_console:
        address = f"{material.server_url}/console/runs/{quote(material.run.run_id, safe='')}/"
        where = f'<span><a href="{escape(address)}" rel="noopener noreferrer">This run in the console</a></span>'
    return f"<footer><span>hhweb {escape(VERSION)}, written {made}</span>{where}</footer>"
