"""A finished test as one HTML file for people who have no account: no network, no script, prints on paper.

Pure: text out of `AbTest.report` and the arms' figures. Whatever people named is escaped.
"""

import base64
import datetime as dt
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

from embeddings_ab.domain import charts
from embeddings_ab.domain.html_report_arms import PLOT_WIDTH, Row, builds_section, latency_section, settings_section
from embeddings_ab.domain.html_report_parts import chip, p_value, section, spread, table, text
from governance.domain import plots
from governance.domain.formats import UNDEFINED, difference, exact, score, utc

NARROW_PLOT = 160.0  # where a column more stands beside it
LOSSES = {
    "not_chunked": "without any chunk",
    "not_in_candidates": "not among the candidates",
    "ranked_low": "ranked too low",
    "fused_out": "fused out",
    "reranked_down": "reranked down",
    "found": "found",
}


@cache
def style() -> str:
    """The style sheet that every report carries."""
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


@cache
def content_security_policy() -> str:
    """A policy that allows this report's own style sheet and nothing else; for the header where one serves it."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(
    report: Row, arms: Sequence[Row], *, report_hash: str, created: dt.datetime | None, test_id: str = ""
) -> str:
    """The whole document. `arms`: name, spec, stats and latency of each arm, in order; `created`: when it was decided.

    Sections for which the report has no rows are left out.
    """
    test = report["test"]
    sections = [
        _head(test, created),
        _verdicts(report),
        _warnings(report),
        _decision(report),
        _measures(report),
        _unjudged(report),
        _losses(report),
        _slices(report),
        _exploratory(report),
        _pairs(report),
        _agreement(report),
        latency_section(arms),
        builds_section(arms),
        settings_section(arms),
        _registration(test, report_hash, test_id),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(content_security_policy())}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(test['name'])} – A/B test report</title>\n<style>{style()}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(part for part in sections if part)}\n</main>\n</body>\n</html>\n"
    )


def _of_role(report: Row, role: str) -> list[Row]:
    return [row for row in report.get("comparisons") or [] if row.get("role") == role]


def _means(report: Row, metric: str) -> dict[str, Row]:
    return {name: arm.get("metrics", {}).get(metric, {}) for name, arm in report["arms"].items()}


def _head(test: Row, created: dt.datetime | None) -> str:
    corpus, queries = test["corpus"], test["query_set"]
    facts = [
        f"decided {utc(created)}",
        f"{exact(corpus['documents'])} documents of {corpus['name']}@{corpus['version']}",
        f"{exact(queries['judged_queries'])} judged of {exact(queries['queries'])} queries of "
        f"{queries['name']}@{queries['version']}",
        f"{exact(queries['judgments'])} judgments",
    ]
    items = "".join(f"<li>{text(fact)}</li>" for fact in facts)
    return f'<header>\n<h1>{text(test["name"])}</h1>\n<ul class="meta">{items}</ul>\n</header>'


def _sentence(row: Row) -> str:
    """The finding, with the arm it is about in front where the sentence does not begin with it."""
    found = str(row.get("sentence") or row.get("verdict") or "undecided")
    return found if found.startswith(row["arm"]) else f"{row['arm']}: {found}"


def _verdicts(report: Row) -> str:
    test = report["test"]
    rows = _of_role(report, "primary")
    if not rows:
        said = f"Nothing was compared: {test['control']} is the only arm." if test.get("control") else "One arm only."
        return f"<p>{text(said)}</p>"
    items = "".join(f"<li>{chip(row.get('verdict'))}<span>{text(_sentence(row))}</span></li>" for row in rows)
    note = f"Decided on {test['primary_metric']} against {test['control']}, as it was registered before the start."
    return f'<ul class="verdicts">{items}</ul>\n<p class="note">{text(note)}</p>'


def _warnings(report: Row) -> str:
    told = list(report.get("warnings") or [])
    for name, arm in report["arms"].items():
        if arm.get("status") != "completed":
            failed = arm.get("queries_failed") or 0
            told.append(
                f"Arm {name} is {arm.get('status')}: {exact(failed)} queries failed and count neither as 0 nor at all."
            )
    for row in _of_role(report, "primary"):
        told += [f"{row['arm']}: {warning}" for warning in row.get("warnings") or []]
    items = "".join(f"<li>{text(warning)}</li>" for warning in dict.fromkeys(told))
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _comparison_rows(rows: Sequence[Row], axis: plots.Axis, margin: float | None, *, metric: bool) -> list[list[str]]:
    lines = []
    for row in rows:
        said = f"{row['arm']} against {row['control']} on {row['metric']}: {difference(row.get('difference'))}"
        picture = plots.interval(
            row.get("difference"),
            row.get("interval_low"),
            row.get("interval_high"),
            axis=axis,
            verdict=str(row.get("verdict")),
            label=said,
            margin=margin,
        )
        record = " / ".join(exact(row.get(key)) for key in ("wins", "ties", "losses"))
        lines.append(
            [
                text(row["arm"]),
                *([text(row["metric"])] if metric else []),
                difference(row.get("difference"))
                + spread(row.get("interval_low"), row.get("interval_high"), signed=True),
                picture,
                p_value(row.get("p")),
                p_value(row.get("adjusted_p")),
                record,
                exact(row.get("n_common")),
                chip(row.get("verdict")),
            ]
        )
    return lines


def _compared(rows: Sequence[Row], margin: float | None, *, metric: bool) -> str:
    values = [row.get(key) for row in rows for key in ("difference", "interval_low", "interval_high")]
    axis = plots.difference_axis(values, margin=margin, width=NARROW_PLOT if metric else PLOT_WIDTH)
    heads = ["arm", *(["metric"] if metric else []), "difference [95 %]", plots.ruler(axis), "p", "adjusted p"]
    heads += ["won / tied / lost", "queries", "verdict"]
    start = 2 if metric else 1
    numbers = (start, start + 2, start + 3, start + 4, start + 5)
    return table(heads, _comparison_rows(rows, axis, margin, metric=metric), numbers=numbers)


def _decision(report: Row) -> str:
    test, rows = report["test"], _of_role(report, "primary")
    note = f"Difference to {test['control']} over the queries that both answered. The p that decides is a paired "
    note += (
        f"permutation test's; with several arms it is adjusted ({rows[0].get('correction') or 'none'})." if rows else ""
    )
    if test.get("margin"):
        note += f" The grey band is the margin of ±{score(test['margin'])}: differences within count as equivalent."
    return section(f"How sure: {test['primary_metric']}", note, _compared(rows, test.get("margin"), metric=False))


def _measures(report: Row) -> str:
    primary = report["test"]["primary_metric"]
    names = list(dict.fromkeys(name for arm in report["arms"].values() for name in arm.get("metrics", {})))
    names.sort(key=lambda name: name != primary)
    best = {
        name: max((row["mean"] for row in _means(report, name).values() if row.get("mean") is not None), default=None)
        for name in names
    }
    rows = []
    for arm, found in report["arms"].items():
        cells = [text(arm) + (" <small>control</small>" if arm == report["test"]["control"] else "")]
        for name in names:
            figure = found.get("metrics", {}).get(name, {})
            mean = figure.get("mean")
            shown = score(mean)
            cells.append(
                (f"<b>{shown}</b>" if mean is not None and mean == best[name] else shown)
                + spread(figure.get("low"), figure.get("high"))
            )
        figure = found.get("metrics", {}).get(primary, {})
        cells.append(exact(figure.get("n")))
        rows.append(cells)
    heads = ["arm", *(text(name) + (" (decides)" if name == primary else "") for name in names), "queries"]
    note = "Mean over the queries that have a relevant document, with its 95 % interval; the best mean is bold. "
    note += "All but the deciding measure are exploratory."
    return section("Measures", note, table(heads, rows, numbers=range(1, len(heads))))


def _unjudged(report: Row) -> str:
    primary = report["test"]["primary_metric"]
    means = {arm: row for arm, row in _means(report, primary).items() if row.get("lowest") is not None}
    axis = plots.value_axis([row.get("highest") for row in means.values()], width=PLOT_WIDTH)
    rows = []
    for arm, row in means.items():
        said = f"{arm}: {score(row.get('lowest'))} to {score(row.get('highest'))}"
        picture = charts.whiskers(row.get("lowest"), row.get("mean"), row.get("highest"), axis=axis, label=said)
        judged = next(
            (
                f"{name} {score(figure.get('mean'))}"
                for name, figure in report["arms"][arm]["metrics"].items()
                if name.startswith("Judged@")
            ),
            UNDEFINED,
        )
        rows.append(
            [
                text(arm),
                score(row.get("lowest")),
                score(row.get("mean")),
                score(row.get("highest")),
                picture,
                text(judged),
            ]
        )
    note = f"{primary} if every unjudged document were irrelevant (lowest) or as relevant as possible (highest)."
    heads = ["arm", "lowest", "as judged", "highest", plots.ruler(axis), "judged"]
    return section("What unjudged documents could change", note, table(heads, rows, numbers=(1, 2, 3)))


def _losses(report: Row) -> str:
    losses: Row = report.get("losses") or {}
    counted = {stage for row in losses.values() for stage, count in row.get("stages", {}).items() if count}
    stages = [stage for stage in LOSSES if stage in counted] + sorted(counted - set(LOSSES))
    rows = [
        [text(arm), exact(row.get("lost_queries")), *(exact(row.get("stages", {}).get(stage, 0)) for stage in stages)]
        for arm, row in losses.items()
    ]
    heads = [
        "arm",
        "queries below the control",
        *(text(LOSSES.get(stage, stage.replace("_", " "))) for stage in stages),
    ]
    note = (
        "Relevant documents that are not at the top (the first k of the deciding measure, else ten), by the stage that "
        "lost them; and how many queries the control answers better."
    )
    return section("Where relevant documents were lost", note, table(heads, rows, numbers=range(1, len(heads))))


def _slices(report: Row) -> str:
    rows = [
        [
            f"{text(row['key'])} = {text(row['slice_label'])}",
            text(row["arm"]),
            exact(row.get("n_common")),
            difference(row.get("difference")),
            p_value(row.get("p")),
            p_value(row.get("adjusted_p")),
            chip(row.get("verdict")),
            text(" ".join(row.get("warnings") or [])),
        ]
        for row in report.get("slices") or []
    ]
    heads = ["slice", "arm", "queries", "difference", "p", "adjusted p", "verdict", "beware"]
    note = "Exploratory: the deciding measure within groups of queries, corrected over all slices."
    return section("Slices", note, table(heads, rows, numbers=(2, 3, 4, 5)))


def _exploratory(report: Row) -> str:
    # How much is judged says nothing about which arm is better.
    rows = [row for row in _of_role(report, "exploratory") if not str(row["metric"]).startswith("Judged@")]
    correction = next((row["correction"] for row in rows if row.get("correction")), "none")
    note = f"Exploratory: not what the test was registered to decide. Adjusted p over this family ({correction})."
    return section("Other measures against the control", note, _compared(rows, None, metric=True))


def _pairs(report: Row) -> str:
    rows = [
        [f"{text(row['a'])} – {text(row['b'])}", text(row["metric"]), p_value(row.get("p"))]
        for row in report.get("all_pairs") or []
    ]
    note = "Exploratory: every pair of arms, randomised Tukey test, which holds for all pairs together."
    return section("All pairs", note, table(["pair", "metric", "p"], rows, numbers=(2,)))


def _agreement(report: Row) -> str:
    found = report.get("agreement") or []
    rows = [[f"{text(row['a'])} – {text(row['b'])}", score(row.get("rbo")), score(row.get("jaccard"))] for row in found]
    depth = found[0].get("k") if found else ""
    note = (
        "How alike the rankings are; needs no judgments. RBO weighs the top most (p = 0.9), Jaccard counts documents "
    )
    note += "that both have."
    return section(
        "Agreement of rankings", note, table(["pair", "RBO", text(f"Jaccard@{depth}")], rows, numbers=(1, 2))
    )


def _registration(test: Row, report_hash: str, test_id: str) -> str:
    facts = {
        "test": test_id,
        "control": test.get("control"),
        "deciding measure": test.get("primary_metric"),
        "significance level": test.get("alpha"),
        "margin": test.get("margin") if test.get("margin") is not None else "none",
        "seed": test.get("seed"),
        "sign flips": exact(test.get("draws")),
        "corpus": test["corpus"].get("content_hash"),
        "query set": test["query_set"].get("content_hash"),
        "registration": test.get("registration_hash"),
        "report": report_hash,
    }
    body = "".join(
        f'<dt>{text(name)}</dt><dd class="{"hash" if len(str(value)) > 40 else "value"}">{text(value)}</dd>'
        for name, value in facts.items()
        if value not in (None, "")
    )
    note = (
        "The registration hash was made before the start, of all that decides. The report hash is over ranked "
        "documents, scores, measures, statistics and verdicts, without times and cost: the same test gives it again."
    )
    return section("Registration", note, f"<dl>{body}</dl>")
