"""The sections of a report about the whole run: comparison and metrics. Pure; outside text is escaped."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from experiments.sdk.report import pictures
from experiments.sdk.report.material import ComparedMetric, Comparison
from experiments.sdk.views.result import metric_details
from governance.domain.formats import difference, exact, plural, score

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary, MetricDetail, PassingRange

LARGEST = 1e150  # differences of larger ones leave the range of floats
NAMES_LISTED = 4


def compared(comparison: Comparison) -> str:
    """Each metric of both runs: difference with its interval on a line through zero, verdict, sentence."""
    title = "<section><h2>Against the baseline</h2>"
    notes = _notes([*comparison.warnings, *_shared_remarks(comparison), *_presence(comparison)])
    if not comparison.metrics:
        return f"{title}<p>Both runs have no metric in common.</p>{notes}</section>"
    level = comparison.level
    about = (
        f"Means over {plural(comparison.common, 'common datapoint')}. Each line has its own scale; dashed is no change."
        if level is not None
        else "Aggregates of the whole runs. This server sends no intervals, so that noise cannot be told from change."
    )
    shared = set(_shared_remarks(comparison))
    rows = "".join(_finding(each, shared) for each in comparison.metrics)
    said = f"Change, {100 * level:g} % interval" if level is not None else "Change"
    scale = (
        f'<div class="scale" aria-hidden="true"><span class="name">Metric</span><span class="figures">{said}</span>'
        '<span class="forest-cell"><span>← worse</span><span>better →</span></span>'
        '<span class="verdict">Verdict</span></div>'
    )
    return f'{title}<p>{about}</p><div class="compared">{scale}{rows}</div>{notes}</section>'


def _shared_remarks(comparison: Comparison) -> list[str]:
    """What is to be said of several metrics alike is said once."""
    counts = Counter(remark for each in comparison.metrics for remark in each.figures.remarks)
    return [remark for remark, count in counts.items() if count > 1]


def _finding(each: ComparedMetric, said_once: set[str]) -> str:
    figures = each.figures
    decimals = _decimals(figures.difference, figures.interval_low, figures.interval_high)
    gain, ends = figures.gain or 0.0, figures.gain_interval
    verdict = figures.verdict or tone_of(each)
    interval = ""
    if figures.interval_low is not None and figures.interval_high is not None:
        low, high = (difference(end, decimals) for end in (figures.interval_low, figures.interval_high))
        interval = f" [{low}, {high}]"
    lower = '<span class="event">lower is better</span>' if figures.direction == "lower" else ""
    said = f"{figures.metric}: {difference(figures.difference, decimals)}{interval}, {verdict}"
    picture = pictures.forest(gain, ends, tone=verdict, said=said) if figures.difference is not None else ""
    sentence = figures.sentence or (
        f"{exact(each.improved)} improved, {exact(each.degraded)} degraded, {exact(each.same)} unchanged, of "
        f"{plural(figures.pairs, 'datapoint')}."
    )
    sentence = " ".join([sentence, *(remark for remark in figures.remarks if remark not in said_once)])
    return (
        f'<article class="finding"><div class="name"><h3>{escape(figures.metric)}</h3>{lower}</div>'
        f'<div class="figures number"><div class="change">{escape(difference(figures.difference, decimals))}'
        f'<span class="from">{escape(interval)}</span></div>'
        f'<div class="from">{escape(score(figures.old))} → {escape(score(figures.new))}</div></div>'
        f'<div class="forest-cell">{picture}</div>'
        f'<div class="verdict"><span class="chip {verdict}">{escape(_WORDS.get(verdict, verdict))}</span></div>'
        f'<p class="sentence">{escape(sentence)}</p></article>'
    )


_WORDS = {"better": "▲ better", "worse": "▼ worse", "equivalent": "= equivalent", "undecided": "? undecided"}


def _decimals(*values: float | None) -> int:
    """Three digits of the largest, whatever its unit."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return 3 if largest < 1 else 2 if largest < 10 else 1 if largest < 100 else 0


def tone_of(each: ComparedMetric) -> str:
    """`better`, `worse` or `equivalent` by the plain difference, for servers without verdicts."""
    gain = each.figures.gain
    return "equivalent" if not gain else "better" if gain > 0 else "worse"


