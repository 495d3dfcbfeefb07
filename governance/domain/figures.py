"""Pictures as SVG text from plain numbers: the same in console, report and print. Colours come from CSS classes.

Coordinates have one decimal. Undefined values are left out and counted by the caller. No interval is drawn
here: this module draws what was measured.
"""

import math
from collections.abc import Sequence
from html import escape

STRIP_UP_TO = 60
BINS_AT_MOST = 40


def fixed(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}"


def scale(value: float, low: float, high: float, start: float, end: float) -> float:
    """`value` of [low, high] on the line from `start` to `end`; an empty range lands in the middle; clipped."""
    if high <= low:
        return (start + end) / 2
    return start + (end - start) * min(1.0, max(0.0, (value - low) / (high - low)))


def svg(width: float, height: float, label: str, body: str) -> str:
    """The frame of a picture that is one image to readers, which says its finding."""
    return (
        f'<svg class="hh-fig" role="img" aria-label="{escape(label)}" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">{body}</svg>'
    )


def defined(values: Sequence[float | None]) -> list[float]:
    """The finite ones."""
    return [value for value in values if value is not None and math.isfinite(value)]


def bins(values: Sequence[float]) -> list[tuple[float, float, int]]:
    """(from, to, count) by the rule of Freedman and Diaconis, at most 40 bins; one bin for equal values.

    Values too far apart for their difference to be a number are one bin, too.
    """
    low, high = min(values), max(values)
    if low == high or not math.isfinite(high - low):
        return [(low, high, len(values))]
    ordered = sorted(values)
    quarter = ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4]
    width = 2 * quarter / len(values) ** (1 / 3)
    number = max(1, math.ceil(min(BINS_AT_MOST, (high - low) / width))) if width > 0 else 10
    step = (high - low) / number
    counts = [0] * number
    for value in values:
        counts[min(number - 1, int((value - low) / step))] += 1
    return [(low + step * index, low + step * (index + 1), found) for index, found in enumerate(counts)]


def distribution(
    values: Sequence[float | None],
    *,
    label: str,
    limits: Sequence[float] = (),
    is_boolean: bool = False,
    width: float = 160,
    height: float = 28,
) -> str:
    """Strip of up to 60 values, histogram of more, one split bar of true and false; `limits` are dashed lines."""
    found = defined(values)
    if not found:
        return ""
    if is_boolean:
        true = sum(1 for value in found if value) / len(found) * width
        body = (
            f'<rect class="hh-fig-rest" x="0" y="8" width="{width:g}" height="12" rx="2"/>'
            f'<rect class="hh-fig-bin" x="0" y="8" width="{fixed(true)}" height="12" rx="2"/>'
        )
        return svg(width, height, label, body)
    inside = [limit for limit in limits if math.isfinite(limit)]
    low, high = min([*found, *inside]), max([*found, *inside])
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    start, end, floor = 4.0, width - 4.0, height - 4.0
    parts = [f'<line class="hh-fig-axis" x1="{start:g}" x2="{end:g}" y1="{floor:g}" y2="{floor:g}"/>']
    if len(found) <= STRIP_UP_TO:
        parts += [
            f'<circle class="hh-fig-mark" cx="{fixed(scale(value, low, high, start, end))}" '
            f'cy="{fixed(height / 2 - 2 + (index % 3 - 1) * 5)}" r="3"/>'
            for index, value in enumerate(found)
        ]
    else:
        heights = bins(found)
        tallest = max(number for _, _, number in heights)
        for left, right, number in heights:
            x1, x2 = scale(left, low, high, start, end), scale(right, low, high, start, end)
            tall = (floor - 2) * number / tallest
            parts.append(
                f'<rect class="hh-fig-bin" x="{fixed(x1)}" y="{fixed(floor - tall)}" '
                f'width="{fixed(max(1.0, x2 - x1 - 0.5))}" height="{fixed(tall)}"/>'
            )
    for limit in inside:
        x = fixed(scale(limit, low, high, start, end))
        parts.append(f'<line class="hh-fig-limit" x1="{x}" x2="{x}" y1="1" y2="{height - 1:g}"/>')
    return svg(width, height, label, "".join(parts))


