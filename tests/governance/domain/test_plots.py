"""Pictures on an axis: golden coordinates, undefined values, few and many rows, names that are markup."""

from xml.etree import ElementTree

import pytest

from governance.domain import figures, plots


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
    assert plots.step_of(span, at_most) == pytest.approx(step)


def test_an_axis_of_differences_is_even_around_zero() -> None:
    axis = plots.difference_axis([0.03, -0.1, None, float("nan")])
    assert (axis.low, axis.high) == pytest.approx((-0.104, 0.104))
    assert axis.ticks == pytest.approx((-0.1, -0.05, 0.0, 0.05, 0.1))
    assert axis.at(0) == 150.0
    assert axis.at(9.0) == 292.0  # clipped at the edge
    assert plots.difference_axis([]).high == pytest.approx(1.04)
    assert plots.difference_axis([0.001], margin=0.05).high == pytest.approx(0.052)


def test_an_axis_of_values_begins_at_zero_unless_something_is_below() -> None:
    assert plots.value_axis([0.43, 0.62]).ticks == pytest.approx((0.0, 0.2, 0.4, 0.6, 0.8))
    assert plots.value_axis([-0.3, 0.5]).low == pytest.approx(-0.4)
    assert plots.value_axis([]).high == pytest.approx(1.0)
    assert plots.value_axis([0.0, None]).high == pytest.approx(1.0)


def test_a_log_axis_has_whole_powers_of_ten() -> None:
    axis = plots.log_axis([0.9, 76.0, None, 0.0, -3.0])
    assert axis.ticks == pytest.approx((0.1, 1.0, 10.0, 100.0))
    assert axis.at(0.1) == 8.0
    assert axis.at(100) == 292.0
    assert axis.at(10) == pytest.approx(8 + 284 * 2 / 3)
    assert axis.at(0) == 8.0
    assert plots.log_axis([]).ticks == pytest.approx((1.0, 10.0))
    assert plots.log_axis([10.0]).ticks == pytest.approx((10.0, 100.0))


def test_an_interval_is_a_line_with_the_shape_of_its_verdict() -> None:
    axis = plots.Axis(-0.1, 0.1, (-0.1, 0.0, 0.1))
    picture = plots.interval(0.05, 0.02, 0.08, axis=axis, verdict="better", label="x", margin=0.01)

    (band,) = parts(picture, "rect")
    assert (band["class"], band["x"], band["width"]) == ("hh-fig-band", "135.8", "28.4")
    zero, line, left, right = parts(picture, "line")
    assert (zero["class"], zero["x1"]) == ("hh-fig-zero", "150.0")
    assert (line["class"], line["x1"], line["x2"]) == ("hh-fig-better hh-fig-thick", "178.4", "263.6")
    assert (left["x1"], right["x1"]) == ("178.4", "263.6")
    assert parts(picture, "polygon")[0]["points"] == "216.0,19.0 221.0,9.0 226.0,19.0"
    assert drawn(picture).attrib["role"] == "img"


def test_every_verdict_has_a_shape_of_its_own() -> None:
    shapes = {name: plots.verdict_mark(name, 10, 14) for name in ("better", "worse", "equivalent", "undecided", "")}
    assert "5.0,19.0 10.0,9.0" in shapes["better"]
    assert "5.0,9.0 10.0,19.0" in shapes["worse"]
    assert shapes["equivalent"].startswith("<rect")
    assert shapes["undecided"] == shapes[""]
    assert 'class="hh-fig-open hh-fig-hollow"' in shapes["undecided"]


def test_what_is_undefined_is_left_out_of_an_interval() -> None:
    axis = plots.difference_axis([0.1])
    assert len(parts(plots.interval(None, None, None, axis=axis, verdict="", label="x"), "line")) == 1
    only_point = plots.interval(0.1, None, float("nan"), axis=axis, verdict="worse", label="x")
    assert len(parts(only_point, "line")) == 1
    assert len(parts(only_point, "polygon")) == 1


def test_a_ruler_names_its_ticks_with_signs_and_units() -> None:
    def texts(axis: plots.Axis, unit: str = "") -> list[str | None]:
        return [element.text for element in drawn(plots.ruler(axis, unit=unit)).iter("text")]

    assert texts(plots.difference_axis([0.1])) == ["−0.10", "−0.05", "0.00", "+0.05", "+0.10"]
    assert texts(plots.value_axis([0.8])) == ["0.0", "0.2", "0.4", "0.6", "0.8"]
    assert texts(plots.log_axis([1, 90]), " ms") == ["1 ms", "10 ms", "100 ms"]
    assert texts(plots.difference_axis([0.0004])) == ["−0.0004", "−0.0002", "0.0000", "+0.0002", "+0.0004"]
    assert texts(plots.Axis(0.0, 1.0, ())) == []


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
    picture = plots.movement([0.5, -0.25, 0.0], label="x", width=300, height=104)
    assert [(bar["class"].split()[0], bar["x"], bar["y"], bar["height"]) for bar in parts(picture, "rect")] == [
        ("hh-fig-better", "0.0", "4.0", "48.0"), ("hh-fig-worse", "200.0", "52.0", "24.0"),
    ]  # fmt: skip
    assert plots.movement([], label="x") == plots.movement([0.3], label="x") == ""
    assert parts(plots.movement([0.0, 0.0], label="x"), "rect") == []
    many = plots.movement([index / 10_000 - 0.5 for index in range(10_000)], label="x")
    assert len(parts(many, "rect")) <= 320
    assert len(many) < 50_000


def test_a_mover_is_a_bar_from_zero() -> None:
    axis = plots.Axis(-1.0, 1.0, (), width=116.0)
    assert (parts(plots.mover(-0.5, axis=axis), "rect")[0]["x"], plots.mover(None, axis=axis)) == ("33.0", "")
    assert parts(plots.mover(0.0, axis=axis), "rect") == []
    assert 'aria-hidden="true"' in plots.mover(0.5, axis=axis)


def test_better_is_right_on_a_turned_axis() -> None:
    plain = plots.Axis(-1.0, 1.0, (-1.0, 0.0, 1.0), width=116.0)
    turned = plots.Axis(-1.0, 1.0, (-1.0, 0.0, 1.0), width=116.0, is_turned=True)

    assert [plain.at(value) for value in (-1, 0, 1)] == [8.0, 58.0, 108.0]
    assert [turned.at(value) for value in (-1, 0, 1)] == [108.0, 58.0, 8.0]
    picture = plots.interval(-0.5, -0.8, -0.2, axis=turned, verdict="better", label="x", margin=0.1)
    assert parts(picture, "rect")[0]["x"] == "53.0"
    assert float(parts(picture, "rect")[0]["width"]) == 10.0
    assert parts(picture, "polygon")[0]["points"].split(" ")[1].startswith("83.0,")


def test_a_ruler_for_rows_that_read_it_both_ways_has_no_signs() -> None:
    axis = plots.difference_axis([0.1], width=200)

    assert [text.text for text in drawn(plots.ruler(axis, is_signed=False)).iter("text")].count("0.05") == 2
    assert "−" not in plots.ruler(axis, is_signed=False)
    assert "−" in plots.ruler(axis)
