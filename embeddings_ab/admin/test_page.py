"""Console page of one A/B test: which arm, how sure, at what price? While it runs: how far is it?"""

from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone

from embeddings_ab.admin import figures_of_report as shown
from embeddings_ab.admin.new_test import plan_of
from embeddings_ab.admin.words import remedy, status_kind, status_words
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.statuses import (
    ARM_ENDED,
    TEST_ENDED,
    TEST_UNDER_WAY,
    ArmStatus,
    CollectionStatus,
    TestStatus,
)
from embeddings_ab.models import AbTest, Arm, Collection
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from embeddings_ab.selectors.reports import has_report
from governance.admin.live import fragment
from governance.admin.pages import Visit, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action

TABS = (
    ("metrics", "All metrics"),
    ("significance", "Significance"),
    ("exploratory", "Exploratory"),
    ("latency", "Latency"),
    ("cost", "Cost and build"),
    ("losses", "Losses by stage"),
    ("slices", "Slices"),
    ("settings", "Settings"),
)
COLLECTION_PARTS = (("documents", "documents"), ("queries", "queries"), ("lexical", "lexical index"))


def part_of(collection: Collection | None, words: str) -> dict[str, Any] | None:
    """How far one collection of an arm is."""
    if collection is None:
        return None
    whole = collection.chunk_count or 0
    share = 1.0 if collection.status == CollectionStatus.READY else collection.chunks_done / whole if whole else 0.0
    return {
        "words": words,
        "id": collection.public_id,
        "status": collection.status,
        "kind": status_kind(collection.status),
        "done": collection.chunks_done,
        "whole": collection.chunk_count,
        "share": share,
        "bar": figures.progress(
            share, label=f"{words}: {collection.status}, {collection.chunks_done} of {whole or 'unknown'} texts"
        ),
    }


def progress_lines(test: AbTest, arms: list[Arm]) -> list[dict[str, Any]]:
    """One line per arm: its collections, its queries, its error."""
    queries = test.query_set.query_count
    lines = []
    for arm in arms:
        parts = [part for name, words in COLLECTION_PARTS if (part := part_of(getattr(arm, name), words))]
        built = sum(part["share"] for part in parts) / len(parts) if parts else 0.0
        over = arm.status in ARM_ENDED
        done = 1.0 if arm.status == ArmStatus.COMPLETED else arm.queries_done / queries if queries else 0.0
        label = f"{arm.name}: {arm.queries_done} of {queries} queries"
        lines.append(
            {
                "name": arm.name,
                "status": arm.status,
                "kind": status_kind(arm.status),
                "parts": parts,
                "queries_done": arm.queries_done,
                "queries_failed": arm.queries_failed,
                "bar": figures.progress(done, label=label),
                "share": 1.0 if over else 0.6 * built + 0.4 * done,
                "error": arm.error_message,
                "remedy": remedy(arm.error_code) if arm.error_message else "",
            }
        )
    return lines


def state_sentence(test: AbTest, lines: list[dict[str, Any]]) -> str:
    """Where the test is, in words."""
    ended = sum(1 for line in lines if line["status"] in {*ARM_ENDED})
    failed = [line["name"] for line in lines if line["status"] == ArmStatus.FAILED]
    if test.status == TestStatus.CREATED:
        return "Not started. Nothing has been embedded."
    if test.status == TestStatus.QUEUED:
        return "Queued. It starts as soon as a worker is free."
    if test.status in (TestStatus.SCORED, TestStatus.DECIDING):
        return "Every arm has its results. Latency is measured and the statistics are computed now."
    if test.status == TestStatus.RUNNING:
        working = next((line for line in lines if line["kind"] == "running"), None)
        doing = f", {working['name']} is {working['status']}" if working else ""
        return f"Running: {ended} of {len(lines)} arms are done{doing}. There is no verdict before the end."
    if test.status == TestStatus.CANCELLED:
        return f"Cancelled. {ended} of {len(lines)} arms had ended; what was built is kept."
    if test.status == TestStatus.FAILED:
        return f"Failed. {test.error_message}".strip()
    if failed:
        return f"Incomplete: {', '.join(failed)} failed."
    return ""


def progress_context(test: AbTest, arms: list[Arm]) -> dict[str, Any]:
    """What the part that refreshes itself shows."""
    lines = progress_lines(test, arms)
    share = sum(line["share"] for line in lines) / len(lines) if lines else 0.0
    if test.status in (TestStatus.SCORED, TestStatus.DECIDING):
        share = min(share, 0.97)
    eta = ""
    if test.started_at is not None and test.status in TEST_UNDER_WAY and share > 0.05:
        seconds = (timezone.now() - test.started_at).total_seconds() * (1 - share) / share
        eta = f"{seconds:.0f} s" if seconds < 120 else formats.latency(seconds * 1000)
    return {
        "test": test,
        "progress": lines,
        "percent": f"{share * 100:.0f} %",
        "whole": figures.progress(share, label=f"{share * 100:.0f} % of the test is done"),
        "eta": eta,
        "queries": test.query_set.query_count,
        "sentence": state_sentence(test, lines),
        "is_live": test.status in TEST_UNDER_WAY,
    }


