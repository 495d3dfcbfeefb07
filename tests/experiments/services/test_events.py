"""Concurrent updates and starts, with real threads and real transactions."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from experiments.domain.event_merge import event_update
from experiments.domain.wire_events import EventBody, SessionBody
from experiments.models import Event, Measurement, RunRevision
from experiments.services.events import create_events, update_event
from experiments.services.sessions import delete_session, start_session
from governance.domain.errors import Forbidden, NotFound
from governance.services.projects import system_caller
from tests.factories import make_project

THREADS = 6


def together(work) -> list:
    """`work(n)` in several threads that start at the same moment."""
    gate = threading.Barrier(THREADS)

    def run(n):
        gate.wait(timeout=10)
        try:
            return work(n)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.fixture
def committed_caller(transactional_db):
    return system_caller(make_project())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [True, False], ids=["stored", "unknown"])
def test_concurrent_updates_lose_no_key(committed_caller, known) -> None:
    key = uuid.uuid4()
    if known:
        create_events(caller=committed_caller, events=[EventBody(event_type="tool", inputs={}, event_id=key)])

    def update(n):
        for step in range(4):
            given = {"metadata": {"run_id": "r", f"k{n}.{step}": n}, "metrics": {f"m{n}.{step}": n}}
            update_event(caller=committed_caller, event_key=key, update=event_update(given))

    together(update)

    event = Event.objects.get(event_key=key)
    expected = {f"{n}.{step}" for n in range(THREADS) for step in range(4)}
    assert {name[1:] for name in event.metadata if name.startswith("k")} == expected
    assert {name[1:] for name in event.metrics} == expected
    assert {name[1:] for name in Measurement.objects.values_list("name", flat=True)} == expected
    assert sum(RunRevision.objects.filter(run_key="r").values_list("revision", flat=True)) >= THREADS * 4


@pytest.mark.django_db(transaction=True)
def test_sessions_and_their_events_started_at_once_are_one_session(committed_caller) -> None:
    key = uuid.uuid4()

    def work(n):
        if n % 2:
            start_session(
                caller=committed_caller, session=SessionBody(session_id=key, metadata={"run_id": "r", f"k{n}": n})
            )
        else:
            event = EventBody(event_type="tool", inputs={}, session_id=key, metrics={"m": n})
            create_events(caller=committed_caller, events=[event])
            update_event(caller=committed_caller, event_key=key, update=event_update({"outputs": {f"o{n}": n}}))

    together(work)

    session = Event.objects.get(event_key=key)
    assert session.is_stub is False
    assert set(session.outputs) == {"o0", "o2", "o4"}
    assert {"run_id", "k1", "k3", "k5"} <= set(session.metadata)
    assert Event.objects.filter(session_key=key, run_key="r").count() == 4
    assert Measurement.objects.filter(run_key="r").count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_session_is_deleted_once(committed_caller) -> None:
    key = uuid.uuid4()
    start_session(caller=committed_caller, session=SessionBody(session_id=key))

    def delete(n):
        try:
            return delete_session(caller=committed_caller, session_id=str(key))
        except NotFound:
            return 0

    assert sorted(together(delete)) == [0] * (THREADS - 1) + [1]
    assert Event.objects.count() == 0


def test_without_the_right_nothing_is_written(project) -> None:
    reader = system_caller(project)
    object.__setattr__(reader, "allowed", frozenset())
    key = uuid.uuid4()

    for work in (
        lambda: start_session(caller=reader, session=SessionBody(session_id=key)),
        lambda: create_events(caller=reader, events=[EventBody(event_type="tool", inputs={})]),
        lambda: update_event(caller=reader, event_key=key, update=event_update({"metadata": {"a": 1}})),
        lambda: delete_session(caller=reader, session_id=str(key)),
    ):
        with pytest.raises(Forbidden):
            work()

    assert Event.objects.count() == 0
