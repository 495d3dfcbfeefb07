"""The part of the comparison page that goes datapoint by datapoint: who won, lost or failed, with both outputs."""

from typing import Any

from experiments.admin.compared_metrics import Line
from experiments.domain.text_diff import Difference, by_text
from experiments.models import Run
from experiments.selectors import run_overview
from governance.admin.pages import Visit, clean
from governance.domain import formats

AT_ONCE = 20
SHOWN_OUTPUT = 600  # characters of an output in the table; the whole stands side by side
OUTCOMES = (
    ("", "All"),
    ("loss", "Losses"),
    ("win", "Wins"),
    ("tie", "Ties"),
    ("failed", "Failed"),
    ("only_old", "Only in baseline"),
    ("only_new", "Only in candidate"),
)
CHIPS = {"win": "better", "loss": "worse", "tie": "same", "failed": "failed"}
WORDS = {"failed": "failed", "only_old": "only in baseline", "only_new": "only in candidate"}


def datapoints_part(visit: Visit, old: Run, new: Run, chosen: Line | None) -> dict[str, Any]:
    """One page of datapoints, biggest movers and losses first, as the address filters them."""
    from experiments.selectors.compared_datapoints import DatapointQuery, compared_datapoints  # load numpy

    outcome = clean(visit.request.GET.get("outcome"))
    outcome = outcome if outcome in dict(OUTCOMES) else ""
    text = clean(visit.request.GET.get("text"))
    number = clean(visit.request.GET.get("page"))
    page = int(number) if number.isascii() and number.isdigit() and 0 < len(number) < 7 and int(number) else 1
    metric = chosen["metric"] if chosen else {}
    query = DatapointQuery(
        metric=metric.get("metric_name", ""),
        event_name=metric.get("event_name") or "",
        outcome=outcome,
        text=text,
        page=page,
        limit=AT_ONCE,
    )
    found = compared_datapoints(caller=visit.caller, new=new.run_key, old=old.run_key, query=query)
    rows = found["datapoints"]
    sessions = [row[side] for row in rows for side in ("old_session_id", "new_session_id") if row[side]]
    details = run_overview.session_details(caller=visit.caller, session_ids=sessions)
    counts = found["counts"]
    first = (page - 1) * AT_ONCE
    return {
        "rows": [_line(row, details) for row in rows],
        "outcome": outcome,
        "outcomes": [
            (name, words, sum(counts.values()) if not name else counts.get(name, 0))
            for name, words in OUTCOMES
            if not name or counts.get(name) or name in ("loss", "win")
        ],
        "text": text,
        "first": first + 1,
        "last": first + len(rows),
        "in_all": found["total"],
        "earlier": str(page - 1) if page > 1 else "",
        "later": str(page + 1) if first + len(rows) < found["total"] else "",
    }


def _line(row: dict[str, Any], details: dict[str, run_overview.SessionDetail]) -> dict[str, Any]:
    old, new = details.get(str(row["old_session_id"])), details.get(str(row["new_session_id"]))
    outcome = row["outcome"]
    difference = formats.difference(row["difference"])
    return {
        **row,
        "kind": CHIPS.get(outcome, "pending"),
        "word": WORDS.get(outcome) or difference,
        "inputs": next((side.inputs for side in (new, old) if side is not None), None),
        "old_detail": old,
        "new_detail": new,
        "pieces": _pieces(old, new),
    }


def _pieces(old: run_overview.SessionDetail | None, new: run_overview.SessionDetail | None) -> Difference | None:
    """Word by word what the beginnings of the outputs do not share; None where a side has none or failed."""
    if old is None or new is None or old.error or new.error:
        return None
    before, after = (formats.preview(detail.outputs, SHOWN_OUTPUT) for detail in (old, new))
    return by_text(before, after)
