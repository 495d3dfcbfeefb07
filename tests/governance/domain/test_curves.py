"""Golden coordinates of curves, and what they do with nothing, one value and hostile names."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from governance.domain import curves


def points_of(svg: str, kind: str) -> list[str]:
    return re.findall(rf'<polyline class="hh-fig-{kind}" points="([^"]+)"', svg)


def test_a_distribution_climbs_by_its_share_at_each_value() -> None:
    svg = curves.ecdf([0.0, 0.5], [1.0, 1.0], label="x", across="f1", width=164, height=154)

    # Axis from x=52 to 152 and from y=114 up to 14.
    assert points_of(svg, "dashed") == ["52.0,114.0 52.0,114.0 52.0,64.0 102.0,64.0 102.0,14.0 152.0,14.0"]
    assert points_of(svg, "line") == ["52.0,114.0 152.0,114.0 152.0,64.0 152.0,64.0 152.0,14.0 152.0,14.0"]


def test_a_distribution_needs_both_sides() -> None:
    assert curves.ecdf([], [1.0], label="x", across="f1") == ""
    assert curves.ecdf([1.0], [math.nan], label="x", across="f1") == ""


def test_a_series_draws_values_intervals_and_gaps() -> None:
    svg = curves.series(
        [(0.0, 0.0, 1.0), (None, None, None), (1.0, None, None), (1.0, 0.5, 1.0)],
        label="x",
        width=52 + 16 + 24 + 300,
        height=158,
    )

    assert re.findall(r'<circle class="hh-fig-bin" cx="([\d.]+)" cy="([\d.]+)"', svg) == [
        ("64.0", "130.0"), ("264.0", "30.0"), ("364.0", "30.0"),
    ]  # fmt: skip
    assert points_of(svg, "line") == ["264.0,30.0 364.0,30.0"]
    assert len(re.findall("hh-fig-whisker", svg)) == 2


@pytest.mark.parametrize(
    ("before", "after", "lower", "kind", "words"),
    [(0.5, 0.6, False, "better", "+0.1"), (0.6, 0.5, False, "worse", "−0.1"), (900.0, 800.0, True, "better", "−100")],
)
def test_a_change_of_level_is_marked_by_shape_and_number(
    before: float, after: float, lower: bool, kind: str, words: str
) -> None:
    svg = curves.series(
        [(before, None, None), (after, None, None)],
        label="x",
        changes=[curves.Change(1, before, after)],
        lower_is_better=lower,
    )

    assert f'<polygon class="hh-fig-{kind}"' in svg
    assert f">{words}<" in svg
    # The line stands between the two runs.
    assert re.search(rf'hh-fig-{kind} hh-fig-limit" x1="398.0"', svg)


def test_a_series_of_nothing_is_nothing_and_one_value_stands_in_the_middle() -> None:
    assert curves.series([(None, None, None)], label="x") == ""
    assert 'cx="398.0"' in curves.series([(0.4, 0.4, 0.4)], label="x")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], (0.0, 1.0)),
        ([0.41, 0.63], (0.4, 0.7)),
        ([5.0, 5.0], (4.5, 5.5)),
        ([-0.013, 0.02], (-0.02, 0.02)),
    ],
)
def test_ranges_end_at_round_numbers(values: list[float], found: tuple[float, float]) -> None:
    low, high, ticks = curves.nice_range(values)

    assert (low, high) == pytest.approx(found)
    assert len(ticks) <= 8


def test_ticks_have_the_decimals_of_their_step() -> None:
    assert [curves.tick_text(value, 0.05) for value in (-0.05, 0.0, 0.1)] == ["−0.05", "0.00", "0.10"]
    assert curves.tick_text(1_200, 100) == "1,200"


def test_names_are_escaped_and_pictures_carry_no_style() -> None:
    for svg in (
        curves.ecdf([0.1, 0.2], [0.3], label='<b>"', across="<i>&", names=("<b>", "&c")),
        curves.series([(0.1, 0.0, 0.2), (0.4, 0.3, 0.5)], label="<script>", ends=("<a>", "&")),
    ):
        ET.fromstring(svg)
        assert "style=" not in svg
        assert "<script" not in svg
