"""The bulk writer: merging, measurements, run ids, sessions, counts, and what one write may cost."""

import itertools
import uuid

import pytest

from experiments.domain.event_row import EventRow, stub
from experiments.models import Event, Measurement, RunRevision
from experiments.services.event_writer import bump_revisions, inherit_run_ids, store_events, sync_measurements
from governance.domain.errors import Forbidden, QuotaExceeded
from governance.models import IngestionCount, Quota
from governance.services import ingestion_quota

pytestmark = pytest.mark.django_db

SESSION = uuid.UUID(int=900)
BUCKETS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")


def make_row(number: int = 1, **fields) -> EventRow:
    values = {
        "event_key": uuid.UUID(int=number),
        "session_key": SESSION,
        "parent_key": fields.get("session_key", SESSION),
        "event_type": "tool",
        "event_name": f"event {number}",
        "source": "tests",
        "start_time": 1000.0 + number,
        "end_time": 1010.0 + number,
        "duration": 10.0,
    }
    return EventRow(**{**values, **fields})


def make_session(**fields) -> EventRow:
    values = {"event_key": SESSION, "parent_key": None, "event_type": "session", "event_name": "a session"}
    return make_row(900, **{**values, "start_time": 990.0, "end_time": 990.0, "duration": 0.0, **fields})


def stored(project) -> dict[int, dict]:
    """Every column a client can see, by the number in the event's id."""
    hidden = {"id", "project_id", "created_at", "updated_at", "event_key"}
    rows = Event.objects.filter(project=project).values()
    return {row["event_key"].int: {name: value for name, value in row.items() if name not in hidden} for row in rows}


def measurements(project) -> set[tuple]:
    rows = Measurement.objects.filter(project=project)
    return {(m.event_key.int, m.name, m.value, m.is_boolean, m.run_key, m.event_name, m.event_type) for m in rows}


def revision(project, run_key: str) -> int:
    return sum(RunRevision.objects.filter(project=project, run_key=run_key).values_list("revision", flat=True))


def test_an_event_is_stored_with_every_field(caller, project) -> None:
    row = make_row(
        inputs={"a": {"b": [1, 2.5, True, None, "x"]}},
        outputs={"o": 1},
        config={"c": "d"},
        metadata={"run_id": "r", "dataset_id": "ds", "datapoint_id": "dp"},
        metrics={"m": 0.5},
        feedback={"rating": 5},
        user_properties={"u": "é😀"},
        children_ids=["x"],
        error="broken",
        client_timestamp=7,
    )

    store_events(caller=caller, rows=[make_session(), row])

    found = stored(project)[1]
    assert {name: found[name] for name in BUCKETS} == {name: getattr(row, name) for name in BUCKETS}
    assert (found["run_key"], found["dataset_key"], found["datapoint_key"]) == ("r", "ds", "dp")
    assert (found["session_key"], found["parent_key"], found["span_key"]) == (SESSION, SESSION, None)
    assert (found["event_type"], found["event_name"], found["source"]) == ("tool", "event 1", "tests")
    assert (found["start_time"], found["end_time"], found["duration"]) == (1001.0, 1011.0, 10.0)
    assert (found["children_ids"], found["error"], found["client_timestamp"]) == (["x"], "broken", 7)
    assert found["is_stub"] is False


def test_numbers_and_booleans_are_measured_and_nothing_else(caller, project) -> None:
    metrics = {"f": 0.5, "i": 3, "yes": True, "text": "x", "nested": {"a": 1}, "none": None, "n" * 256: 1, "b": 2**63}
    store_events(caller=caller, rows=[make_row(metrics=metrics, metadata={"run_id": "r"})])

    assert measurements(project) == {
        (1, "f", 0.5, False, "r", "event 1", "tool"),
        (1, "i", 3.0, False, "r", "event 1", "tool"),
        (1, "yes", 1.0, True, "r", "event 1", "tool"),
        (1, "b", float(2**63), False, "r", "event 1", "tool"),
    }
    assert stored(project)[1]["metrics"] == metrics

    before = measurements(project)
    sync_measurements(project_id=project.pk, event_keys=[uuid.UUID(int=1)])
    assert measurements(project) == before


