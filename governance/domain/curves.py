"""Curves as SVG text from plain numbers: how values are spread, and how a value went over time. Colours are classes.

Coordinates have one decimal. Undefined values are left out; the table beside a curve holds every number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from governance.domain.figures import defined, fixed, scale, svg
from governance.domain.plots import line, step_of

LEFT, TOP = 52.0, 14.0


@dataclass(frozen=True, slots=True)
class Change:
    """Where a series took a new level: the first point of it, and the two levels."""

    position: int
    before: float
    after: float


def nice_range(values: Sequence[float], at_most: int = 4) -> tuple[float, float, list[float]]:
    """(low, high, ticks) around `values` at round numbers; 0 to 1 without any."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if not math.isfinite(high - low) or high - low <= abs(high) * 1e-9:
        room = abs(high) * 0.1 or 0.5
        low, high = low - room, high + room
    step = step_of(high - low, at_most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [index * step for index in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def tick_text(value: float, step: float) -> str:
    """A tick with as many decimals as its step has, and a real minus."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value:,.{min(decimals, 6)}f}".replace("-", "−")


def ecdf(
    old: Sequence[float],
    new: Sequence[float],
    *,
    label: str,
    across: str,
    names: tuple[str, str] = ("baseline", "candidate"),
    width: float = 560.0,
    height: float = 220.0,
) -> str:
    """Share of values up to each value, of two sides: the baseline dashed, the candidate solid. Empty without both.

    `old` and `new` are sorted values, or quantiles at even steps.
    """
    before, after = sorted(defined(old)), sorted(defined(new))
    if not before or not after:
        return ""
    every = [*before, *after]
    low, high, ticks = (
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]) if min(every) >= 0 and max(every) <= 1 else nice_range(every)
    )
    right, floor = width - 12.0, height - 40.0
    parts = [line("axis", LEFT, right, floor, floor)]
    for share in (0.0, 0.5, 1.0):
        y = scale(share, 0, 1, floor, TOP)
        parts.append(line("axis", LEFT, right, y, y))
        parts.append(f'<text x="{LEFT - 6:g}" y="{fixed(y + 4)}" text-anchor="end">{share * 100:g} %</text>')
    for tick in ticks:
        x = scale(tick, low, high, LEFT, right)
        parts.append(line("axis", x, x, floor, floor + 4))
        shown = tick_text(tick, ticks[1] - ticks[0])
        parts.append(f'<text x="{fixed(x)}" y="{fixed(floor + 17)}" text-anchor="middle">{shown}</text>')
    for values, kind in ((before, "dashed"), (after, "line")):
        spots, share = [f"{fixed(LEFT)},{fixed(floor)}"], 0.0
        for index, value in enumerate(values, start=1):
            at = fixed(scale(value, low, high, LEFT, right))
            spots.append(f"{at},{fixed(scale(share, 0, 1, floor, TOP))}")
            share = index / len(values)
            spots.append(f"{at},{fixed(scale(share, 0, 1, floor, TOP))}")
        spots.append(f"{fixed(right)},{fixed(TOP)}")
        parts.append(f'<polyline class="hh-fig-{kind}" points="{" ".join(spots)}"/>')
    parts.append(f'<text x="{fixed(right)}" y="{fixed(height - 6)}" text-anchor="end">{escape(across)}</text>')
    parts += [
        line("dashed", LEFT, LEFT + 24, height - 10, height - 10),
        line("line", 190, 214, height - 10, height - 10),
    ]
    for x, name in ((LEFT + 30, names[0]), (220.0, names[1])):
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        parts.append(f'<text x="{x:g}" y="{fixed(height - 6)}">{escape(shown)}</text>')
    return svg(width, height, label, "".join(parts))


def series(
    points: Sequence[tuple[float | None, float | None, float | None]],
    *,
    label: str,
    changes: Sequence[Change] = (),
    lower_is_better: bool = False,
    ends: tuple[str, str] = ("", ""),
    width: float = 760.0,
    height: float = 260.0,
) -> str:
    """Values with their intervals (value, low, high), evenly spaced, oldest first; gaps stay gaps.

    A change of level is a dashed line before the first point of the new level, with ▲ better or ▼ worse at its top.
    Empty without any value. `ends`: words under the first and the last point.
    """
    every = [number for point in points for number in defined(point)]
    if not every:
        return ""
    low, high, ticks = nice_range(every)
    right, top, floor = width - 16.0, 30.0, height - 28.0
    step = (right - LEFT - 24) / max(1, len(points) - 1)

    def at(index: float) -> float:
        return LEFT + 12 + step * index if len(points) > 1 else (LEFT + right) / 2

    def up(value: float) -> float:
        return scale(value, low, high, floor, top)

    parts = []
    for tick in ticks:
        parts.append(line("axis", LEFT, right, up(tick), up(tick)))
        shown = tick_text(tick, ticks[1] - ticks[0])
        parts.append(f'<text x="{LEFT - 6:g}" y="{fixed(up(tick) + 4)}" text-anchor="end">{shown}</text>')
    spots: list[list[str]] = [[]]
    for index, (value, least, most) in enumerate(points):
        if value is None or not math.isfinite(value):
            spots.append([])
            continue
        x = at(index)
        if least is not None and most is not None:
            parts.append(line("whisker", x, x, up(least), up(most)))
        spots[-1].append(f"{fixed(x)},{fixed(up(value))}")
    parts += [f'<polyline class="hh-fig-line" points="{" ".join(run)}"/>' for run in spots if len(run) > 1]
    parts += [
        f'<circle class="hh-fig-bin" cx="{spot.partition(",")[0]}" cy="{spot.partition(",")[2]}" r="4"/>'
        for run in spots
        for spot in run
    ]
    for change in changes:
        x, by = at(change.position - 0.5), change.after - change.before
        kind = "better" if (by < 0) is lower_is_better and by else "worse"
        tip, foot = (top - 14, top - 5) if kind == "better" else (top - 5, top - 14)
        parts.append(line(f"{kind} hh-fig-limit", x, x, top - 4, floor))
        parts.append(
            f'<polygon class="hh-fig-{kind}" points="{fixed(x - 5)},{fixed(foot)} {fixed(x)},{fixed(tip)} '
            f'{fixed(x + 5)},{fixed(foot)}"/>'
        )
        anchor, shift = ("end", -9) if x > width - 120 else ("start", 9)
        said = f"{'+' if by > 0 else '−'}{abs(by):.3g}"
        parts.append(f'<text x="{fixed(x + shift)}" y="{fixed(top - 5)}" text-anchor="{anchor}">{said}</text>')
    for x, word, anchor in ((LEFT, ends[0], "start"), (right, ends[1], "end")):
        parts.append(f'<text x="{fixed(x)}" y="{fixed(height - 6)}" text-anchor="{anchor}">{escape(word)}</text>')
    return svg(width, height, label, "".join(parts))
