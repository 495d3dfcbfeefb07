"""Lines, words and pictures of a finished test's report, as the test page shows them. Nothing is computed anew."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.dateparse import parse_datetime

from embeddings_ab.admin.words import STAGES
from embeddings_ab.domain import charts
from embeddings_ab.models import Arm
from governance.domain import figures, formats, plots

Report = Mapping[str, Any]
COLOURS = 6
ENOUGH_JUDGED = 0.8


def metric_names(report: Report) -> list[str]:
    """Measures of the report, the primary one first, the others in the order of the specification."""
    primary = report["test"]["primary_metric"]
    names = [primary]
    for arm in report["arms"].values():
        names += [name for name in arm.get("metrics", {}) if name not in names]
    return names


def colours_of(arms: Sequence[Arm]) -> dict[str, int]:
    """Number of the colour of each arm by name; from the seventh on they share the grey one."""
    return {arm.name: min(index + 1, COLOURS) for index, arm in enumerate(arms)}


def estimate(metric: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mean, interval and n of one measure of one arm, as text."""
    metric = metric or {}
    low, high = metric.get("low"), metric.get("high")
    decimals = formats.decimals_for(low, high)
    return {
        "value": metric.get("mean"),
        "mean": formats.score(metric.get("mean"), decimals),
        "interval": formats.interval(low, high, decimals=decimals),
        "n": metric.get("n", 0),
        "undefined": metric.get("undefined", 0),
    }


ALIASES = {
    "low": "interval_low",
    "high": "interval_high",
    "p": "permutation_p",
    "effect_size": "d_z",
    "value": "slice_label",
    "n": "n_common",
}


PS = ("p", "adjusted_p", "sign_p", "t_p", "wilcoxon_p", "equivalence_p")
# Templates format what is absent as undefined, so every key they name is there.
EXPECTED = dict.fromkeys(
    ("n_common", "n", "wins", "ties", "losses", "mde", "queries_needed", "effect_size", "value", "warning", *PS)
)


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison under the short names of the report's schema, whichever the statistics used."""
    return {
        **EXPECTED,
        **row,
        **{short: row[long] for short, long in ALIASES.items() if short not in row and long in row},
    }


def comparisons_of(report: Report, metric: str) -> dict[str, dict[str, Any]]:
    """Comparisons with the control on one measure, by arm."""
    return {row["arm"]: named(row) for row in report.get("comparisons", []) if row["metric"] == metric}


def verdicts(report: Report) -> list[dict[str, Any]]:
    """Sentences of the primary measure, what was decided first, the largest difference first."""
    rows = [row for row in report.get("comparisons", []) if row.get("role") == "primary"]
    rows.sort(
        key=lambda row: (plots.VERDICT_ORDER.get(row.get("verdict"), 9), -abs(row.get("difference") or 0), row["arm"])
    )
    return [
        {
            "arm": row["arm"],
            "kind": plots.verdict_kind(row.get("verdict")),
            "word": row.get("verdict") or "undecided",
            "sentence": row.get("sentence", ""),
            "warnings": row.get("warnings") or [],
        }
        for row in rows
    ]


def arm_lines(report: Report, arms: Sequence[Arm], metric: str) -> list[dict[str, Any]]:
    """One line per arm on one measure, the control first: estimate, difference, picture, p, verdict."""
    test, compared, colours = report["test"], comparisons_of(report, metric), colours_of(arms)
    control = test["control"]
    is_primary = metric == test["primary_metric"]
    margin = test.get("margin") if is_primary else None
    reach = [row.get(name) for row in compared.values() for name in ("difference", "low", "high")]
    axis = plots.difference_axis(reach, margin=margin)
    lines = []
    for arm in sorted(arms, key=lambda arm: (arm.name != control, arm.position)):
        in_report = report["arms"].get(arm.name, {})
        line = {
            "name": arm.name,
            "colour": colours[arm.name],
            "is_control": arm.name == control,
            "status": in_report.get("status", arm.status),
            "failed": in_report.get("queries_failed", 0),
            "estimate": estimate(in_report.get("metrics", {}).get(metric)),
            "row": None,
        }
        row = compared.get(arm.name)
        if row is not None:
            decimals = formats.decimals_for(row.get("low"), row.get("high"))
            interval = formats.interval(row.get("low"), row.get("high"), signed=True, decimals=decimals)
            shown = formats.difference(row.get("difference"), decimals)
            word = row.get("verdict") or "undecided"
            line |= {
                "row": row,
                "difference": shown,
                "interval": interval,
                "p": formats.p_value(row.get("p") if row.get("adjusted_p") is None else row.get("adjusted_p")),
                "ps": {name: formats.p_value(row.get(name)) for name in PS},
                "kind": plots.verdict_kind(row.get("verdict")),
                "word": word,
                "plot": plots.interval(
                    row.get("difference"),
                    row.get("low"),
                    row.get("high"),
                    axis=axis,
                    verdict=word,
                    margin=margin,
                    label=f"{arm.name} minus {control}: {shown} {interval}, {word}",
                ),
            }
        lines.append(line)
    means = [line["estimate"]["value"] for line in lines if line["estimate"]["value"] is not None]
    for line in lines:
        line["is_best"] = bool(means) and line["estimate"]["value"] == max(means)
    if lines:
        lines[0]["ruler"] = plots.ruler(axis)
    return lines


