"""Tests on paired differences: the permutation test that decides, and the sign, t and Wilcoxon tests beside it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.domain.statistics.clusters import Clusters, Floats, checked, cluster_sums, standard_error
from experiments.domain.statistics.randomness import Stream

DEFAULT_DRAWS = 100_000
EXACT_UNITS = 16  # 2^16 flips are fewer than the default number of draws
TOLERANCE = 1e-9
TIE = 1e-12  # scores closer than this differ by rounding only
BLOCK_ROWS = 8_192  # block of flips that stays in the processor's cache
BLOCK_BYTES = 1 << 24  # flips held at once, for many units
TABLE_NUMBERS = 1 << 23  # look-up tables held at once: 64 MB
TABLE_GROUPS = 1 << 10  # eights of units whose table is filled at once

Bytes = NDArray[np.uint8]
FLIPS = "sign flips"


@dataclass(frozen=True, slots=True)
class PermutationResult:
    """Outcome of one permutation test. `draws` is the number of flips seen: 2^units when exact."""

    p: float
    draws: int
    is_exact: bool
    statistic: float  # mean difference
    exceeding: int  # flips at least as far from zero as the data
    units: int  # exchangeable units: clusters where given
    seed: int


@dataclass(frozen=True, slots=True)
class TestResult:
    """Statistic and two-sided p of a textbook test; None where the test is undefined."""

    __test__ = False  # not a test class of pytest

    statistic: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class WinsTiesLosses:
    """Units whose difference is above, within and below ± 1e-12."""

    wins: int
    ties: int
    losses: int


def permutation_test(
    differences: ArrayLike, *, seed: int, draws: int = DEFAULT_DRAWS, clusters: Clusters | None = None
) -> PermutationResult:
    """Two-sided paired sign-flip test of the mean of `differences` (n units).

    Under the null the two labels of a unit may be swapped, which flips its sign (Fisher 1935; Smucker, Allan and
    Carterette, CIKM 2007); with `clusters` whole clusters flip. Up to 16 units with a difference other than zero are
    enumerated in full, which is the same test since a zero has no sign to flip. Otherwise p = (1 + #) / (draws + 1)
    (Phipson and Smyth 2010) over seeded flips. A flip counts when |T*| ≥ |T| − 1e-9·max(1, |T|), where T is the sum
    after division by the power of two above the largest |difference|: rounding never breaks a tie, in any unit.
    All differences zero: p = 1. Raises ValueError for no units, numbers that are not finite, or draws < 1.
    """
    return permutation_tests(checked(differences)[:, None], seed=seed, draws=draws, clusters=clusters)[0]


def permutation_tests(
    differences: ArrayLike,
    *,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    clusters: Clusters | None = None,
    block_rows: int = BLOCK_ROWS,
) -> list[PermutationResult]:
    """The test of `permutation_test` for each column of `differences` (units × comparisons) under the same flips.

    NaN marks a unit that one comparison lacks. `block_rows` bounds memory and never changes the result.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or not values.shape[0]:
        raise ValueError(f"Expected units × comparisons with at least one unit, got shape {values.shape}.")
    if draws < 1 or block_rows < 1:
        raise ValueError(f"draws and block_rows must be at least 1, got {draws} and {block_rows}.")
    present = ~np.isnan(values)
    values = np.where(present, values, 0.0)
    if not np.isfinite(values).all():
        raise ValueError("Every difference must be a finite number, or NaN where the pair is missing.")
    counts = present.sum(axis=0)
    sums = power_of_two_scaled(cluster_sums(values, clusters).sums)
    units = (cluster_sums(present.astype(np.float64), clusters).sums > 0).sum(axis=0)
    observed = np.abs(sums.sum(axis=0))
    floors = observed - TOLERANCE * np.maximum(1.0, observed)
    active = (sums != 0).sum(axis=0)
    drawn = np.flatnonzero(active > EXACT_UNITS)
    exceeding = {
        int(column): int(count)
        for column, count in zip(
            drawn, _count_drawn(sums[:, drawn], floors[drawn], seed, draws, block_rows), strict=True
        )
    }
    results = []
    for column in range(values.shape[1]):
        is_exact = column not in exceeding
        if is_exact:
            used = sums[sums[:, column] != 0, column]
            count, tried = _count_all(used, float(floors[column])), 2 ** len(used)
            p = count / tried
        else:
            count, tried = exceeding[column], draws
            p = (1 + count) / (draws + 1)
        mean = float(values[:, column].sum() / counts[column]) if counts[column] else 0.0
        results.append(PermutationResult(p, tried, is_exact, mean, count, int(units[column]), seed))
    return results


def flip_tables(sums: Floats) -> Floats:
    """(ceil(units / 8), 256, columns): what eight units add to the sum for each of the 256 sign patterns.

    A flip of all units is then one look-up per byte (the method of the four Russians): eight times fewer additions
    than signs times differences, and no BLAS, whose order of additions depends on its threads.
    """
    units, columns = sums.shape
    groups = -(-units // 8)
    padded = np.zeros((groups * 8, columns))
    padded[:units] = sums
    octets = padded.reshape(groups, 8, columns)
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    signs = bits.astype(np.float64) * 2 - 1
    tables = np.zeros((groups, 256, columns))
    for start in range(0, groups, TABLE_GROUPS):
        part = slice(start, start + TABLE_GROUPS)
        for position in range(8):
            tables[part] += signs[None, :, position, None] * octets[part, None, position, :]
    return tables


def flipped_sums(tables: Floats, flips: Bytes) -> Floats:
    """(rows, columns) sums of the units under each row of `flips` (rows × at least as many bytes as tables)."""
    order = np.ascontiguousarray(flips[:, : len(tables)].T)
    total: Floats = np.take(tables[0], order[0], axis=0)
    piece = np.empty_like(total)
    for table, row in zip(tables[1:], order[1:], strict=True):
        np.take(table, row, axis=0, out=piece, mode="clip")
        total += piece
    return total


def _count_drawn(sums: Floats, floors: Floats, seed: int, draws: int, block_rows: int) -> NDArray[np.int64]:
    counts = np.zeros(sums.shape[1], dtype=np.int64)
    for columns in column_blocks(*sums.shape):
        tables, stream = flip_tables(sums[:, columns]), Stream(seed, FLIPS)
        for rows in row_blocks(draws, len(sums), block_rows):
            flips = stream.bit_rows(rows.stop - rows.start, len(sums))
            counts[columns] += (np.abs(flipped_sums(tables, flips)) >= floors[columns]).sum(axis=0)
    return counts


def row_blocks(draws: int, units: int, rows: int = BLOCK_ROWS) -> Iterator[slice]:
    """Blocks of flips, of `rows` or fewer where the units are many; no result depends on where they are cut."""
    height = max(1, min(rows, BLOCK_BYTES // max(1, units // 8)))
    for start in range(0, draws, height):
        yield slice(start, min(draws, start + height))


def column_blocks(units: int, columns: int) -> Iterator[slice]:
    """Blocks of columns whose tables fit into memory; the flips of each begin anew, so that no result changes."""
    width = max(1, TABLE_NUMBERS // (32 * max(1, units)))
    for start in range(0, columns, width):
        yield slice(start, start + width)


def _count_all(units: Floats, floor: float) -> int:
    if not len(units):
        return 1
    patterns = np.arange(2 ** len(units), dtype="<u4").view(np.uint8).reshape(-1, 4)
    return int((np.abs(flipped_sums(flip_tables(units[:, None]), patterns)) >= floor).sum())


def power_of_two_scaled(sums: Floats) -> Floats:
    """Columns divided by the power of two above their largest value: exact, and the tolerance fits any unit."""
    largest = np.abs(sums).max(axis=0)
    _, exponents = np.frexp(largest)
    return np.ldexp(sums, -np.where(largest > 0, exponents, 0))


def wins_ties_losses(differences: ArrayLike) -> WinsTiesLosses:
    """How many units are above, within and below ± 1e-12."""
    values = checked(differences)
    wins, losses = int((values > TIE).sum()), int((values < -TIE).sum())
    return WinsTiesLosses(wins, len(values) - wins - losses, losses)


def sign_test(differences: ArrayLike) -> TestResult:
    """Exact two-sided binomial test of wins against losses (`scipy.stats.binomtest`), ties left out; all ties: 1."""
    from scipy.stats import binomtest

    record = wins_ties_losses(differences)
    decided = record.wins + record.losses
    p = float(binomtest(record.wins, decided, 0.5).pvalue) if decided else 1.0
    return TestResult(float(record.wins), p)


def paired_t(differences: ArrayLike, *, clusters: Clusters | None = None) -> TestResult:
    """Two-sided t-test of a mean of zero; with clusters by the robust error and clusters − 1 degrees of freedom.

    Undefined (None) for fewer than two units or clusters, and when all differences are equal.
    """
    from scipy.stats import t as student

    values = checked(differences)
    error = standard_error(values, clusters)
    if not error or is_constant(values):
        return TestResult(None, None)
    statistic = float(values.mean()) / error
    return TestResult(statistic, float(2 * student.sf(abs(statistic), cluster_count(values, clusters) - 1)))


def wilcoxon_pratt(differences: ArrayLike) -> TestResult:
    """Wilcoxon's signed-rank test, zeros ranked and then dropped (Pratt 1959; `scipy.stats.wilcoxon`); all zero: 1."""
    from scipy.stats import wilcoxon

    values = checked(differences)
    values = np.where(np.abs(values) <= TIE, 0.0, values)
    if not values.any():
        return TestResult(0.0, 1.0)
    outcome = wilcoxon(values, zero_method="pratt")
    return TestResult(float(outcome.statistic), float(outcome.pvalue))


def standard_deviation(differences: ArrayLike) -> float | None:
    """Sample standard deviation (n − 1); exactly 0 for equal differences, None for fewer than two."""
    values = checked(differences)
    if len(values) < 2:
        return None
    return 0.0 if is_constant(values) else float(values.std(ddof=1))


def effect_size(differences: ArrayLike) -> float | None:
    """d_z = mean / standard deviation of the differences (Cohen 1988); None where the deviation is 0 or undefined."""
    deviation = standard_deviation(differences)
    return float(checked(differences).mean()) / deviation if deviation else None


def is_constant(values: Floats) -> bool:
    """Whether all values are equal but for rounding; a mean of equal floats may miss them by its last bit."""
    if not len(values):
        return True
    spread = float(values.max() - values.min())
    return spread <= TIE * max(1.0, math.fabs(float(values[0])))


def cluster_count(values: Floats, clusters: Clusters | None) -> int:
    """Number of exchangeable units: distinct clusters, or all units."""
    return len(values) if clusters is None else len(set(clusters))
