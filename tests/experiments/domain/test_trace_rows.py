"""Order of a waterfall's rows."""

from dataclasses import dataclass

from experiments.domain.trace_rows import trace_rows


@dataclass
class Span:
    event_key: str
    parent_key: str | None
    start_time: float = 0
    end_time: float = 1
    span_key: str | None = None


def test_parents_come_before_children_in_order_of_time() -> None:
    spans = [Span("c", "a", 5), Span("b", "a", 2), Span("d", "b", 1), Span("a", None, 0)]

    rows = trace_rows(spans)

    assert [(row.event.event_key, row.depth, row.starts_early) for row in rows] == [
        ("a", 0, False),
        ("b", 1, False),
        ("d", 2, True),
        ("c", 1, False),
    ]


def test_missing_parents_make_orphans_at_the_end_and_span_ids_link() -> None:
    spans = [Span("x", "gone", 0), Span("y", "x", 1), Span("a", None, 3, span_key="s"), Span("z", "s", 4)]

    rows = trace_rows(spans)

    assert [(row.event.event_key, row.depth, row.is_orphan) for row in rows] == [
        ("a", 0, False),
        ("z", 1, False),
        ("x", 0, True),
        ("y", 1, False),
    ]


def test_circles_are_cut_and_every_event_stays() -> None:
    rows = trace_rows([Span("a", "b"), Span("b", "a"), Span("self", "self")])

    assert sorted(row.event.event_key for row in rows) == ["a", "b", "self"]


def test_deep_traces_need_no_recursion() -> None:
    spans = [Span(str(i), str(i - 1) if i else None, i) for i in range(5000)]

    rows = trace_rows(spans)

    assert rows[-1].depth == 4999
    assert rows[-1].indent == 8
    assert trace_rows([]) == []
