"""Pictures of A/B tests: golden coordinates, undefined values, few and many rows, names that are markup."""

import re
from xml.etree import ElementTree

from embeddings_ab.domain import charts
from governance.domain import figures, plots


def drawn(picture: str) -> ElementTree.Element:
    """The picture as XML: what is not well-formed fails here."""
    return ElementTree.fromstring(picture)


def parts(picture: str, tag: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in drawn(picture).iter(tag)]


def test_bounds_are_a_pale_bar_and_percentiles_a_line_with_a_tick() -> None:
    axis = plots.Axis(0.0, 1.0, (0.0, 1.0), width=116.0)
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
    axis = plots.difference_axis([0.1])
    every = [
        plots.interval(0.1, 0.0, 0.2, axis=axis, verdict="better", label="x"), plots.ruler(axis),
        figures.stacked([("better", 1)], whole=1, label="x"), plots.movement([0.1, 0.2], label="x"),
        charts.front([("a", 1, 0.5, 1), ("b", 2, 0.6, 2)], label="x", across="a", up="b")[0],
    ]  # fmt: skip
    for picture in every:
        assert not re.search(r"style=|<script|href|fill=|stroke=", picture)
