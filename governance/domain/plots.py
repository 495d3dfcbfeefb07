"""Pictures on an axis as SVG text from plain numbers: the same in console, report and print; colours are classes.

Each row of a table carries its own small picture on an axis that all rows share, so that text stays HTML and nothing
shrinks on a phone. Coordinates have one decimal. What is undefined is left out; the number beside it says why.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from governance.domain.figures import fixed, scale, svg

VERDICT_CLASS = {"better": "better", "worse": "worse", "equivalent": "same"}
VERDICT_KIND = {**VERDICT_CLASS, "undecided": "untested"}
VERDICT_ORDER = {"better": 0, "worse": 1, "undecided": 2, "equivalent": 3}
PAD = 8.0


@dataclass(frozen=True, slots=True)
class Axis:
    """Range that all pictures of one column share, and where its ticks stand; `is_log`: by powers of ten.

    `is_turned`: the larger values are at the left, for metrics that are better when lower.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False
    width: float = 300.0
    is_turned: bool = False

    def at(self, value: float) -> float:
        """Abscissa of `value`; what lies outside is drawn at the edge."""
        if self.is_turned:
            value = self.low + self.high - value
        if self.is_log:
            low, high = math.log10(self.low), math.log10(self.high)
            return scale(math.log10(max(value, self.low)), low, high, PAD, self.width - PAD)
        return scale(value, self.low, self.high, PAD, self.width - PAD)


def finite(values: Sequence[float | None]) -> list[float]:
    """The numbers among `values`."""
    return [value for value in values if value is not None and math.isfinite(value)]


def step_of(span: float, at_most: int) -> float:
    """The least of 1, 2, 5 times a power of ten that cuts `span` > 0 into at most `at_most` parts."""
    power = 10.0 ** math.floor(math.log10(span / at_most))
    return next((power * factor for factor in (1, 2, 5) if span / (power * factor) <= at_most), power * 10)


def difference_axis(values: Sequence[float | None], *, margin: float | None = None, width: float = 300.0) -> Axis:
    """An axis around zero, as far to both sides as the farthest of `values` and the margin; ±1 without any."""
    reach = max((abs(value) for value in finite([*values, margin])), default=0.0) or 1.0
    reach *= 1.04  # a line that ends at the edge would look cut
    step = step_of(reach, 3)
    each = math.floor(reach / step)
    return Axis(-reach, reach, tuple(index * step for index in range(-each, each + 1)), width=width)


def value_axis(values: Sequence[float | None], *, width: float = 300.0) -> Axis:
    """From zero (or below, where a value is) to a round number above the largest of `values`."""
    found = finite(values)
    low, high = min([0.0, *found]), max(found, default=0.0)
    if high <= low:
        high = low + 1.0
    step = step_of(high - low, 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, tuple(index * step for index in range(first, last + 1)), width=width)


def log_axis(values: Sequence[float | None], *, width: float = 300.0) -> Axis:
    """Whole powers of ten around the positive ones of `values`; 1 to 10 without any."""
    found = [value for value in finite(values) if value > 0]
    first = math.floor(math.log10(min(found))) if found else 0
    last = math.ceil(math.log10(max(found))) if found else 1
    last = max(last, first + 1)
    return Axis(10.0**first, 10.0**last, tuple(10.0**power for power in range(first, last + 1)), True, width)


