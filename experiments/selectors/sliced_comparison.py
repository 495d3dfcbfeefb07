"""A comparison within slices: groups of datapoints that share the value of one key."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.metric_columns import MetricScores, Setting
from experiments.domain.statistics.metrics import compare_metric_slices
from experiments.domain.statistics.sentences import FEW_PAIRS
from experiments.selectors.comparison import ComparedColumns
from experiments.selectors.comparison_findings import settled

MOST_SLICES = 50


@dataclass(frozen=True, slots=True)
class SliceTable:
    """One metric within each value of a key, largest slice first. `left_out`: values beyond the fifty most frequent."""

    key: str
    metric: ComparedColumns | None
    found: list[PairedComparison]
    left_out: int
    unlabelled: int

    def to_json(self) -> dict[str, Any]:
        """The slices with the correction stated, and what to beware of."""
        small = sum(each.n_common < FEW_PAIRS for each in self.found)
        warnings = []
        if small:
            warnings.append(
                f"{small} of {len(self.found)} slices have under {FEW_PAIRS} datapoints: read them as hints."
            )
        if self.left_out:
            warnings.append(f"{self.left_out} rarer values of {self.key} are left out; {MOST_SLICES} are compared.")
        if self.unlabelled:
            warnings.append(f"{self.unlabelled} common datapoints have no {self.key} and are in no slice.")
        return {
            "key": self.key,
            "metric_name": None if self.metric is None else self.metric.figures.metric_name,
            "event_name": None if self.metric is None else self.metric.figures.event_name,
            "correction": {
                "name": "Benjamini-Hochberg",
                "family_size": len(self.found),
                "sentence": f"Verdicts use p corrected by Benjamini-Hochberg over {len(self.found)} slices: of those "
                "called better or worse, a share of at most alpha is expected to be noise.",
            },
            "slices": [settled(each).to_json() for each in self.found],
            "left_out": self.left_out,
            "unlabelled": self.unlabelled,
            "warnings": warnings,
        }


def compare_slices(
    scores: Sequence[MetricScores],
    columns: Sequence[ComparedColumns],
    labels: Mapping[str, str],
    *,
    key: str,
    executed: Sequence[str],
    setting: Setting,
) -> SliceTable:
    """One metric (or none) within each value of `labels`; the rest is as in the whole comparison."""
    sizes = Counter(labels.values())
    kept = {label for label, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:MOST_SLICES]}
    slices = {datapoint: label if label in kept else None for datapoint, label in labels.items()}
    found = compare_metric_slices(scores, slices, executed=executed, setting=setting) if scores else []
    return SliceTable(
        key=key,
        metric=columns[0] if columns else None,
        found=sorted(found, key=lambda each: (-sizes[each.slice_label or ""], each.slice_label or "")),
        left_out=len(sizes) - len(kept),
        unlabelled=len(executed) - len(labels),
    )
