"""The sections of a report about single datapoints: who moved most, who failed and how. Pure; text is escaped."""

from html import escape
from typing import TYPE_CHECKING, Any

from experiments.sdk.report import pictures
from experiments.sdk.report.material import ComparedMetric, Comparison, Failing, Material, Mover
from experiments.sdk.report.sections import number, range_text
from governance.domain.formats import UNDEFINED, exact, metric_value, plural, pretty_json, preview

if TYPE_CHECKING:
    from experiments.sdk.models import DatapointMetric, PassingRange

MAX_TEXT = 4_000  # characters of one value of a datapoint
OPENED = 3  # failing datapoints that stand open


def movers(comparison: Comparison) -> str:
    """Per metric the datapoints that fell and rose most; nothing when none moved."""
    blocks = [_moving(each) for each in comparison.metrics if each.improved_most or each.degraded_most]
    if not blocks:
        return ""
    about = "From the ring (baseline) to the dot (this run), on the scale of the rows shown. Means of repetitions."
    return f'<section><h2>Biggest movers</h2><p>{about}</p><div class="movers">{"".join(blocks)}</div></section>'


def _moving(each: ComparedMetric) -> str:
    shown = [("worse", mover) for mover in each.degraded_most] + [("better", mover) for mover in each.improved_most]
    values = [value for _, mover in shown for value in (mover.old, mover.new)]
    low, high = min(values), max(values)
    rows = "".join(_mover_row(each.figures.metric, tone, mover, low, high) for tone, mover in shown)
    counts = f"{exact(each.degraded)} worse, {exact(each.improved)} better, {exact(each.same)} unchanged"
    return (
        f'<article class="moving"><h3>{escape(each.figures.metric)}</h3><p class="soft">{counts}</p>'
        f"<table><tbody>{rows}</tbody></table></article>"
    )


def _mover_row(metric: str, tone: str, mover: Mover, low: float, high: float) -> str:
    change = f"{number(mover.old)} → {number(mover.new)}"
    picture = pictures.moved(mover.old, mover.new, low, high, tone=tone, said=f"{metric}: {change}, {tone}")
    said = _line_of(mover.shown_input)
    what = f'<span class="what">{escape(said)}</span>' if said != UNDEFINED else ""
    return (
        f'<tr><td>{what}<span class="id">{escape(mover.datapoint_id)}</span></td><td>{picture}</td>'
        f'<td class="number">{escape(change)}</td></tr>'
    )


def _line_of(value: Any) -> str:
    """Inputs in one line: the first text among them says most."""
    texts = (
        [item for item in value.values() if isinstance(item, str) and item.strip()] if isinstance(value, dict) else []
    )
    return preview(texts[0] if texts else value, 120)


def failing(material: Material) -> str:
    """Datapoints that failed, crashed ones first, with what went in and came out."""
    if not material.failing:
        passed = len(material.result.passed)
        said = f"All {plural(passed, 'datapoint')} passed." if passed else "There is no datapoint."
        return f'<section><h2>Failing datapoints</h2><p class="all-well">{said}</p></section>'
    blocks = "".join(_failing_block(each, number < OPENED, material) for number, each in enumerate(material.failing))
    left = material.failing_count - len(material.failing)
    more = f'<p class="all-well">… and {exact(left)} more, not shown here.</p>' if left else ""
    about = "What went in, what came out, and why it failed."
    return f"<section><h2>Failing datapoints</h2><p>{about}</p>{blocks}{more}</section>"


def _failing_block(each: Failing, is_open: bool, material: Material) -> str:
    row, content = each.row, each.content
    ranges = {(d.metric_name, d.event_name): d.passing_range for d in material.result.metrics.details}
    failed = [metric for metric in row.metrics if metric.passed is False]
    reasons = ['<span class="chip crashed">crashed</span>'] if row.has_crashed else []
    reasons += [
        f'<span class="chip failed">{escape(_reason(metric, ranges.get((metric.name, metric.event_name))))}</span>'
        for metric in failed
    ]
    reasons += [f'<span class="chip failed">no value of {escape(name)}</span>' for name in row.missing]
    what = _line_of(content.inputs)
    name = row.datapoint_id or row.session_id or UNDEFINED
    parts = []
    if content.error:
        parts.append(_block("Error", content.error, kind="error", is_wide=True))
    parts += [
        _block(label, value)
        for label, value in (
            ("Inputs", content.inputs),
            ("Outputs", content.outputs),
            ("Ground truth", content.ground_truth),
        )
        if value not in (None, {}, [])
    ]
    if content.explanations:
        told = "".join(
            f"<dt>{escape(key)}</dt><dd>{escape(_cut(str(said)))}</dd>" for key, said in content.explanations.items()
        )
        parts.append(f'<div class="wide"><p class="label">Explanations</p><dl class="explanations">{told}</dl></div>')
    values = ", ".join(f"{metric.name} {_value(metric)}" for metric in row.metrics)
    session = f"session {row.session_id}" if row.session_id else ""
    known = " · ".join(text for text in (f"datapoint {name}", session, values) if text)
    parts.append(f'<p class="wide soft"><code>{escape(known)}</code></p>')
    return (
        f'<details class="failing"{" open" if is_open else ""}><summary><span class="what">'
        f"{escape(what if what != UNDEFINED else name)}</span>"
        f'<span class="reasons">{"".join(reasons)}</span></summary><div class="inside">{"".join(parts)}</div></details>'
    )


def _reason(metric: "DatapointMetric", bounds: "PassingRange | None") -> str:
    shown = None if isinstance(metric.value, bool) else range_text(bounds)
    return f"{metric.name} {_value(metric)}" + (f", passes {shown}" if shown else "")


def _value(metric: "DatapointMetric") -> str:
    if isinstance(metric.value, bool):
        return metric_value(metric.value, is_boolean=True)
    return metric_value(metric.value)


def _block(label: str, value: Any, *, kind: str = "", is_wide: bool = False) -> str:
    while isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        value = next(iter(value.values()))
    text = value if isinstance(value, str) else pretty_json(value)
    wide = ' class="wide"' if is_wide else ""
    return f'<div{wide}><p class="label">{label}</p><pre class="{kind}" tabindex="0">{escape(_cut(text))}</pre></div>'


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n… and {len(text) - MAX_TEXT:,} more characters"
