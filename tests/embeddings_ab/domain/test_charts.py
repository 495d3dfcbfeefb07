"""Pictures of A/B tests: golden coordinates, undefined values, few and many rows, names that are markup."""

import re
from xml.etree import ElementTree

import pytest

from embeddings_ab.domain import charts
from governance.domain import figures


def drawn(picture: str) -> ElementTree.Element:
    """The picture as XML: what is not well-formed fails here."""
    return ElementTree.fromstring(picture)


def parts(picture: str, tag: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in drawn(picture).iter(tag)]


@pytest.mark.parametrize(
    ("span", "at_most", "step"),
    [(0.2, 2, 0.1), (0.21, 2, 0.2), (1, 4, 0.5), (9, 4, 5), (0.0011, 2, 0.001), (10, 1, 10)],
)
def test_steps_are_one_two_or_five_times_a_power_of_ten(span: float, at_most: int, step: float) -> None:
    assert charts.step_of(span, at_most) == pytest.approx(step)


def test_an_axis_of_differences_is_even_around_zero() -> None:
    axis = charts.difference_axis([0.03, -0.1, None, float("nan")])
    assert (axis.low, axis.high) == pytest.approx((-0.104, 0.104))
    assert axis.ticks == pytest.approx((-0.1, -0.05, 0.0, 0.05, 0.1))
    assert axis.at(0) == 150.0
    assert axis.at(9.0) == 292.0  # clipped at the edge
    assert charts.difference_axis([]).high == pytest.approx(1.04)
    assert charts.difference_axis([0.001], margin=0.05).high == pytest.approx(0.052)


def test_an_axis_of_values_begins_at_zero_unless_something_is_below() -> None:
    assert charts.value_axis([0.43, 0.62]).ticks == pytest.approx((0.0, 0.2, 0.4, 0.6, 0.8))
    assert charts.value_axis([-0.3, 0.5]).low == pytest.approx(-0.4)
    assert charts.value_axis([]).high == pytest.approx(1.0)
    assert charts.value_axis([0.0, None]).high == pytest.approx(1.0)


def test_a_log_axis_has_whole_powers_of_ten() -> None:
    axis = charts.log_axis([0.9, 76.0, None, 0.0, -3.0])
    assert axis.ticks == pytest.approx((0.1, 1.0, 10.0, 100.0))
    assert axis.at(0.1) == 8.0
    assert axis.at(100) == 292.0
    assert axis.at(10) == pytest.approx(8 + 284 * 2 / 3)
    assert axis.at(0) == 8.0
    assert charts.log_axis([]).ticks == pytest.approx((1.0, 10.0))
    assert charts.log_axis([10.0]).ticks == pytest.approx((10.0, 100.0))


def test_an_interval_is_a_line_with_the_shape_of_its_verdict() -> None:
    axis = charts.Axis(-0.1, 0.1, (-0.1, 0.0, 0.1))
    picture = charts.interval(0.05, 0.02, 0.08, axis=axis, verdict="better", label="x", margin=0.01)

    (band,) = parts(picture, "rect")
    assert (band["class"], band["x"], band["width"]) == ("hh-fig-band", "135.8", "28.4")
    zero, line, left, right = parts(picture, "line")
    assert (zero["class"], zero["x1"]) == ("hh-fig-zero", "150.0")
    assert (line["class"], line["x1"], line["x2"]) == ("hh-fig-better hh-fig-thick", "178.4", "263.6")
    assert (left["x1"], right["x1"]) == ("178.4", "263.6")
    assert parts(picture, "polygon")[0]["points"] == "216.0,19.0 221.0,9.0 226.0,19.0"
    assert drawn(picture).attrib["role"] == "img"


def test_every_verdict_has_a_shape_of_its_own() -> None:
    shapes = {name: charts.verdict_mark(name, 10, 14) for name in ("better", "worse", "equivalent", "undecided", "")}
    assert "5.0,19.0 10.0,9.0" in shapes["better"]
    assert "5.0,9.0 10.0,19.0" in shapes["worse"]
    assert shapes["equivalent"].startswith("<rect")
    assert shapes["undecided"] == shapes[""]
    assert 'class="hh-fig-open hh-fig-hollow"' in shapes["undecided"]


def test_what_is_undefined_is_left_out_of_an_interval() -> None:
    axis = charts.difference_axis([0.1])
    assert len(parts(charts.interval(None, None, None, axis=axis, verdict="", label="x"), "line")) == 1
    only_point = charts.interval(0.1, None, float("nan"), axis=axis, verdict="worse", label="x")
    assert len(parts(only_point, "line")) == 1
    assert len(parts(only_point, "polygon")) == 1


def test_a_ruler_names_its_ticks_with_signs_and_units() -> None:
    def texts(axis: charts.Axis, unit: str = "") -> list[str | None]:
        return [element.text for element in drawn(charts.ruler(axis, unit=unit)).iter("text")]

    assert texts(charts.difference_axis([0.1])) == ["−0.10", "−0.05", "0.00", "+0.05", "+0.10"]
    assert texts(charts.value_axis([0.8])) == ["0.0", "0.2", "0.4", "0.6", "0.8"]
    assert texts(charts.log_axis([1, 90]), " ms") == ["1 ms", "10 ms", "100 ms"]
    assert texts(charts.difference_axis([0.0004])) == ["−0.0004", "−0.0002", "0.0000", "+0.0002", "+0.0004"]
    assert texts(charts.Axis(0.0, 1.0, ())) == []