def test_a_repeated_batch_changes_nothing_and_is_counted_once(caller, project) -> None:
    rows = [make_session(), *(make_row(n, metrics={"m": n}) for n in range(1, 6))]
    store_events(caller=caller, rows=rows)
    before, measured = stored(project), measurements(project)

    store_events(caller=caller, rows=[make_session(), *(make_row(n, metrics={"m": n}) for n in range(1, 6))])

    assert stored(project) == before
    assert measurements(project) == measured
    assert sum(IngestionCount.objects.values_list("events", flat=True)) == 6


def test_stored_keys_win_over_a_span_sent_again(caller, project) -> None:
    store_events(caller=caller, rows=[make_row(metadata={"a": 1, "b": {"x": 1}}, metrics={"m": 1})])
    late = make_row(
        metadata={"a": 2, "b": {"y": 2}, "c": 3}, metrics={"m": 5, "n": 6}, event_name="other", error="late"
    )
    store_events(caller=caller, rows=[late])

    found = stored(project)[1]
    assert found["metadata"] == {"a": 1, "b": {"x": 1}, "c": 3}
    assert (found["event_name"], found["error"]) == ("event 1", "late")
    assert {(name, value) for _, name, value, *_ in measurements(project)} == {("m", 1.0), ("n", 6.0)}


def test_the_same_event_twice_in_one_batch_is_one_event(caller, project) -> None:
    store_events(caller=caller, rows=[make_row(metadata={"a": 1}), make_row(metadata={"a": 2, "b": 3}), make_row(2)])

    assert stored(project)[1]["metadata"] == {"a": 1, "b": 3}
    assert set(stored(project)) == {1, 2, 900}


def test_an_unknown_session_is_made_and_filled_by_its_start(caller, project) -> None:
    store_events(caller=caller, rows=[make_row(2), make_row(1)])
    made = stored(project)[900]
    assert (made["event_type"], made["event_name"], made["is_stub"]) == ("session", "session", True)
    assert (made["start_time"], made["parent_key"], made["source"]) == (1001.0, None, "tests")

    store_events(caller=caller, rows=[make_session(metadata={"run_id": "r"}, inputs={"q": 1})])
    filled = stored(project)[900]
    assert (filled["event_name"], filled["is_stub"], filled["start_time"]) == ("a session", False, 990.0)
    assert filled["inputs"] == {"q": 1}


