"""Console page of one datapoint in two runs: both outputs, what differs between them, scores, traces."""

from typing import Any

from django.http import HttpResponseBase

from experiments.admin.runs import find_run
from governance.admin.pages import Visit, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput


@page(Action.RUNS_READ)
def side_by_side_page(visit: Visit) -> HttpResponseBase:
    """What did both runs answer here, and where do the answers differ?"""
    from experiments.selectors.side_by_side import side_by_side  # loads numpy

    asked = {name: clean(visit.request.GET.get(name), 255) for name in ("baseline", "candidate", "datapoint")}
    for name, value in asked.items():
        if not value:
            raise InvalidInput(f"This page needs {name}: open it from a comparison.", field=name)
    old, new = find_run(visit.caller, asked["baseline"]), find_run(visit.caller, asked["candidate"])
    found = side_by_side(
        caller=visit.caller,
        new=new.run_key,
        old=old.run_key,
        datapoint_id=asked["datapoint"],
        old_session=clean(visit.request.GET.get("old_session")),
        new_session=clean(visit.request.GET.get("new_session")),
    )
    return visit.render(
        "console/compare_datapoint.html",
        title="Side by side",
        old=old,
        new=new,
        found=found,
        sides=[("Baseline", "old", old, found["old"]), ("Candidate", "new", new, found["new"])],
        scores=score_lines(found),
        sentence=sentence_of(found),
    )


def score_lines(found: dict[str, Any]) -> list[dict[str, str]]:
    """Each metric of either side with both values and the difference of numbers."""
    sides = [(found[side] or {}).get("metrics") or {} for side in ("old", "new")]
    lines = []
    for name in sorted({*sides[0], *sides[1]}):
        before, after = (side.get(name) for side in sides)
        both = [value for value in (before, after) if isinstance(value, int | float) and not isinstance(value, bool)]
        lines.append(
            {
                "name": name,
                "old": value_text(before),
                "new": value_text(after),
                "difference": formats.difference(both[1] - both[0]) if len(both) == 2 else formats.UNDEFINED,
            }
        )
    return lines


def value_text(value: Any) -> str:
    """A metric's value, whatever it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return formats.metric_value(value) if isinstance(value, int | float) else formats.preview(value, 80)


def sentence_of(found: dict[str, Any]) -> str:
    """What the page shows, in a sentence."""
    if found["old"] is None or found["new"] is None:
        missing = "baseline" if found["old"] is None else "candidate"
        return f"Only one of the runs has this datapoint: the {missing} did not execute it."
    failed = [word for word, side in (("baseline", "old"), ("candidate", "new")) if found[side].get("error")]
    if failed:
        return f"The {' and the '.join(failed)} failed here."
    difference = found["diff"]
    if difference is None:
        return "There are no outputs to compare."
    if not difference["changes"] or difference["similarity"] == 1:
        return "Both runs gave the same output."
    return f"The outputs share {difference['similarity'] * 100:.0f} % of their {difference['unit']}."
