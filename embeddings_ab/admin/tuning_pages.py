"""Console pages of searches over a finished test: which setting is best, and how much of that is luck?"""

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponseBase

from embeddings_ab.domain import charts
from embeddings_ab.domain.spec import ArmSpec
from embeddings_ab.domain.statuses import ArmStatus, TestStatus, TuningStatus
from embeddings_ab.domain.tuning_form import read_form
from embeddings_ab.models import Arm, Tuning
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from embeddings_ab.selectors.tunings import find_tuning, tunings_of
from embeddings_ab.services import tunings as services
from governance.admin.live import fragment
from governance.admin.pages import Visit, back, clean, page, page_of
from governance.domain import formats, plots
from governance.domain.actions import Action
from governance.domain.errors import DomainError

STATUS_KIND = {"pending": "pending", "running": "running", "completed": "completed", "failed": "failed"}
UNDER_WAY = (TuningStatus.PENDING, TuningStatus.RUNNING)
AXES = (
    ("alpha", "Alpha", "0 is text alone, 1 is vectors alone; convex fusion", "0 to 1 step 0.1"),
    ("rrf_k", "k of reciprocal ranks", "instead of alpha", "10, 30, 60, 100"),
    ("depth", "Depth", "candidates of each side before fusion", "50, 100, 200"),
    ("dimensions", "Dimensions", "of minilm and wordllama vectors, cut shorter", "64, 128, 256"),
    ("quantisation", "Quantisation", "float32, float16, int8 or bits", "float32, int8, bits"),
)
# A gap below this is smaller than what three decimals show.
SMALL_GAP = 0.0005


def axes_of(arms: Sequence[Arm]) -> set[str]:
    """Axes that at least one arm can be searched over."""
    found: set[str] = set()
    for arm in arms:
        spec = ArmSpec.model_validate(arm.spec)
        if spec.fusion is not None:
            found |= {"alpha", "rrf_k", "depth"}
        if spec.provider in ("minilm", "wordllama"):
            found.add("dimensions")
        if spec.provider:
            found.add("quantisation")
    return found