def test_bounds_are_a_pale_bar_and_percentiles_a_line_with_a_tick() -> None:
    axis = charts.Axis(0.0, 1.0, (0.0, 1.0), width=116.0)
    picture = charts.whiskers(0.2, 0.5, 0.9, axis=axis, label="x", arm=3)
    assert parts(picture, "rect")[0] | {"y": "", "height": ""} == {
        "class": "hh-fig-arm-3 hh-fig-pale", "x": "28.0", "width": "70.0", "y": "", "height": "",
    }  # fmt: skip
    assert parts(picture, "circle")[0]["cx"] == "58.0"
    assert parts(charts.whiskers(None, 0.5, None, axis=axis, label="x"), "rect") == []
    assert charts.whiskers(0.1, None, 0.2, axis=axis, label="x") == ""

    picture = charts.percentiles(0.1, 0.4, 0.6, axis=axis, label="x", arm=2)
    assert [(line["x1"], line["x2"]) for line in parts(picture, "line")] == [
        ("8.0", "108.0"), ("18.0", "48.0"), ("68.0", "68.0"),
    ]  # fmt: skip
    assert len(parts(charts.percentiles(0.1, None, None, axis=axis, label="x", arm=2), "line")) == 1
    assert charts.percentiles(None, 1.0, 2.0, axis=axis, label="x", arm=1) == ""


def test_stacked_parts_are_shares_of_the_whole() -> None:
    picture = figures.stacked([("better", 2), ("rest", 0), ("worse", 1)], whole=4, label='a "b" <c>')
    assert [(box["class"], box["x"], box["width"]) for box in parts(picture, "rect")] == [
        ("hh-fig-rest", "0", "100"), ("hh-fig-better", "0.00", "50.00"), ("hh-fig-worse", "50.00", "25.00"),
    ]  # fmt: skip
    assert drawn(picture).attrib["aria-label"] == 'a "b" <c>'
    assert len(parts(figures.stacked([("better", 0)], whole=0, label="x"), "rect")) == 1
    assert parts(figures.stacked([("better", 9)], whole=4, label="x"), "rect")[1]["width"] == "100.00"


@pytest.mark.parametrize(("share", "width"), [(0.25, "25.00"), (1.7, "100.00"), (-1, None)])
def test_progress_stays_between_nothing_and_all(share: float, width: str | None) -> None:
    boxes = parts(figures.progress(share, label="x"), "rect")[1:]
    assert [box["width"] for box in boxes] == ([width] if width else [])


def test_movement_has_one_bar_per_query_and_never_more_than_columns() -> None:
    picture = charts.movement([0.5, -0.25, 0.0], label="x", width=300, height=104)
    assert [(bar["class"].split()[0], bar["x"], bar["y"], bar["height"]) for bar in parts(picture, "rect")] == [
        ("hh-fig-better", "0.0", "4.0", "48.0"), ("hh-fig-worse", "200.0", "52.0", "24.0"),
    ]  # fmt: skip
    assert charts.movement([], label="x") == charts.movement([0.3], label="x") == ""
    assert parts(charts.movement([0.0, 0.0], label="x"), "rect") == []
    many = charts.movement([index / 10_000 - 0.5 for index in range(10_000)], label="x")
    assert len(parts(many, "rect")) <= 320
    assert len(many) < 50_000


def test_a_mover_is_a_bar_from_zero() -> None:
    axis = charts.Axis(-1.0, 1.0, (), width=116.0)
    assert (parts(charts.mover(-0.5, axis=axis), "rect")[0]["x"], charts.mover(None, axis=axis)) == ("33.0", "")
    assert parts(charts.mover(0.0, axis=axis), "rect") == []
    assert 'aria-hidden="true"' in charts.mover(0.5, axis=axis)


def test_the_front_holds_the_arms_that_none_beats_on_both() -> None:
    points = [("a", 1.0, 0.5, 1), ("b", 10.0, 0.6, 2), ("<c>&", 20.0, 0.55, 3), ("d", float("nan"), 0.9, 4)]
    picture, best = charts.front(points, label="x", across="ms", up="nDCG@10")

    assert best == {"a", "b"}
    circles = parts(picture, "circle")
    assert ["hh-fig-hollow" in circle["class"] for circle in circles] == [False, False, True]
    assert len(parts(picture, "polyline")[0]["points"].split()) == 2
    assert "<c>&" in [element.text for element in drawn(picture).iter("text")]
    # Equal in both: neither beats the other.
    assert charts.front([("a", 1, 0.5, 1), ("b", 1, 0.5, 2)], label="x", across="", up="")[1] == {"a", "b"}
    assert charts.front([("a", 1, 0.5, 1)], label="x", across="", up="") == ("", {"a"})
    assert charts.front([], label="x", across="", up="") == ("", frozenset())


def test_long_names_are_cut_and_only_one_arm_on_the_front_draws_no_line() -> None:
    picture, best = charts.front([("n" * 30, 1.0, 0.9, 1), ("b", 9.0, 0.1, 2)], label="x", across="", up="")
    assert best == {"n" * 30}
    assert "polyline" not in picture
    assert f"{'n' * 21}…" in picture


def test_pictures_carry_no_style_and_no_script() -> None:
    axis = charts.difference_axis([0.1])
    every = [
        charts.interval(0.1, 0.0, 0.2, axis=axis, verdict="better", label="x"), charts.ruler(axis),
        figures.stacked([("better", 1)], whole=1, label="x"), charts.movement([0.1, 0.2], label="x"),
        charts.front([("a", 1, 0.5, 1), ("b", 2, 0.6, 2)], label="x", across="a", up="b")[0],
    ]  # fmt: skip
    for picture in every:
        assert not re.search(r"style=|<script|href|fill=|stroke=", picture)