def sparkline(values: Sequence[float | None], *, label: str, width: float = 96, height: float = 20) -> str:
    """A line through equally spaced values; undefined ones leave gaps. Nothing for fewer than two values."""
    found = defined(values)
    if len(found) < 2:
        return ""
    low, high = min(found), max(found)
    step = (width - 4) / (len(values) - 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value):
            runs.append([])
            continue
        runs[-1].append(f"{fixed(2 + index * step)},{fixed(scale(value, low, high, height - 3, 3))}")
    lines = "".join(f'<polyline class="hh-fig-line" points="{" ".join(run)}"/>' for run in runs if len(run) > 1)
    return svg(width, height, label, lines)


def dumbbells(
    rows: Sequence[tuple[str, float, float]], *, label: str, lower_is_better: bool = False, width: float = 640
) -> str:
    """One line per (name, baseline, candidate): hollow is the baseline, filled the candidate."""
    found = [row for row in rows if math.isfinite(row[1]) and math.isfinite(row[2])]
    if not found:
        return ""
    low = min(min(old, new) for _, old, new in found)
    high = max(max(old, new) for _, old, new in found)
    start, end, step = 180.0, width - 12.0, 22.0
    height = step * len(found) + 24
    parts = []
    for index, (name, old, new) in enumerate(found):
        y = 12 + step * index
        good = old - new if lower_is_better else new - old
        kind = "better" if good > 0 else "worse" if good < 0 else "same"
        a, b = scale(old, low, high, start, end), scale(new, low, high, start, end)
        shown = name if len(name) <= 24 else f"{name[:23]}…"
        parts.append(
            f'<text x="0" y="{fixed(y + 4)}">{escape(shown)}</text>'
            f'<line class="hh-fig-{kind}" x1="{fixed(a)}" x2="{fixed(b)}" y1="{fixed(y)}" y2="{fixed(y)}"/>'
            f'<circle class="hh-fig-{kind} hh-fig-hollow" cx="{fixed(a)}" cy="{fixed(y)}" r="4.5"/>'
            f'<circle class="hh-fig-{kind}" cx="{fixed(b)}" cy="{fixed(y)}" r="4.5"/>'
        )
    floor = fixed(height - 4)
    parts.append(f'<text x="{start:g}" y="{floor}">{low:.3g}</text>')
    parts.append(f'<text x="{end:g}" y="{floor}" text-anchor="end">{high:.3g}</text>')
    return svg(width, height, label, "".join(parts))


def bar(used: float, whole: float, *, label: str) -> str:
    """A share of a whole as a full-width bar; stretched by CSS, so it carries no text."""
    share = 0.0 if whole <= 0 else min(100.0, max(0.0, used / whole * 100))
    kind = " hh-bar-full" if whole > 0 and used >= whole else " hh-bar-warning" if share >= 80 else ""
    return (
        f'<svg class="hh-bar{kind}" role="img" aria-label="{escape(label)}" viewBox="0 0 100 4" '
        f'preserveAspectRatio="none"><rect width="100" height="4"/><rect width="{fixed(share)}" height="4"/></svg>'
    )


def stacked(parts: Sequence[tuple[str, int]], *, whole: int, label: str) -> str:
    """Counts side by side as shares of `whole`; (class, count) in order. Stretched by CSS, so it carries no text."""
    at, drawn = 0.0, ['<rect class="hh-fig-rest" x="0" y="0" width="100" height="12"/>']
    for kind, count in parts:
        wide = count / whole * 100 if whole > 0 else 0.0
        if count > 0:
            size = f'x="{at:.2f}" y="0" width="{min(wide, 100 - at):.2f}" height="12"'
            drawn.append(f'<rect class="hh-fig-{escape(kind)}" {size}/>')
        at = min(100.0, at + wide)
    return (
        f'<svg class="hh-stack" role="img" aria-label="{escape(label)}" viewBox="0 0 100 12" '
        f'preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )


def progress(share: float, *, label: str) -> str:
    """How much is done, 0 to 1, as a bar that CSS stretches."""
    return stacked([("arm-1", round(min(1.0, max(0.0, share)) * 1000))], whole=1000, label=label)


def waterfall_bar(start: float, end: float, *, first: float, last: float, kind: str, failed: bool, label: str) -> str:
    """One span on the time axis of its trace, in percent, at least 0.4 wide."""
    left = scale(start, first, last, 0, 100) if last > first else 0.0
    right = scale(end, first, last, 0, 100) if last > first else 100.0
    length = max(0.4, right - left)
    left = min(left, 100 - length)
    outline = " hh-fig-error" if failed else ""
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 100 16" preserveAspectRatio="none">'
        f'<rect class="hh-fig-{escape(kind)}{outline}" x="{left:.2f}" y="3" width="{length:.2f}" height="10"/></svg>'
    )
