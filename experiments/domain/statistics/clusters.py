"""Units that belong together (paraphrases, questions on one document), summed to the clusters that are exchanged."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Clusters = Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums (clusters × columns) and sizes (clusters) in the order of each cluster's first unit."""

    sums: Floats
    sizes: Floats

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.sizes)


def cluster_sums(values: Floats, clusters: Clusters | None) -> ClusterSums:
    """`values` (units × columns) summed by cluster; without clusters every unit is its own.

    Raises ValueError when there is not one label for each unit.
    """
    if clusters is None:
        return ClusterSums(values, np.ones(len(values)))
    if len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} cluster labels for {len(values)} units; give one for each.")
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in clusters], dtype=np.int64)
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, codes, values)
    return ClusterSums(sums, np.bincount(codes, minlength=len(numbers)).astype(np.float64))


def standard_error(values: Floats, clusters: Clusters | None = None) -> float | None:
    """Standard error of the mean of `values` (units); None for fewer than two units or clusters.

    With clusters it is the cluster-robust one of a mean, sqrt(C/(C−1) · Σ_c (Σ_{i in c} (x_i − mean))²) / n
    (Liang and Zeger 1986 with the usual small-sample factor, CR1), which for clusters of one is sd / sqrt(n).
    """
    if len(values) < 2:
        return None
    grouped = cluster_sums((values - values.mean())[:, None], clusters)
    if grouped.count < 2:
        return None
    total = float(np.square(grouped.sums).sum()) * grouped.count / (grouped.count - 1)
    return float(np.sqrt(total)) / len(values)


def checked(values: ArrayLike) -> Floats:
    """`values` as a one-dimensional float64 array; ValueError for other shapes and for numbers that are not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"Expected one dimension, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Every value must be a finite number; leave undefined ones out before.")
    return array