def facts(test: AbTest, arms: list[Arm]) -> list[dict[str, str]]:
    """The three to five figures that matter."""
    report = test.report or {}
    compared = [row.get("n_common") for row in report.get("comparisons", []) if row.get("role") == "primary"]
    least = min((n for n in compared if n is not None), default=None)
    failed = sum(row.get("queries_failed", 0) for row in report.get("arms", {}).values())
    embedded = sum(int(arm.stats.get("embedded") or 0) for arm in arms)
    cached = sum(int(arm.stats.get("cache_hits") or 0) for arm in arms)
    costs = [arm.stats.get("cost") for arm in arms]
    known = [float(cost) for cost in costs if cost is not None]
    unpriced = sum(1 for arm, cost in zip(arms, costs, strict=True) if cost is None and arm.stats.get("provider"))
    currency = next((arm.stats["currency"] for arm in arms if arm.stats.get("currency")), "USD")
    total = shown.money(sum(known), currency)
    return [
        {
            "label": "Queries compared",
            "value": formats.exact(least),
            "note": f"of {formats.exact(test.query_set.query_count)}, {formats.exact(failed)} failed",
        },
        {
            "label": "Judged documents",
            "value": formats.count(test.query_set.judgment_count),
            "note": f"for {formats.plural(test.query_set.judged_query_count, 'query', 'queries')}",
        },
        {
            "label": "Texts embedded",
            "value": formats.count(embedded),
            "note": f"{formats.count(cached)} more came from the cache",
        },
        {
            "label": "Cost",
            "value": total if known else "no price",
            "note": f"{formats.plural(unpriced, 'arm')} without a price" if unpriced else "all arms together",
        },
    ]


def tab_context(test: AbTest, arms: list[Arm], tab: str, asked_metric: str) -> dict[str, Any]:
    """What the chosen tab shows."""
    report: dict[str, Any] = test.report or {}
    names = shown.metric_names(report)
    if tab == "metrics":
        table = shown.metric_table(report, arms, names)
        return {
            "names": names,
            "table": table,
            "counts": shown.same_count(table),
            "judged": shown.judged_lines(report, arms, names),
        }
    if tab == "significance":
        return {
            "lines": shown.arm_lines(report, arms, test.primary_metric),
            "matrix": shown.pair_matrix(report, arms),
            "matrix_names": [arm.name for arm in arms][:-1],
            "agreement": report.get("agreement") or [],
        }
    if tab == "exploratory":
        others = [name for name in names if name != test.primary_metric and shown.comparisons_of(report, name)]
        chosen = asked_metric if asked_metric in others else (others[0] if others else "")
        return {
            "others": others,
            "chosen": chosen,
            "lines": shown.arm_lines(report, arms, chosen) if chosen else [],
        }
    if tab == "latency":
        return {"latency": shown.latency_table(arms), "front": shown.front_picture(report, arms)}
    if tab == "cost":
        return {"costs": shown.cost_lines(arms)}
    if tab == "losses":
        return {"losses": shown.loss_lines(report, arms)}
    if tab == "slices":
        return {"slices": shown.slice_lines(report)}
    return {}


def in_order(test: AbTest, arms: list[Arm]) -> TestSpec:
    """The specification with its arms in their order, which JSON in PostgreSQL does not keep."""
    spec = TestSpec.model_validate(test.spec)
    return spec.model_copy(update={"arms": {arm.name: spec.arms[arm.name] for arm in arms}})


@page(Action.AB_READ)
def test_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Verdicts first; while the test runs, its progress."""
    test = find_test(visit.caller, test_id)
    arms = arms_of(test)
    context = progress_context(test, arms)
    report = test.report if has_report(test) else None
    tab = clean(visit.request.GET.get("tab"))
    tab = tab if tab in dict(TABS) else TABS[0][0]
    if report:
        context |= {
            "report": report,
            "verdicts": shown.verdicts(report),
            "main": shown.arm_lines(report, arms, test.primary_metric),
            "facts": facts(test, arms),
            "tabs": TABS,
            "tab": tab,
            "tab_template": f"console/ab_tab_{tab}.html",
            **tab_context(test, arms, tab, clean(visit.request.GET.get("metric"), 40)),
        }
    wants_plan = test.status == TestStatus.CREATED and "plan" in visit.request.GET
    took = None
    if test.started_at is not None and test.finished_at is not None:
        took = (test.finished_at - test.started_at).total_seconds() * 1000
    return visit.render(
        "console/ab_test.html",
        title=test.name,
        arms=arms,
        colours=shown.colours_of(arms),
        kind=status_kind(test.status),
        words=status_words(test.status),
        took=took,
        is_over=test.status in TEST_ENDED,
        can_start=test.status == TestStatus.CREATED,
        can_resume=test.status in (TestStatus.FAILED, TestStatus.CANCELLED, TestStatus.INCOMPLETE),
        can_cancel=test.status in TEST_UNDER_WAY or test.status == TestStatus.CREATED,
        plan=plan_of(visit, in_order(test, arms)) if wants_plan else None,
        remedy=remedy(test.error_code) if test.status == TestStatus.FAILED else "",
        **context,
    )


@page(Action.AB_READ)
def live_part(visit: Visit, test_id: str) -> HttpResponseBase:
    """The progress alone, for the script that refreshes it; 304 while nothing changed; `X-Live: ended` at the end."""
    test = find_test(visit.caller, test_id)
    arms = arms_of(test)
    seen = [test.status, *((arm.status, arm.queries_done, arm.queries_failed) for arm in arms)]
    for arm in arms:
        parts = [getattr(arm, name) for name, _ in COLLECTION_PARTS]
        seen += [(part.status, part.chunks_done, part.chunk_count) for part in parts if part is not None]
    answer = fragment(visit.request, "console/ab_progress.html", progress_context(test, arms), seen)
    answer["X-Live"] = "running" if test.status in TEST_UNDER_WAY else "ended"
    return answer
