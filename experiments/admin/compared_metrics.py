"""Lines, words and pictures of a comparison's metrics, from the very answer that the API gives. Nothing is computed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from governance.domain import formats, plots

Answer = Mapping[str, Any]
Line = dict[str, Any]
ORDER = {"worse": 0, "better": 1, "undecided": 2, "equivalent": 3}
TALLY = ("better", "worse", "equivalent", "undecided")
WIDTH = 240.0
PS = ("p", "adjusted_p", "sign_p", "t_p", "wilcoxon_p", "equivalence_p")
CORRECTIONS = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg", "none": "no correction"}


def key_of(metric: Answer) -> str:
    """How links name a metric: names of metric and event, which tell metrics of one comparison apart."""
    return f"{metric['metric_name']}|{metric.get('event_name') or ''}"


def is_score(metric: Answer) -> bool:
    """Whether all that is known of its values lies within 0 to 1; such metrics share one axis."""
    found = metric.get("statistics") or {}
    known = [value for side in (metric.get("quantiles") or {}).values() for value in side]
    known += [
        metric.get("old_aggregate"),
        metric.get("new_aggregate"),
        found.get("control_mean"),
        found.get("arm_mean"),
    ]
    numbers = [value for value in known if value is not None]
    return bool(numbers) and min(numbers) >= 0 and max(numbers) <= 1


def decimals_of(metric: Answer) -> int:
    """Decimals of the numbers of one metric: one for large ones, else as many as its interval asks for."""
    found = metric["statistics"]
    if max(abs(found.get("control_mean") or 0), abs(found.get("arm_mean") or 0)) >= 100:
        return 1
    return formats.decimals_for(found.get("interval_low"), found.get("interval_high"))


def percent(level: float | None) -> str:
    """`95 %`."""
    return f"{(level or 0.95) * 100:g} %"


def figures_of(metric: Answer) -> Line:
    """The numbers of one metric as text, and the word and kind of its verdict."""
    found, decimals = metric["statistics"], decimals_of(metric)
    low, high = found.get("interval_low"), found.get("interval_high")
    word = found.get("verdict") or "undecided"
    p = found.get("adjusted_p")
    return {
        "metric": metric,
        "key": key_of(metric),
        "found": found,
        "old": formats.score(found.get("control_mean"), decimals),
        "new": formats.score(found.get("arm_mean"), decimals),
        "difference": formats.difference(found.get("difference"), decimals),
        "interval": formats.interval(low, high, signed=True, decimals=decimals),
        "n": found.get("n_common", 0),
        "p": formats.p_value(found.get("p") if p is None else p),
        "word": word,
        "kind": plots.verdict_kind(word),
        "need": need_of(found),
        # The chip beside it says the word.
        "said": str(found.get("sentence") or "").removeprefix("undecided: "),
    }


def need_of(found: Answer) -> str:
    """In a few words what would decide an undecided metric; empty for what is decided."""
    if (found.get("verdict") or "undecided") != "undecided":
        return ""
    if found.get("reason") == "incomplete":
        return "fails more often" if found.get("n_failed_arm", 0) > found.get("n_failed_control", 0) else "not complete"
    if more := found.get("more_queries"):
        return f"about {formats.count(more)} more needed"
    return {"too_few": "too few", "not_significant": "nothing shown"}.get(str(found.get("reason")), "")


def metric_lines(answer: Answer) -> list[Line]:
    """One line per metric: the primary one, then worse, better, undecided, equivalent ones, scores before others.

    Better is always right in the pictures; the numbers keep their signs. Scores share an axis, others have their own.
    """
    lines = [figures_of(metric) for metric in answer["metrics"]]
    for line in lines:
        line["is_score"] = is_score(line["metric"])
    lines.sort(key=lambda line: (not line["metric"].get("is_primary"), ORDER[line["word"]], line["key"]))
    reach = [value for line in lines if line["is_score"] for value in reach_of(line)]
    for line in lines:
        axis = axis_of(line["metric"], reach if line["is_score"] else reach_of(line))
        line["plot"] = interval_plot(line, axis)
        line["ruler"] = "" if line["is_score"] else plots.ruler(axis)
    return lines


def axis_of(metric: Answer, reach: Sequence[float | None]) -> plots.Axis:
    """An axis of differences on which better is right."""
    axis = plots.difference_axis(reach, width=WIDTH)
    return replace(axis, is_turned=True) if metric["direction"] == "lower" else axis


def score_ruler(lines: Sequence[Line]) -> str:
    """The axis that all scores share, without signs; empty without scores."""
    reach = [value for line in lines if line["is_score"] for value in reach_of(line)]
    return plots.ruler(plots.difference_axis(reach, width=WIDTH), is_signed=False) if reach else ""


def reach_of(line: Line) -> list[float | None]:
    """The numbers that the axis of a metric must hold."""
    found = line["found"]
    return [found.get(name) for name in ("difference", "interval_low", "interval_high", "margin")]


def interval_plot(line: Line, axis: plots.Axis, *, name: str = "") -> str:
    """Difference and interval with the mark of the verdict."""
    found = line["found"]
    said = name or line["metric"]["metric_name"]
    return plots.interval(
        found.get("difference"),
        found.get("interval_low"),
        found.get("interval_high"),
        axis=axis,
        verdict=line["word"],
        margin=found.get("margin"),
        label=f"{said}: {line['difference']} {line['interval']}, {line['word']}",
    )


def tally_of(lines: Sequence[Line]) -> list[tuple[str, str, int]]:
    """(kind of chip, word, number) of each verdict that occurs."""
    counted = Counter(line["word"] for line in lines)
    return [(plots.verdict_kind(word), word, counted[word]) for word in TALLY if counted[word]]


def method_of(answer: Answer, lines: Sequence[Line]) -> str:
    """`7 metrics, Holm · permutation, 99,999 flips`."""
    name = (answer.get("correction") or {}).get("name") or ""
    words = CORRECTIONS.get(name, name)
    number = formats.plural(len(lines), "metric")
    draws = max((line["found"].get("draws") or 0 for line in lines), default=0)
    exact = bool(lines) and all(line["found"].get("is_exact") for line in lines)
    flips = f"permutation, {'every flip' if exact else f'{draws:,} flips'}" if draws else ""
    return " · ".join(part for part in (f"{number}, {words}" if words else number, flips) if part)


def sureness_of(line: Line) -> Line:
    """What stands behind one verdict: power, the tests beside, the figures of binary metrics, method and seed."""
    found = line["found"]
    evidence = found.get("evidence") or {}
    decimals = decimals_of(line["metric"])
    binary = evidence.get("binary")
    return {
        **line,
        "ps": {name: formats.p_value(found.get(name)) for name in PS},
        "mde": formats.score(found.get("mde"), decimals),
        "effect": formats.score(found.get("d_z"), 2),
        "wished": formats.score(found.get("target_effect"), decimals),
        "binary": None
        if not binary
        else {
            **binary,
            "p_text": formats.p_value(binary.get("p")),
            "interval": formats.interval(binary.get("low"), binary.get("high"), signed=True),
        },
        "noninferiority": evidence.get("noninferiority"),
        "holm": formats.p_value(evidence.get("holm_p")),
        "benjamini_hochberg": formats.p_value(evidence.get("benjamini_hochberg_p")),
        "plan": f"{(evidence.get('plan') or {}).get('text', '')}; seed {found.get('seed')}.".lstrip("; "),
    }


def shared_by(lines: Sequence[Line]) -> Line:
    """Method and warnings that all metrics share, to be said once; each line keeps its own `warnings`."""
    warnings = [list(line["found"].get("warnings") or []) for line in lines]
    common = [text for text in warnings[0] if all(text in other for other in warnings)] if warnings else []
    for line, own in zip(lines, warnings, strict=True):
        line["warnings"] = [text for text in own if text not in common]
    plans = {line["plan"] for line in lines}
    return {"warnings": common, "plan": plans.pop() if len(plans) == 1 else ""}