@page(Action.AB_READ, methods=("GET", "POST"))
def tunings_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Searches over one test, and the form of a new one."""
    test = find_test(visit.caller, test_id)
    post = visit.request.POST
    names = [name for name, *_ in AXES]
    values = {name: clean(post.get(name), 2000) for name in ("arm", "measure", "folds", *names)}
    compared = [clean(name) for name in post.getlist("compare")]
    error: DomainError | None = None
    if visit.request.method == "POST":
        visit.caller.require(Action.AB_WRITE)
        try:
            spec = read_form(values, compared)
            tuning = services.create_tuning(caller=visit.caller, test_id=test_id, spec=spec)
            visit.tell("Search started. It embeds nothing.")
            return back("console_ab_tuning", test_id=test_id, tuning_id=tuning.public_id)
        except DomainError as refused:
            error = refused
    arms = [arm for arm in arms_of(test) if arm.status in (ArmStatus.COMPLETED, ArmStatus.INCOMPLETE)]
    fitting = axes_of(arms)
    preferred = next((arm.name for arm in arms if arm.spec.get("fusion")), arms[-1].name if arms else "")
    found = page_of(tunings_of(test), visit.request)
    return visit.render(
        "console/ab_tunings.html",
        title=f"Tune {test.name}",
        test=test,
        arms=arms,
        is_ended=test.status in (TestStatus.COMPLETED, TestStatus.INCOMPLETE),
        values={**values, "arm": values["arm"] or preferred, "folds": values["folds"] or "5"},
        compared=compared,
        metrics=[test.primary_metric, *(name for name in test.spec.get("metrics", []) if name != test.primary_metric)],
        axes=[(name, words, help, hint, values[name]) for name, words, help, hint in AXES if name in fitting],
        error=error,
        at=str(error.details.get("field", "")) if error else "",
        page=found,
        lines=[line_of(tuning) for tuning in found.rows],
        status=error.status if error else 200,
    )


def line_of(tuning: Tuning) -> dict[str, Any]:
    """One search in a list."""
    spec = tuning.spec
    grid = spec.get("grid") or {}
    tried = [f"{axis} {short(values)}" for axis, values in grid.items() if values]
    tried += [f"arm {name}" for name in spec.get("compare_arms") or []]
    return {"tuning": tuning, "kind": STATUS_KIND.get(tuning.status, "pending"), "tried": ", ".join(tried)}


def short(values: Sequence[Any]) -> str:
    """`0 … 1 (11)` for many values, all of few."""
    words = [value if isinstance(value, str) else f"{value:g}" for value in values]
    return " ".join(words) if len(words) <= 4 else f"{words[0]} … {words[-1]} ({len(words)})"


def gap_sentence(result: dict[str, Any]) -> str:
    """What the difference between the two means says, in words."""
    gap = float(result["optimism_gap"])
    if gap < SMALL_GAP:
        return (
            "The same queries chose and measured it, but choosing anew without each fold comes to the same: "
            "there is no optimism to speak of."
        )
    return (
        f"Of the mean on the queries that chose it, {formats.score(gap)} is optimism: on queries that took no part in "
        f"the choice, what the search picks scores {formats.score(result['cross_validated_mean'])}. Report that one."
    )


def steadiness(result: dict[str, Any]) -> str:
    """How often the folds chose the same."""
    share = float(result["choice_share"].get(result["chosen"], 0.0))
    chosen = f"{share * 100:.0f} % of {len(result['fold_choices'])} folds"
    if share >= 0.8:
        return f"{chosen} chose it too: a steady choice."
    if share >= 0.5:
        return f"{chosen} chose it too; the others are about as good."
    return f"Only {chosen} chose it: the best settings are too close to tell apart with these queries."


def shown_result(tuning: Tuning) -> dict[str, Any]:
    """The result as the page shows it: sentences, one line per setting, and the picture of the front."""
    result: dict[str, Any] = tuning.result or {}
    points = {point["name"]: point for point in result.get("points", [])}
    best = set(result.get("pareto_front", []))
    means: dict[str, float] = result["means"]
    axis = plots.value_axis(list(means.values()), width=160)
    lines = []
    for name in sorted(means, key=lambda name: -means[name]):
        point = points.get(name, {})
        lines.append(
            {
                "name": name,
                "mean": means[name],
                "plot": charts.whiskers(None, means[name], None, axis=axis, label=f"{name}: {means[name]:.3f}"),
                "share": formats.rate(result["fold_choices"].count(name), len(result["fold_choices"])),
                "latency_ms": point.get("latency_ms"),
                "bytes": point.get("bytes_per_chunk"),
                "is_front": name in best,
                "is_chosen": name == result["chosen"],
            }
        )
    picture, _ = charts.front(
        [
            (point["name"], float(point["latency_ms"]), float(point["quality"]), 1)
            for point in points.values()
            if point["latency_ms"] is not None and point["quality"] is not None
        ],
        label=f"{result['measure']} against latency of {len(points)} settings",
        across="ms per query (median, log)",
        up=result["measure"],
    )
    return {
        "result": result,
        "lines": lines,
        "picture": picture if len(points) <= 12 else "",
        "gap": gap_sentence(result),
        "steady": steadiness(result),
        "folds": list(enumerate(result["fold_choices"], start=1)),
    }


def state_sentence(tuning: Tuning) -> str:
    """Where the search is, in words."""
    return {
        TuningStatus.PENDING: "Waiting for a free worker.",
        TuningStatus.RUNNING: "Running: every setting is scored from vectors that are there.",
        TuningStatus.FAILED: f"Failed. {tuning.error_message}".strip(),
    }.get(TuningStatus(tuning.status), "")


@page(Action.AB_READ)
def tuning_page(visit: Visit, test_id: str, tuning_id: str) -> HttpResponseBase:
    """Which setting is best, what it is worth on unseen queries, and what it costs."""
    test = find_test(visit.caller, test_id)
    tuning = find_tuning(visit.caller, test, tuning_id)
    context: dict[str, Any] = {"line": line_of(tuning), "sentence": state_sentence(tuning)}
    if tuning.status == TuningStatus.COMPLETED:
        context |= shown_result(tuning)
    return visit.render(
        "console/ab_tuning.html",
        title=f"Search over {test.name}",
        test=test,
        tuning=tuning,
        is_live=tuning.status in UNDER_WAY,
        **context,
    )


@page(Action.AB_READ)
def live_part(visit: Visit, test_id: str, tuning_id: str) -> HttpResponseBase:
    """Where the search is, for the script that asks again; `X-Live: ended` at the end."""
    tuning = find_tuning(visit.caller, find_test(visit.caller, test_id), tuning_id)
    context = {"line": line_of(tuning), "sentence": state_sentence(tuning)}
    answer = fragment(visit.request, "console/ab_tuning_state.html", context, tuning.status)
    answer["X-Live"] = "running" if tuning.status in UNDER_WAY else "ended"
    return answer