def metric_table(report: Report, arms: Sequence[Arm], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every measure of every arm side by side; the best mean of each measure is marked."""
    best: dict[str, float] = {}
    for arm in report["arms"].values():
        for name, metric in arm.get("metrics", {}).items():
            if metric.get("mean") is not None:
                best[name] = max(best.get(name, metric["mean"]), metric["mean"])
    control, colours = report["test"]["control"], colours_of(arms)
    lines = []
    for arm in sorted(arms, key=lambda arm: (arm.name != control, arm.position)):
        in_report = report["arms"].get(arm.name, {})
        cells = []
        for name in names:
            shown = estimate(in_report.get("metrics", {}).get(name))
            is_best = shown["value"] is not None and shown["value"] == best[name] and not name.startswith("Judged")
            cells.append({"name": name, **shown, "is_best": is_best})
        lines.append(
            {
                "name": arm.name,
                "colour": colours[arm.name],
                "is_control": arm.name == control,
                "status": in_report.get("status", arm.status),
                "failed": in_report.get("queries_failed", 0),
                "cells": cells,
            }
        )
    return lines


def same_count(lines: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """(n, undefined) where all cells of a metric table agree, else None: then each cell says its own."""
    found = {(cell["n"], cell["undefined"]) for line in lines for cell in line["cells"]}
    return found.pop() if len(found) == 1 else None


def judged_lines(report: Report, arms: Sequence[Arm], names: Sequence[str]) -> dict[str, Any] | None:
    """How much of the top was judged, and between which bounds the primary measure lies; None without bounds."""
    primary, colours = report["test"]["primary_metric"], colours_of(arms)
    judged_name = next((name for name in names if name.startswith("Judged")), None)
    found = {arm.name: report["arms"].get(arm.name, {}).get("metrics", {}) for arm in arms}
    highest = [(metrics.get(primary) or {}).get("highest") for metrics in found.values()]
    if all(value is None for value in highest):
        return None
    axis = plots.value_axis(highest)
    lines: list[dict[str, Any]] = []
    for arm in arms:
        metric = found[arm.name].get(primary) or {}
        mean, most = metric.get("mean"), metric.get("highest")
        judged = (found[arm.name].get(judged_name) or {}).get("mean") if judged_name else None
        said = f"{arm.name}: {formats.score(mean)} as judged, at most {formats.score(most)}"
        lines.append(
            {
                "name": arm.name,
                "colour": colours[arm.name],
                "mean": mean,
                "highest": most,
                "judged": judged,
                "plot": charts.whiskers(mean, mean, most, axis=axis, label=said, arm=colours[arm.name]),
            }
        )
    shares: list[float] = [line["judged"] for line in lines if line["judged"] is not None]
    least = min(shares) if shares else None
    return {
        "name": judged_name,
        "lines": lines,
        "ruler": plots.ruler(axis),
        "least": least,
        "is_low": least is not None and least < ENOUGH_JUDGED,
    }


def pair_matrix(report: Report, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """p of every pair of arms as half a square; empty for fewer than three arms."""
    pairs = {frozenset((row["a"], row["b"])): row for row in report.get("all_pairs") or []}
    if not pairs:
        return []
    names, alpha = [arm.name for arm in arms], report["test"].get("alpha", 0.05)
    lines = []
    for index, name in enumerate(names[1:], start=1):
        cells = []
        for other in names[: len(names) - 1]:
            row = pairs.get(frozenset((name, other))) if names.index(other) < index else None
            value = row.get("p") if row else None
            cells.append({"other": other, "p": formats.p_value(value) if row else "", "differs": (value or 1) < alpha})
        lines.append({"name": name, "cells": cells})
    return lines


def loss_lines(report: Report, arms: Sequence[Arm]) -> dict[str, Any]:
    """Where relevant documents were lost, by arm: counts in order of the pipeline, and their bar."""
    losses = report.get("losses") or {}
    stages = [stage for stage in STAGES if any(stage in row.get("stages", {}) for row in losses.values())]
    stages += sorted({stage for row in losses.values() for stage in row.get("stages", {})} - {*STAGES, "found"})
    whole = max((sum(row.get("stages", {}).get(s, 0) for s in stages) for row in losses.values()), default=0)
    lines = []
    for arm in arms:
        row = losses.get(arm.name)
        if row is None:
            continue
        counts = [(stage, int(row.get("stages", {}).get(stage, 0))) for stage in stages]
        said = ", ".join(f"{count} {words_of(stage)}" for stage, count in counts)
        lines.append(
            {
                "name": arm.name,
                "lost": row.get("lost_queries"),
                "blamed": ", ".join(
                    f"“{words_of(stage)}” for {count}"
                    for stage, count in sorted(
                        row.get("queries_by_stage", {}).items(), key=lambda one: (-one[1], one[0])
                    )
                    if count and stage != "found"
                ),
                "counts": [count for _, count in counts],
                "total": sum(count for _, count in counts),
                "bar": figures.stacked(
                    [(STAGES[s][1] if s in STAGES else "stage-5", count) for s, count in counts],
                    whole=whole,
                    label=f"{arm.name}: {said}",
                ),
            }
        )
    return {
        "lines": lines,
        "stages": [(words_of(stage), STAGES[stage][1] if stage in STAGES else "stage-5") for stage in stages],
    }


def words_of(stage: str) -> str:
    """Words of a stage; unknown ones as they are."""
    return STAGES[stage][0] if stage in STAGES else stage.replace("_", " ")


def latency_table(arms: Sequence[Arm]) -> dict[str, Any]:
    """p50, p95 and p99 in ms by step and arm, and the picture of the total on one log axis."""
    steps = [s for s in ("embed", "search", "fuse", "rerank", "total") if any(s in arm.latency for arm in arms)]
    every = [value for arm in arms for value in (arm.latency.get("total") or {}).values()]
    axis, colours = plots.log_axis(every), colours_of(arms)
    stamps = [parse_datetime(str(arm.latency.get("measured_at") or "")) for arm in arms]
    last = max((stamp for stamp in stamps if stamp is not None), default=None)
    lines = []
    for arm in arms:
        total = arm.latency.get("total") or {}
        said = ", ".join(f"{name} {formats.latency(total.get(name))}" for name in ("p50", "p95", "p99"))
        lines.append(
            {
                "name": arm.name,
                "colour": colours[arm.name],
                "sample": arm.latency.get("sample"),
                "steps": [
                    {"step": step, **{name: (arm.latency.get(step) or {}).get(name) for name in ("p50", "p95", "p99")}}
                    for step in steps
                ],
                "plot": charts.percentiles(
                    total.get("p50"),
                    total.get("p95"),
                    total.get("p99"),
                    axis=axis,
                    label=f"{arm.name}, total: {said}",
                    arm=colours[arm.name],
                ),
            }
        )
    return {
        "steps": steps,
        "lines": lines,
        "ruler": plots.ruler(axis, unit=" ms"),
        "any": bool(every),
        "measured_at": last,
    }


STATS = (
    "documents", "chunks", "tokens", "dimensions", "provider", "model", "revision", "cache_hits", "embedded",
    "provider_calls", "build_seconds", "bytes", "reused",
)  # fmt: skip


def money(amount: float | str | None, currency: str | None) -> str:
    """Cost in its currency; `no price` where none is known."""
    if amount is None:
        return formats.money(None)
    value = float(amount)
    return formats.money(value) if currency in (None, "", "USD") else f"{value:,.2f} {currency}"


def cost_lines(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """What each arm took to build, and what it cost."""
    colours = colours_of(arms)
    lines = []
    for arm in arms:
        stats = {**dict.fromkeys(STATS), **arm.stats}
        seconds = stats["build_seconds"]
        lines.append(
            {
                "name": arm.name,
                "colour": colours[arm.name],
                "stats": stats,
                "build_ms": None if seconds is None else float(seconds) * 1000,
                "cost": money(stats.get("cost"), stats.get("currency")) if stats["provider"] else formats.UNDEFINED,
            }
        )
    return lines


def slice_lines(report: Report) -> list[dict[str, Any]]:
    """Lines of the slices, by key, value and arm, with difference, p and verdict as text."""
    return [
        {
            **row,
            "difference_text": formats.difference(row.get("difference")),
            "p_text": formats.p_value(row.get("p") if row.get("adjusted_p") is None else row.get("adjusted_p")),
            "kind": plots.verdict_kind(row.get("verdict")),
            "word": row.get("verdict") or "undecided",
        }
        for row in map(named, report.get("slices") or [])
    ]


def front_picture(report: Report, arms: Sequence[Arm]) -> dict[str, Any]:
    """Quality against the median latency of a query: which arms no other beats on both."""
    primary = report["test"]["primary_metric"]
    points, colours = [], colours_of(arms)
    for arm in arms:
        mean = (report["arms"].get(arm.name, {}).get("metrics", {}).get(primary) or {}).get("mean")
        middle = (arm.latency.get("total") or {}).get("p50")
        if mean is not None and middle is not None:
            points.append((arm.name, float(middle), float(mean), colours[arm.name]))
    picture, best = charts.front(
        points,
        label=f"{primary} against median latency of {len(points)} arms",
        across="ms per query (p50, log)",
        up=primary,
    )
    return {"picture": picture, "best": [point[0] for point in points if point[0] in best]}
