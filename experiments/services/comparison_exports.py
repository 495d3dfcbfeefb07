"""The statistics of a comparison as a file: one row per metric, and per slice where slices are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.export_rows import COMPARISON_STATISTICS
from experiments.services.comparison_answers import compared
from experiments.services.exports import record_export
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.file_exports import Export


def export_comparison_statistics(
    *, caller: Caller, new: str, old: str, options: ComparisonOptions | None = None
) -> Export:
    """One row per metric of both runs with everything that the comparison knows of it."""
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.RUNS_READ)
    found = compared(caller=caller, new=new, old=old, options=options)
    filters = {"new_run_id": new, "old_run_id": old, "kind": "statistics", "confidence": found["confidence"]}
    record_export(caller, COMPARISON_STATISTICS, target_kind="run", target_id=new, filters=filters)
    name = f"{new[:40]}-vs-{old[:40]}"
    return Export(COMPARISON_STATISTICS, caller.project_public_id, name, filters, list(_rows(new, old, found)))


def _rows(new: str, old: str, found: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    for metric in found["metrics"]:
        yield _row(new, old, metric, metric["statistics"])
    slices = found["slices"]
    if slices is None:
        return
    keys = ("metric_name", "event_name")
    for metric in found["metrics"]:
        if all(metric[key] == slices[key] for key in keys):
            for each in slices["slices"]:
                yield _row(new, old, metric, each)


def _row(new: str, old: str, metric: Mapping[str, Any], found: Mapping[str, Any]) -> Sequence[Any]:
    known = found["evidence"] or {}
    binary, noninferiority = known.get("binary") or {}, known.get("noninferiority") or {}
    return (
        new,
        old,
        metric["metric_name"],
        metric["event_name"],
        metric["event_type"],
        metric["direction"],
        metric["is_primary"],
        found["slice_label"],
        found["verdict"],
        found["reason"],
        found["n_common"],
        found["n_only_control"],
        found["n_only_arm"],
        found["n_failed_control"],
        found["n_failed_arm"],
        found["n_clusters"],
        found["control_mean"],
        found["arm_mean"],
        found["difference"],
        found["interval_low"],
        found["interval_high"],
        found["interval_level"],
        found["interval_method"],
        found["p"],
        found["correction"],
        found["family_size"],
        found["adjusted_p"],
        found["sign_p"],
        found["t_p"],
        found["wilcoxon_p"],
        binary.get("p"),
        found["wins"],
        found["ties"],
        found["losses"],
        found["d_z"],
        found["sd"],
        found["mde"],
        found["target_effect"],
        found["queries_needed"],
        found["more_queries"],
        found["margin"],
        found["equivalence_p"],
        noninferiority.get("margin"),
        noninferiority.get("p"),
        found["sentence"],
    )
