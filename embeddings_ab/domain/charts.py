"""Pictures that only A/B tests have, as SVG text from plain numbers; colours are classes of the arms.

Coordinates have one decimal. What is undefined is left out; the number beside it says why.
"""

import math
from collections.abc import Sequence
from html import escape

from governance.domain.figures import fixed, scale, svg
from governance.domain.plots import Axis, box, line, log_axis


def whiskers(
    lowest: float | None, value: float | None, highest: float | None, *, axis: Axis, label: str, arm: int = 1
) -> str:
    """A value between its bounds: a pale bar from lowest to highest, a dot at the value."""
    if value is None or not math.isfinite(value):
        return ""
    parts = [line("axis", axis.at(axis.low), axis.at(axis.high), 12, 12)]
    if lowest is not None and highest is not None:
        parts.append(box(f"arm-{arm} hh-fig-pale", axis.at(lowest), axis.at(highest), 7, 10))
    parts.append(f'<circle class="hh-fig-arm-{arm}" cx="{fixed(axis.at(value))}" cy="12" r="4.5"/>')
    return svg(axis.width, 24, label, "".join(parts))


def percentiles(p50: float | None, p95: float | None, p99: float | None, *, axis: Axis, label: str, arm: int) -> str:
    """Dot at p50, line to p95, tick at p99, on an axis of milliseconds."""
    if p50 is None or not math.isfinite(p50):
        return ""
    parts = [line("axis", axis.at(axis.low), axis.at(axis.high), 12, 12)]
    if p95 is not None:
        parts.append(line(f"arm-{arm} hh-fig-thick", axis.at(p50), axis.at(p95), 12, 12))
    if p99 is not None:
        parts.append(line(f"arm-{arm} hh-fig-thick", axis.at(p99), axis.at(p99), 6, 18))
    parts.append(f'<circle class="hh-fig-arm-{arm}" cx="{fixed(axis.at(p50))}" cy="12" r="4.5"/>')
    return svg(axis.width, 24, label, "".join(parts))


def front(
    points: Sequence[tuple[str, float, float, int]], *, label: str, across: str, up: str, width: float = 640.0
) -> tuple[str, frozenset[str]]:
    """Scatter of (arm, price, quality, colour) on a log axis, and the arms that none beats on both (Pareto)."""
    found = [point for point in points if math.isfinite(point[1]) and math.isfinite(point[2]) and point[1] > 0]
    best = frozenset(
        name
        for name, price, quality, _ in found
        if not any(p <= price and q >= quality and (p < price or q > quality) for _, p, q, _ in found)
    )
    if len(found) < 2:
        return "", best
    height, left, top, floor = 270.0, 52.0, 28.0, 230.0
    axis = log_axis([price for _, price, _, _ in found], width=width - left - 60)
    qualities = [quality for _, _, quality, _ in found]
    pad = (max(qualities) - min(qualities)) * 0.15 or 0.05
    low, high = min(qualities) - pad, max(qualities) + pad
    parts = [line("axis", left, width - 60, floor, floor), line("axis", left, left, top, floor)]
    for tick in axis.ticks:
        x = left + axis.at(tick)
        parts.append(line("axis", x, x, floor, floor + 4))
        parts.append(f'<text x="{fixed(x)}" y="{fixed(floor + 17)}" text-anchor="middle">{tick:g}</text>')
    for share in (0.0, 0.5, 1.0):
        value = low + (high - low) * share
        y = scale(value, low, high, floor, top)
        parts.append(f'<text x="{left - 6:g}" y="{fixed(y + 4)}" text-anchor="end">{value:.3f}</text>')
    parts.append(f'<text x="{fixed(width - 60)}" y="{fixed(floor + 34)}" text-anchor="end">{escape(across)}</text>')
    parts.append(f'<text x="0" y="10">{escape(up)}</text>')
    at = {name: (left + axis.at(price), scale(quality, low, high, floor, top)) for name, price, quality, _ in found}
    steps = sorted((at[name] for name in best), key=lambda spot: spot[0])
    if len(steps) > 1:
        path = " ".join(f"{fixed(x)},{fixed(y)}" for x, y in steps)
        parts.append(f'<polyline class="hh-fig-front" points="{path}"/>')
    for name, _, _, arm in found:
        x, y = at[name]
        hollow = "" if name in best else " hh-fig-hollow"
        parts.append(f'<circle class="hh-fig-arm-{arm}{hollow}" cx="{fixed(x)}" cy="{fixed(y)}" r="5"/>')
        shown = name if len(name) <= 22 else f"{name[:21]}…"
        anchor, shift = ("end", -9) if x > width - 160 else ("start", 9)
        parts.append(f'<text x="{fixed(x + shift)}" y="{fixed(y - 6)}" text-anchor="{anchor}">{escape(shown)}</text>')
    return svg(width, height, label, "".join(parts)), best
