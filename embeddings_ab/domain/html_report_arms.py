"""Sections of the HTML report about the arms themselves: latency, cost and build, settings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from embeddings_ab.domain import charts
from embeddings_ab.domain.html_report_parts import section, table, text
from governance.domain import plots
from governance.domain.formats import UNDEFINED, exact, latency, size

PLOT_WIDTH = 220.0
STEPS = ("embed", "search", "fuse", "rerank", "total")
Row = Mapping[str, Any]


def latency_section(arms: Sequence[Row]) -> str:
    """Percentiles of each step and of the whole, arms below each other on one axis."""
    found = [(arm["name"], arm.get("latency") or {}) for arm in arms]
    found = [(name, figures) for name, figures in found if any(figures.get(step) for step in STEPS)]
    steps = [step for step in STEPS if any(figures.get(step) for _, figures in found)]
    totals = [figures.get("total") or {} for _, figures in found]
    axis = plots.log_axis([total.get(key) for total in totals for key in ("p50", "p99")], width=PLOT_WIDTH)
    rows = []
    for (name, figures), total in zip(found, totals, strict=True):
        p50, p95, p99 = (total.get(key) for key in ("p50", "p95", "p99"))
        said = f"{name}: median {latency(p50)}, 95th percentile {latency(p95)}"
        cells = [_percentiles(figures.get(step) or {}, with_p99=step == "total") for step in steps]
        picture = charts.percentiles(p50, p95, p99, axis=axis, label=said, arm=1)
        rows.append([text(name), exact(figures.get("sample")), *cells, picture])
    heads = ["arm", "sample", *steps, plots.ruler(axis)]
    note = "p50 / p95 of one query at a time, warmed up, arms in random order; of the total p99, too. Picture: the "
    note += "total, from the median (dot) to the 95th percentile, tick at the 99th, milliseconds, logarithmic."
    dates = sorted({str(figures["embed_measured_at"])[:10] for _, figures in found if figures.get("embed_measured_at")})
    if dates:
        note += (
            f" Embedding was timed at its first, uncached call ({dates[0]}{' to ' + dates[-1] if dates[1:] else ''})."
        )
    return section("Latency", note, table(heads, rows, numbers=range(1, 2 + len(steps))))


def _percentiles(figures: Row, *, with_p99: bool) -> str:
    shown = ("p50", "p95", "p99") if with_p99 else ("p50", "p95")
    return " / ".join(latency(figures.get(key)) for key in shown) if figures else UNDEFINED


def builds_section(arms: Sequence[Row]) -> str:
    """What each arm is made of, what it embedded, and what that cost."""
    rows = []
    for arm in arms:
        stats = arm.get("stats") or {}
        if not stats:
            continue
        model = " ".join(str(stats[key]) for key in ("provider", "model") if stats.get(key))
        revision = f" <small>{text(stats['revision'])}</small>" if stats.get("revision") else ""
        seconds = stats.get("build_seconds")
        rows.append(
            [
                text(arm["name"]),
                (text(model) + revision) or UNDEFINED,
                *(
                    exact(stats.get(key))
                    for key in ("documents", "chunks", "tokens", "dimensions", "embedded", "cache_hits")
                ),
                UNDEFINED if seconds is None else latency(float(seconds) * 1000),
                size(stats.get("bytes")),
                text(_cost(stats)),
            ]
        )
    heads = ["arm", "model", "documents", "chunks", "tokens", "dimensions", "embedded", "from cache", "build", "size"]
    heads.append("cost")
    return section("Cost and build", "", table(heads, rows, numbers=range(2, len(heads))))


def _cost(stats: Row) -> str:
    """An exact amount as stored, without zeros behind: `0.0042 USD`; unknown prices are never 0."""
    if stats.get("cost") is None:
        return "no price"
    amount = str(stats["cost"])
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    return f"{amount} {stats.get('currency') or ''}".strip()


def settings_section(arms: Sequence[Row]) -> str:
    """The specification of each arm."""
    rows = [
        [text(arm["name"]), f"<code>{text(json.dumps(arm['spec'], ensure_ascii=False, sort_keys=True))}</code>"]
        for arm in arms
        if arm.get("spec")
    ]
    return section("Settings of the arms", "Every default written out.", table(["arm", "settings"], rows))