def line(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    """One stroke of class `hh-fig-<kind>`."""
    return f'<line class="hh-fig-{kind}" x1="{fixed(x1)}" x2="{fixed(x2)}" y1="{fixed(y1)}" y2="{fixed(y2)}"/>'


def box(kind: str, left: float, right: float, top: float, height: float) -> str:
    """One filled rectangle, at least half a pixel wide; its sides in either order."""
    left, right = min(left, right), max(left, right)
    return (
        f'<rect class="hh-fig-{kind}" x="{fixed(left)}" y="{fixed(top)}" width="{fixed(max(0.5, right - left))}" '
        f'height="{fixed(height)}"/>'
    )


def verdict_kind(verdict: str | None) -> str:
    """The kind of chip of a verdict."""
    return VERDICT_KIND.get(verdict or "", "untested")


def verdict_mark(verdict: str, x: float, y: float) -> str:
    """Shape of a verdict: ▲ better, ▼ worse, ■ equivalent, ○ anything else; never colour alone."""
    if verdict == "better":
        return _triangle("better", x, y, 5)
    if verdict == "worse":
        return _triangle("worse", x, y, -5)
    if verdict == "equivalent":
        return f'<rect class="hh-fig-same" x="{fixed(x - 4)}" y="{fixed(y - 4)}" width="8" height="8"/>'
    return f'<circle class="hh-fig-open hh-fig-hollow" cx="{fixed(x)}" cy="{fixed(y)}" r="4.5"/>'


def _triangle(kind: str, x: float, y: float, up: float) -> str:
    points = f"{fixed(x - 5)},{fixed(y + up)} {fixed(x)},{fixed(y - up)} {fixed(x + 5)},{fixed(y + up)}"
    return f'<polygon class="hh-fig-{kind}" points="{points}"/>'


def ruler(axis: Axis, *, unit: str = "", is_signed: bool = True) -> str:
    """Ticks with their numbers, for the head of the column that carries the pictures.

    Without signs where the rows below read the axis in both directions.
    """
    parts = []
    shown = [tick for tick in axis.ticks if axis.low <= tick <= axis.high]
    decimals = 0 if axis.is_log or not shown else max((_decimals(tick) for tick in shown), default=0)
    for tick in shown:
        x = axis.at(tick)
        text = f"{tick:g}" if axis.is_log else f"{abs(tick):.{decimals}f}"
        sign = "" if tick == 0 or axis.is_log or axis.low >= 0 or not is_signed else "−" if tick < 0 else "+"
        anchor = "start" if x < PAD + 4 else "end" if x > axis.width - PAD - 4 else "middle"
        parts.append(line("axis", x, x, 14, 18))
        parts.append(f'<text x="{fixed(x)}" y="11" text-anchor="{anchor}">{sign}{text}{escape(unit)}</text>')
    said = f"Axis from {axis.low:.3g} to {axis.high:.3g}{unit}"
    return svg(axis.width, 18, said, "".join(parts))


def _decimals(value: float) -> int:
    text = f"{abs(value):.6f}".rstrip("0")
    return len(text.partition(".")[2])


def interval(
    difference: float | None,
    low: float | None,
    high: float | None,
    *,
    axis: Axis,
    verdict: str,
    label: str,
    margin: float | None = None,
) -> str:
    """Difference against control: line = interval, shape = verdict, band = margin, thin line = zero."""
    height, middle = 28.0, 14.0
    parts = []
    if margin:
        parts.append(box("band", axis.at(-margin), axis.at(margin), 0, height))
    parts.append(line("zero", axis.at(0), axis.at(0), 0, height))
    if difference is not None and math.isfinite(difference):
        kind = VERDICT_CLASS.get(verdict, "open")
        if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
            left, right = axis.at(low), axis.at(high)
            parts.append(line(f"{kind} hh-fig-thick", left, right, middle, middle))
            parts += [line(f"{kind} hh-fig-thick", x, x, middle - 4, middle + 4) for x in (left, right)]
        parts.append(verdict_mark(verdict, axis.at(difference), middle))
    return svg(axis.width, height, label, "".join(parts))


def movement(differences: Sequence[float], *, label: str, width: float = 640.0, height: float = 96.0) -> str:
    """One bar per query, largest gain first, largest loss last; nothing for fewer than two queries.

    Where queries outnumber columns, neighbours share a bar that shows their mean.
    """
    found = sorted(finite(differences), reverse=True)
    if len(found) < 2:
        return ""
    columns = min(len(found), int(width // 2))
    cuts = [len(found) * index // columns for index in range(columns + 1)]
    means = [sum(found[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    reach = max(abs(means[0]), abs(means[-1])) or 1.0
    middle, wide = height / 2, width / columns
    parts = []
    for index, mean in enumerate(means):
        tall = abs(mean) / reach * (middle - 4)
        if tall >= 0.05:
            top = middle - tall if mean > 0 else middle
            gap = 1.0 if wide > 4 else 0.0
            parts.append(
                f'<rect class="hh-fig-{"better" if mean > 0 else "worse"} hh-fig-flat" x="{fixed(index * wide)}" '
                f'y="{fixed(top)}" width="{fixed(wide - gap)}" height="{fixed(tall)}"/>'
            )
    parts.append(line("zero", 0, width, middle, middle))
    parts.append(f'<text x="{width:g}" y="11" text-anchor="end">up to +{max(found[0], 0):.3f}</text>')
    parts.append(f'<text x="0" y="{height - 3:g}">down to −{max(-found[-1], 0):.3f}</text>')
    return svg(width, height, label, "".join(parts))


def mover(difference: float | None, *, axis: Axis) -> str:
    """A thin bar from zero for one query; its number stands beside it, so readers skip the picture."""
    if difference is None or not math.isfinite(difference):
        return ""
    zero, tip = axis.at(0), axis.at(difference)
    kind = "better" if difference > 0 else "worse"
    bar = box(f"{kind} hh-fig-flat", min(zero, tip), max(zero, tip), 5, 8) if difference else ""
    body = bar + line("zero", zero, zero, 1, 17)
    size = f'width="{axis.width:g}" height="18" viewBox="0 0 {axis.width:g} 18"'
    return f'<svg class="hh-fig" aria-hidden="true" {size}>{body}</svg>'
