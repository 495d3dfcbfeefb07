"""A span that stands for its session becomes the session's own event."""

import uuid

import orjson

from experiments.domain.event_row import combine_all, stub
from experiments.domain.spans import SESSION_MARK, Translator
from experiments.sdk.transport import records
from tests.experiments.domain.test_spans import SESSION, START, event_of, make_span

KEY = uuid.UUID(SESSION)
MARKED = {SESSION_MARK: True, "honeyhive_event_type": "session", "honeyhive.source": "evaluation"}


def test_a_marked_span_is_the_session_with_every_bucket_and_nothing_of_the_wire() -> None:
    buckets = {
        "inputs": {"q": "a", "list": [1, {"b": None}]},
        "outputs": {"answer": "A"},
        "metadata": {"run_id": "r", "dataset_id": "EXT-1", "datapoint_id": "EXT-2", "instrumentor": "mine"},
        "feedback": {"ground_truth": {"a": "A"}},
        "metrics": {"exact": True, "score": 0.1},
        "user_properties": {"uid": "u"},
    }
    event = event_of(
        {
            **MARKED,
            **{f"honeyhive_{name}": orjson.dumps(value).decode() for name, value in buckets.items()},
            "honeyhive_event_name": "my run",
            "honeyhive_error": "ValueError: boom",
        },
        service="tests",
    )

    assert event.is_session
    assert (event.event_key, event.session_key, event.parent_key, event.event_type) == (KEY, KEY, None, "session")
    assert (event.event_name, event.source, event.error) == ("my run", "evaluation", "ValueError: boom")
    assert (event.start_time, event.duration, event.is_stub) == (START / 1e6, 7.97, False)
    metadata = {**buckets.pop("metadata"), "source": "evaluation"}
    assert event.metadata == metadata
    assert {name: getattr(event, name) for name in buckets} == buckets


def test_only_true_marks_and_the_mark_never_stays_in_the_metadata() -> None:
    for value in (False, "true", 1, None):
        event = event_of({SESSION_MARK: value, "honeyhive_event_type": "session"})
        assert not event.is_session
        assert event.metadata["has_otlp_lineage"] is True
        assert SESSION_MARK not in event.metadata


def test_a_marked_span_keeps_the_session_s_id_whatever_else_it_states() -> None:
    event = event_of(
        {**MARKED, "honeyhive_event_id": str(uuid.UUID(int=5)), "honeyhive.parent_id": str(uuid.UUID(int=6))},
        parent_span_id="00000000000000aa",
    )
    assert (event.event_key, event.parent_key, event.span_key) == (KEY, None, event_of().event_key)
    of_text = event_of({**MARKED, "honeyhive.session_id": "my session"})
    assert of_text.is_session
    assert of_text.metadata == {"honeyhive.session_id": "my session", "source": "evaluation"}


def test_spans_of_other_instrumentors_on_the_session_do_not_change_its_type() -> None:
    event = event_of({SESSION_MARK: True, "gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
    assert (event.event_type, event.config) == ("session", {"model": "m"})


def test_a_marked_span_fills_the_stub_that_its_own_body_makes() -> None:
    named = make_span({"honeyhive.session_name": "by a span"}, span_id="0" * 15 + "1")
    marked = make_span({**MARKED, "honeyhive_event_name": "real", "honeyhive.session_name": "by itself"})
    for spans in ([named, marked], [marked, named]):
        rows = combine_all([stub(KEY, start_time=1.0), *Translator().rows(spans)])
        (session,) = [row for row in rows if row.is_session]
        assert (len(rows), session.event_name, session.is_stub) == (2, "real", False)
        assert session.start_time == START / 1e6


def test_client_and_server_mean_the_same_mark() -> None:
    assert records.SESSION_MARK == SESSION_MARK