def _presence(comparison: Comparison) -> list[str]:
    said = []
    for side, where in (("new", "this run"), ("old", "the baseline")):
        names = [name for name, presence in comparison.only_in_one if presence == side]
        if names:
            said.append(f"Only in {where}, so not compared: {listed(names)}.")
    return said


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; a few names, then how many more."""
    shown = list(dict.fromkeys(names))
    if len(shown) > NAMES_LISTED + 1:
        shown = [*shown[:NAMES_LISTED], f"{len(shown) - NAMES_LISTED} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# --- metrics


def metrics(result: "ExperimentResultSummary", comparison: Comparison | None) -> str:
    """A card for each metric: aggregate, distribution, passing range, who failed it."""
    details = metric_details(result.metrics)
    if not details:
        return '<section><h2>Metrics</h2><p class="all-well">The run measured nothing.</p></section>'
    earlier: dict[tuple[str, str | None], list[float]] = {}
    if comparison is not None:
        for detail in metric_details(comparison.baseline_result.metrics):
            earlier[detail.metric_name, detail.event_name] = [float(value) for value in detail.values]
    function = result.metrics.aggregation_function or "average"
    cards = [_metric(detail, earlier.get((detail.metric_name, detail.event_name), []), function) for detail in details]
    legend = ["<span>this run</span>"]
    if any(earlier.values()):
        legend.append('<span class="is-outline">baseline</span>')
    if any(detail.passing_range is not None for detail in details):
        legend.append('<span class="is-range">passing range</span>')
    legend.append(f'<span class="is-mean">{escape(function)}</span>')
    return (
        f"<section><h2>Metrics</h2><p>Every value as the server sent it, by how often it occurs.</p>"
        f'<div class="legend">{"".join(legend)}</div><div class="metrics">{"".join(cards)}</div></section>'
    )


def _metric(detail: "MetricDetail", earlier: list[float], function: str) -> str:
    values = [float(value) for value in detail.values]
    failed = len(detail.datapoints.failed) if detail.datapoints is not None else 0
    below = [f"<span>{escape(function)} of {plural(len(values), 'value')}</span>"]
    if (shown := range_text(detail.passing_range, is_binary=pictures.is_binary(values))) is not None:
        below.append(f"<span>passes {escape(shown)}</span>")
        below.append(f"<b>{exact(failed)} failed</b>" if failed else "<span>all passed</span>")
    event = f"{detail.event_name} ({detail.event_type})" if detail.event_name else ""
    return (
        f'<article class="metric"><header><div><h3>{escape(detail.metric_name)}</h3>'
        f'<div class="event">{escape(event)}</div></div>'
        f'<div class="aggregate number">{escape(score(detail.aggregate))}</div></header>'
        f'{_figure(detail, values, earlier)}<div class="below">{"".join(below)}</div></article>'
    )


def _figure(detail: "MetricDetail", values: list[float], earlier: list[float]) -> str:
    if not values:
        return '<figure><p class="soft">No numeric values.</p></figure>'
    if max(map(abs, [*values, *earlier])) > LARGEST:
        return '<figure><p class="soft">Values too large to be drawn.</p></figure>'
    if pictures.is_binary(values) and (not earlier or pictures.is_binary(earlier)):
        rows = [("this run", "is-true", values), *([("baseline", "is-before", earlier)] if earlier else [])]
        bars = []
        for name, kind, found in rows:
            ones = round(sum(found))
            said = f"{detail.metric_name}, {name}: {ones} of {len(found)} are true"
            picture = pictures.share([(kind, ones), ("is-rest", len(found) - ones)], said=said)
            share = f"{100 * ones / len(found):.1f} %"
            bars.append(f'<span>{name}</span>{picture}<span class="number">{share}</span>')
        return f'<figure><div class="bars">{"".join(bars)}</div></figure>'
    bounds = detail.passing_range
    said = f"Distribution of {plural(len(values), 'value')} of {detail.metric_name}"
    picture, low, high = pictures.distribution(
        values,
        earlier,
        said=said,
        passing=(bounds.min, bounds.max) if bounds is not None else None,
        mean=detail.aggregate,
    )
    ends = "".join(f"<span>{escape(number(end))}</span>" for end in (low, high))
    return f'<figure>{picture}<div class="ends">{ends}</div></figure>'


def number(value: float) -> str:
    """One value: whole numbers and large ones without decimals."""
    if value.is_integer() or abs(value) >= 1000:
        return exact(round(value)) if abs(value) < 1e15 else f"{value:.3g}"
    return score(value)


def range_text(bounds: "PassingRange | None", *, is_binary: bool = False) -> str | None:
    """`from 0.5`, `up to 2`, `from 0.5 to 2`, for truths `when true`; None without bounds."""
    if bounds is None or (bounds.min is None and bounds.max is None):
        return None
    if is_binary and bounds.max in (None, 1) and bounds.min is not None and 0 < bounds.min <= 1:
        return "when true"
    if bounds.max is None:
        return f"from {bounds.min:g}"
    return f"up to {bounds.max:g}" if bounds.min is None else f"from {bounds.min:g} to {bounds.max:g}"


def _notes(texts: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>' if texts else ""
