"""Small pictures as SVG: distributions, intervals, shares. Pure; binning is all that is computed."""

import itertools
import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 320, 84
FLOOR = 80  # where bars stand
MOST_BARS = 24
FEW_VALUES = 10  # so few different values get a bar each
FOREST_WIDTH, FOREST_HEIGHT = 260, 30
SHARE_WIDTH, SHARE_HEIGHT = 320, 14


def distribution(
    values: Sequence[float],
    earlier: Sequence[float],
    *,
    said: str,
    passing: tuple[float | None, float | None] | None,
    mean: float | None,
) -> tuple[str, float, float]:
    """(SVG, lowest, highest) of the values as bars, those of a baseline as an outline behind.

    `passing` shades the range in which values pass, `mean` is marked. Heights are shares, so that runs of different
    sizes compare. `values` must not be empty.
    """
    everything = [*values, *earlier]
    low, high = min(everything), max(everything)
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    ends = low, high
    edges = _edges(everything, low, high)
    low, high = edges[0], edges[-1]
    now, before = _shares(values, edges), _shares(earlier, edges)
    top = max([*now, *before, 1e-9])
    parts = []
    if passing is not None:
        left, right = (
            WIDTH * _clamped(((bound if bound is not None else end) - low) / (high - low))
            for bound, end in zip(passing, (low, high), strict=True)
        )
        parts.append(
            f'<rect class="range" x="{left:.1f}" y="0" width="{max(0.0, right - left):.1f}" height="{FLOOR}"/>'
        )
    for index, share in enumerate(now):
        if share:
            x, right = (WIDTH * (edges[index + step] - low) / (high - low) for step in (0, 1))
            gap = min(2.0, (right - x) / 5)
            tall = max(2.0, (FLOOR - 8) * share / top)
            parts.append(
                f'<rect class="bar" x="{x + gap / 2:.1f}" y="{FLOOR - tall:.1f}" width="{right - x - gap:.1f}" '
                f'height="{tall:.1f}" rx="1.5"/>'
            )
    if earlier:
        steps = [f"M0 {FLOOR}"]
        for index, share in enumerate(before):
            y = FLOOR - (FLOOR - 8) * share / top
            steps.append(f"V{y:.1f}H{WIDTH * (edges[index + 1] - low) / (high - low):.1f}")
        parts.append(f'<path class="outline" d="{"".join(steps)}V{FLOOR}"/>')
    parts.append(f'<path class="floor" d="M0 {FLOOR}H{WIDTH}"/>')
    if mean is not None and low <= mean <= high:
        x = WIDTH * (mean - low) / (high - low)
        parts.append(f'<path class="mean" d="M{x:.1f} 0V{FLOOR}"/>')
    return _svg("distribution", WIDTH, HEIGHT, said, parts), *ends


def share(parts: Sequence[tuple[str, int]], *, said: str) -> str:
    """One bar split in proportion; `parts` are (class, count), at least one count above 0."""
    total = sum(count for _, count in parts)
    x, drawn = 0.0, []
    for kind, count in parts:
        wide = SHARE_WIDTH * count / total
        if count:
            drawn.append(
                f'<rect class="{kind}" x="{x:.2f}" y="0" width="{max(wide, 1.5):.2f}" height="{SHARE_HEIGHT}"/>'
            )
        x += wide
    return _svg("share", SHARE_WIDTH, SHARE_HEIGHT, said, drawn, stretched=True)


def forest(gain: float, interval: tuple[float, float] | None, *, tone: str, said: str) -> str:
    """One row of a forest plot: the gain and its interval on a line through zero, scaled to fill its own row."""
    ends = interval or (gain, gain)
    reach = max(abs(gain), *map(abs, ends)) * 1.12 or 1.0
    middle, half = FOREST_HEIGHT / 2, FOREST_WIDTH / 2

    def at(value: float) -> str:
        return f"{half + half * value / reach:.1f}"

    parts = [
        f'<path class="axis" d="M0 {middle}H{FOREST_WIDTH}"/>',
        f'<path class="zero" d="M{half} 0V{FOREST_HEIGHT}"/>',
    ]
    if interval is not None:
        low, high = map(at, ends)
        parts.append(
            f'<path class="whisker {tone}" d="M{low} {middle}H{high}M{low} {middle - 5}V{middle + 5}'
            f'M{high} {middle - 5}V{middle + 5}"/>'
        )
    parts.append(f'<circle class="point {tone}" cx="{at(gain)}" cy="{middle}" r="5"/>')
    return _svg("forest", FOREST_WIDTH, FOREST_HEIGHT, said, parts)


def moved(old: float, new: float, low: float, high: float, *, tone: str, said: str) -> str:
    """A dumbbell: where a datapoint was (ring) and is (dot), on the scale of its metric."""
    width, height = 110, 16
    span = (high - low) or 1.0
    before, after = (8 + (width - 16) * _clamped((value - low) / span) for value in (old, new))
    parts = [
        f'<path class="axis" d="M0 {height / 2}H{width}"/>',
        f'<path class="whisker {tone}" d="M{before:.1f} {height / 2}H{after:.1f}"/>',
        f'<circle class="ring" cx="{before:.1f}" cy="{height / 2}" r="4"/>',
        f'<circle class="point {tone}" cx="{after:.1f}" cy="{height / 2}" r="4.5"/>',
    ]
    return _svg("moved", width, height, said, parts)


def is_binary(values: Sequence[float]) -> bool:
    """Whether every value is 0 or 1."""
    return bool(values) and all(value in (0, 1) for value in values)


def _edges(values: Sequence[float], low: float, high: float) -> list[float]:
    """Edges of bins: one around each of a few different values, else equal ones, about the root of their number."""
    different = sorted(set(values))
    if 1 < len(different) <= FEW_VALUES:
        narrow = min(b - a for a, b in itertools.pairwise(different))
        if (high - low) / narrow <= 4 * FEW_VALUES:
            count = round((high - low) / narrow)
            return [low - narrow / 2 + narrow * step for step in range(count + 2)]
    count = max(8, min(MOST_BARS, math.ceil(math.sqrt(len(values)))))
    return [low + (high - low) * step / count for step in range(count + 1)]


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    found = [0.0] * (len(edges) - 1)
    low, size = edges[0], edges[1] - edges[0]
    for value in values:
        found[max(0, min(len(found) - 1, int((value - low) / size)))] += 1 / len(values)
    return found


def _clamped(share: float) -> float:
    return max(0.0, min(1.0, share))


def _svg(kind: str, width: int, height: int, said: str, parts: Sequence[str], *, stretched: bool = False) -> str:
    aspect = ' preserveAspectRatio="none"' if stretched else ""
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}"{aspect} role="img" aria-label="{escape(said)}">'
        f"{''.join(parts)}</svg>"
    )
