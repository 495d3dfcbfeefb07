"""Golden coordinates of the console's pictures, and what they do with nothing, one value and hostile names."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from governance.domain import figures


def numbers(svg: str, tag: str, name: str) -> list[float]:
    return [float(text) for text in re.findall(rf'<{tag} [^>]*\b{name}="([-0-9.]+)"', svg)]


def test_strip_places_values_on_the_unit_axis_and_marks_the_limit() -> None:
    svg = figures.distribution([0.0, 0.5, 1.0, None, math.nan], label="f1", limits=[0.25])

    assert numbers(svg, "circle", "cx") == [4.0, 80.0, 156.0]
    assert 'hh-fig-limit" x1="42.0" x2="42.0"' in svg


def test_more_than_sixty_values_become_a_histogram() -> None:
    svg = figures.distribution([i / 100 for i in range(101)], label="f1")

    heights = numbers(svg, "rect", "height")
    assert "circle" not in svg
    assert len(heights) == len(figures.bins([i / 100 for i in range(101)]))
    assert max(heights) == 22.0


def test_booleans_are_one_split_bar() -> None:
    svg = figures.distribution([1, 1, 0, 1], label="ok", is_boolean=True)

    assert numbers(svg, "rect", "width") == [160.0, 120.0]


@pytest.mark.parametrize("values", [[], [None], [math.nan]])
def test_nothing_draws_nothing(values: list[float | None]) -> None:
    assert figures.distribution(values, label="x") == ""


def test_equal_values_fill_one_bin() -> None:
    assert figures.bins([2.0] * 100) == [(2.0, 2.0, 100)]
    assert numbers(figures.distribution([2.0] * 3, label="x"), "circle", "cx") == [80.0, 80.0, 80.0]


def test_bins_hold_every_value_and_stay_few() -> None:
    found = figures.bins([float(i % 977) for i in range(10_000)])

    assert sum(number for _, _, number in found) == 10_000
    assert len(found) <= 40
    assert len(figures.bins([0.0] * 99 + [1.0])) == 10


def test_sparkline_leaves_gaps() -> None:
    svg = figures.sparkline([0, 1, None, 1, 0], label="x")

    assert svg.count("<polyline") == 2
    assert 'points="2.0,17.0 25.0,3.0"' in svg
    assert figures.sparkline([1], label="x") == ""


def test_dumbbells_escape_names() -> None:
    svg = figures.dumbbells([('<a "&', 0.0, 1.0), ("שלום", 1.0, 0.0), ("x" * 40, 1.0, math.nan)], label='"<')

    assert numbers(svg, "circle", "cx") == [180.0, 628.0, 628.0, 180.0]
    assert ET.fromstring(svg).attrib["aria-label"] == '"<'
    assert "<a" not in svg.replace("<a ", "<a", 0).split("<text")[0]
    assert figures.dumbbells([], label="x") == ""


@pytest.mark.parametrize(
    ("used", "whole", "width", "kind"),
    [(50, 100, 50, 'hh-bar"'), (80, 100, 80, "hh-bar-warning"), (120, 100, 100, "hh-bar-full"), (0, 0, 0, 'hh-bar"')],
)
def test_bar(used: float, whole: float, width: float, kind: str) -> None:
    svg = figures.bar(used, whole, label="x")

    assert numbers(svg, "rect", "width") == [100.0, float(width)]
    assert kind in svg


def test_waterfall_bars_are_at_least_visible() -> None:
    def bar(start: float, end: float) -> str:
        return figures.waterfall_bar(start, end, first=0, last=1000, kind="model", failed=True, label="x")

    assert (numbers(bar(100, 600), "rect", "x"), numbers(bar(100, 600), "rect", "width")) == ([10.0], [50.0])
    assert (numbers(bar(1000, 1000), "rect", "x"), numbers(bar(1000, 1000), "rect", "width")) == ([99.6], [0.4])
    assert "hh-fig-error" in bar(0, 1)


@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308] * 40, [0.0, 5e-324, 1e-323, 1e308] * 20, [1e308] * 61 + [-1e308]],
)
def test_values_at_the_ends_of_the_number_range_make_a_picture(values: list[float]) -> None:
    svg = figures.distribution(values, label="f1", limits=[1e308, -1e308])

    assert "nan" not in svg
    assert "inf" not in svg
    assert sum(number for _, _, number in figures.bins(values)) == len(values)