def test_an_earlier_event_moves_the_start_of_a_session_nobody_started(caller, project) -> None:
    store_events(caller=caller, rows=[make_row(5)])
    store_events(caller=caller, rows=[make_row(2)])
    store_events(caller=caller, rows=[make_row(7)])

    assert (stored(project)[900]["start_time"], stored(project)[900]["end_time"]) == (1002.0, 1002.0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_events_take_the_run_ids_of_their_session_in_either_order(caller, project, order) -> None:
    writes = [
        [make_session(metadata={"run_id": "r", "dataset_id": "ds", "datapoint_id": "dp"})],
        [make_row(1, metrics={"m": 1}), make_row(2, metrics={"m": 2}, metadata={"run_id": "own", "k": 1})],
    ]
    for index in order:
        store_events(caller=caller, rows=writes[index])

    found = stored(project)
    assert found[1]["metadata"] == {"run_id": "r", "dataset_id": "ds", "datapoint_id": "dp"}
    assert (found[1]["run_key"], found[1]["dataset_key"], found[1]["datapoint_key"]) == ("r", "ds", "dp")
    assert found[2]["metadata"] == {"run_id": "own", "dataset_id": "ds", "datapoint_id": "dp", "k": 1}
    assert found[2]["run_key"] == "own"
    assert {(key, run) for key, _, _, _, run, *_ in measurements(project)} == {(1, "r"), (2, "own")}
    assert revision(project, "r") >= 1
    assert revision(project, "own") >= 1


def test_run_ids_put_on_a_session_reach_its_events(caller, project) -> None:
    store_events(caller=caller, rows=[make_session(), make_row(1, metrics={"m": 1})])
    Event.objects.filter(event_key=SESSION).update(metadata={"run_id": "r"}, run_key="r")

    assert inherit_run_ids(project_id=project.pk, session_keys=[SESSION]) == {"r"}
    assert inherit_run_ids(project_id=project.pk, session_keys=[SESSION]) == set()
    assert stored(project)[1]["metadata"] == {"run_id": "r"}
    assert [run for *_, run, _, _ in measurements(project)] == ["r"]


PARENT = uuid.UUID(int=77)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_children_find_a_parent_that_chose_its_own_id(caller, project, order, together) -> None:
    rows = [make_row(1, span_key=PARENT), make_row(2, parent_key=PARENT)]
    if together:
        store_events(caller=caller, rows=[rows[index] for index in order])
    else:
        for index in order:
            store_events(caller=caller, rows=[rows[index]])

    assert stored(project)[2]["parent_key"] == uuid.UUID(int=1)


def test_a_stub_keeps_what_an_update_gave_it_when_the_span_fills_it(caller, project) -> None:
    store_events(caller=caller, rows=[stub(uuid.UUID(int=1), start_time=5.0)])
    Event.objects.filter(event_key=uuid.UUID(int=1)).update(metrics={"m": 2}, duration=99.0, error="said")
    sync_measurements(project_id=project.pk, event_keys=[uuid.UUID(int=1)])
    store_events(caller=caller, rows=[make_session(metadata={"run_id": "r"}), make_row(metrics={"m": 1, "n": 1})])

    found = stored(project)[1]
    assert (found["start_time"], found["end_time"], found["duration"], found["error"]) == (1001.0, 1100.0, 99.0, "said")
    assert (found["session_key"], found["event_type"], found["is_stub"]) == (SESSION, "tool", False)
    assert found["metrics"] == {"m": 2, "n": 1}
    assert measurements(project) == {
        (1, "m", 2.0, False, "r", "event 1", "tool"),
        (1, "n", 1.0, False, "r", "event 1", "tool"),
    }


def test_the_order_of_arrival_does_not_matter(caller, project) -> None:
    def writes() -> list[list[EventRow]]:
        return [
            [make_session(metadata={"run_id": "r"}, inputs={"q": 1})],
            [make_row(1, span_key=PARENT, metrics={"m": 1})],
            [make_row(2, parent_key=PARENT, metrics={"n": True}, start_time=900.0)],
            [make_row(1, span_key=PARENT, metrics={"m": 1})],
        ]

    outcomes = []
    for order in itertools.permutations(range(4)):
        Event.objects.all().delete()
        Measurement.objects.all().delete()
        sent = writes()
        for index in order:
            store_events(caller=caller, rows=sent[index])
        outcomes.append((stored(project), measurements(project)))

    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_two_projects_keep_the_same_ids_apart(caller, project) -> None:
    from governance.services.projects import system_caller
    from tests.factories import make_project

    other = make_project()
    for who in (caller, system_caller(other)):
        store_events(caller=who, rows=[make_row(1, metadata={"of": who.project_name})])

    assert stored(project)[1]["metadata"] == {"of": project.name}
    assert stored(other)[1]["metadata"] == {"of": other.name}


def test_text_that_databases_cannot_hold_is_replaced(caller, project) -> None:
    row = make_row(
        inputs={"a\x00b": "c\x00", "lone": "\ud800x", "six": "\\u0000", "huge": 2**70},
        event_name="n\x00",
        metrics={"m\x00": 1},
        error="\udfff",
    )
    store_events(caller=caller, rows=[row])

    found = stored(project)[1]
    assert found["inputs"] == {"a\ufffdb": "c\ufffd", "lone": "\ufffdx", "six": "\\u0000", "huge": str(2**70)}
    assert (found["event_name"], found["error"]) == ("n\ufffd", "\ufffd")
    assert {name for _, name, *_ in measurements(project)} == {"m\ufffd"}


def test_a_refused_quota_stores_and_counts_nothing(caller, project) -> None:
    Quota.objects.filter(project=project, resource="events").update(ceiling=2)
    with pytest.raises(QuotaExceeded):
        store_events(caller=caller, rows=[make_row(n) for n in range(1, 4)])

    assert stored(project) == {}
    assert not IngestionCount.objects.exists()


def test_quota_is_given_back_when_nothing_is_stored(caller, project, monkeypatch) -> None:
    returned = []
    monkeypatch.setattr(ingestion_quota, "put_back", lambda *, project_id, events: returned.append(events))
    with pytest.raises(Exception, match="event_type"):
        store_events(caller=caller, rows=[make_row(1, event_type="nonsense"), make_row(2)])
    assert returned == [2]


def test_writing_needs_the_right_to(project, caller) -> None:
    import dataclasses

    with pytest.raises(Forbidden):
        store_events(caller=dataclasses.replace(caller, allowed=frozenset()), rows=[make_row()])
    assert stored(project) == {}


def test_revisions_count_every_transaction_that_touches_a_run(caller, project) -> None:
    store_events(caller=caller, rows=[make_row(n, metadata={"run_id": f"r{n % 2}"}) for n in range(1, 5)])
    store_events(caller=caller, rows=[make_row(9, metadata={"run_id": "r1"})])
    bump_revisions(project_id=project.pk, run_keys=["r1", None])

    assert (revision(project, "r0"), revision(project, "r1")) == (1, 3)


def test_rejected_spans_are_counted_without_events(caller, project) -> None:
    store_events(caller=caller, rows=[], rejected=3)

    assert list(IngestionCount.objects.values_list("requests", "events", "rejected")) == [(1, 0, 3)]


def test_the_number_of_statements_does_not_grow_with_rows(caller, project, django_assert_num_queries, settings) -> None:
    from django.db import connection

    store_events(caller=caller, rows=[make_row(1000)])  # quota, sessions known from here on
    # savepoint and its release; sessions locked; parents; events; the end: measurements, count, revision
    expected = 6
    if connection.vendor == "sqlite":
        expected += 3  # looks for known events first, and ends with three statements
    for size in (1, 300):
        session = uuid.UUID(int=10_000 * size)
        rows = [
            make_row(
                session.int + n,
                session_key=session,
                parent_key=uuid.UUID(int=n),
                metrics={"m": n},
                metadata={"run_id": "r"},
            )
            for n in range(1, size + 1)
        ]
        with django_assert_num_queries(expected):
            store_events(caller=caller, rows=rows)


def stub_of(number: int, **fields) -> EventRow:
    made = stub(uuid.UUID(int=number), start_time=2000.0)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


PAIRS = {
    "stub then span": lambda: [stub_of(1, metrics={"m": 2}), make_row(1, metrics={"m": 1, "n": 1})],
    "stub with a duration": lambda: [stub_of(1, duration=99.0), make_row(1)],
    "stub with an end": lambda: [stub_of(1, end_time=5000.0), make_row(1)],
    "stub that ended before it began": lambda: [stub_of(1, end_time=5.0), make_row(1)],
    "stub with both": lambda: [stub_of(1, end_time=5000.0, duration=3.0), make_row(1)],
    "span then stub": lambda: [make_row(1, span_key=PARENT), stub_of(1, metadata={"run_id": "r"}, error="e")],
    "two stubs": lambda: [stub_of(1), stub_of(1, start_time=1500.0, end_time=1500.0, event_name="named")],
    "two stubs, the first ended": lambda: [stub_of(1, end_time=5000.0), stub_of(1, start_time=1500.0)],
    "two spans": lambda: [make_row(1, children_ids=["a"]), make_row(1, children_ids=["b"], client_timestamp=7)],
    "the second knows its span": lambda: [make_row(1), make_row(1, span_key=PARENT, children_ids=["c"])],
    "empty id, then one": lambda: [make_row(1, metadata={"run_id": None}), make_row(1, metadata={"run_id": "r"})],
}


@pytest.mark.parametrize("name", PAIRS)
def test_python_and_the_database_merge_alike(caller, project, name) -> None:
    store_events(caller=caller, rows=PAIRS[name]())
    together = stored(project), measurements(project)
    Event.objects.all().delete()
    Measurement.objects.all().delete()
    for row in PAIRS[name]():
        store_events(caller=caller, rows=[row])

    one_by_one = stored(project), measurements(project)
    # The session nobody started begins with the first event that arrived in it, which differs here on purpose.
    assert together[0][1] == one_by_one[0][1]
    assert together[1] == one_by_one[1]


class _Deadlock(Exception):
    sqlstate = "40P01"


@pytest.mark.parametrize(("failures", "succeeds"), [(1, True), (3, True), (4, False)])
def test_a_deadlock_is_tried_again(caller, project, monkeypatch, failures, succeeds) -> None:
    from django.db import OperationalError

    from experiments.services import event_writer

    left = [failures]
    write = event_writer.write_events

    def flaky(**arguments):
        new = write(**arguments)
        if left[0]:
            left[0] -= 1
            raise OperationalError("deadlock detected") from _Deadlock()
        return new

    monkeypatch.setattr(event_writer, "write_events", flaky)
    if succeeds:
        store_events(caller=caller, rows=[make_row()])
        assert sum(IngestionCount.objects.values_list("events", flat=True)) == 1
    else:
        with pytest.raises(OperationalError):
            store_events(caller=caller, rows=[make_row()])
        assert stored(project) == {}


def test_what_the_database_cannot_hold_is_bad_input(caller, project, monkeypatch) -> None:
    from django.db import DataError

    from experiments.services import event_writer
    from governance.domain.errors import InvalidInput

    def too_much(**arguments):
        raise DataError("value too long")

    monkeypatch.setattr(event_writer, "write_events", too_much)
    with pytest.raises(InvalidInput, match="value too long"):
        store_events(caller=caller, rows=[make_row()])


@pytest.mark.postgres_only
def test_a_batch_too_large_for_one_parameter_takes_more_statements(caller, project, monkeypatch) -> None:
    from experiments.services.event_statements import postgres

    monkeypatch.setattr(postgres, "MAX_PAYLOAD", 1000)
    store_events(caller=caller, rows=[make_row(n) for n in range(1, 20)])
    store_events(caller=caller, rows=[make_row(n, metadata={"a": 1}) for n in range(1, 20)])

    assert len(stored(project)) == 20
    assert all(event["metadata"] == {"a": 1} for number, event in stored(project).items() if number < 900)


def test_anything_storable_survives_being_made_storable() -> None:
    from experiments.domain.event_row import id_text, storable

    deep: list = []
    for _ in range(300):
        deep = [deep]
    assert "nested too deeply" in str(storable(deep))
    assert storable({"a": (1, None, True, 1.5)}) == {"a": [1, None, True, 1.5]}
    assert (id_text(5), id_text(True), id_text(""), id_text("x" * 256), id_text([])) == ("5", None, None, None, None)


def test_a_session_made_meanwhile_by_another_request_is_not_overlooked(caller, project, monkeypatch) -> None:
    from experiments.services.event_statements import statements

    store_events(caller=caller, rows=[make_session(metadata={"run_id": "r"}), make_row(1, span_key=PARENT)])
    # As if that had been committed between this request's look at the sessions and its write.
    monkeypatch.setattr(statements(), "lock_sessions", lambda *arguments, **options: {})
    finder = statements().find_by_span
    looks = []
    monkeypatch.setattr(
        statements(), "find_by_span", lambda *arguments: looks.append(1) or (finder(*arguments) if looks[1:] else {})
    )
    store_events(caller=caller, rows=[make_row(2, parent_key=PARENT, metrics={"m": 1})])

    found = stored(project)
    assert found[2]["metadata"] == {"run_id": "r"}
    assert found[2]["parent_key"] == uuid.UUID(int=1)
    assert measurements(project) == {(2, "m", 1.0, False, "r", "event 2", "tool")}
    assert revision(project, "r") == 2
    assert found[900]["event_name"] == "a session"
