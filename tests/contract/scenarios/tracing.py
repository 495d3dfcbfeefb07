"""A tracer with nested spans, enrichment of spans and sessions, an error, and a second tracer in the same session.

First argument: `batch` or `single`, for the tracer's `disable_batch`.
"""

import asyncio
import contextlib
import sys
import uuid

from honeyhive import HoneyHive, HoneyHiveTracer, enrich_span, trace
from shared import events_of, show

single = sys.argv[1] == "single"
tracer = HoneyHiveTracer.init(session_name="a conversation", source="contract", disable_batch=single)
chosen_event_id = str(uuid.uuid4())


@trace(event_type="model", event_name="answer", tracer=tracer)
def answer(question, options):
    enrich_span(
        metadata={"a": {"b": [1, 2]}, "label": "x"},
        metrics={"quality": 0.5, "ok": True, "tokens": 12, "grade": "good"},
        feedback={"rating": 5},
        config={"model": "none", "temperature": 0.5},
        user_properties={"uid": "u1"},
        tracer=tracer,
    )
    return {"role": "assistant", "parts": [1, {"q": 3}]}


@trace(event_type="tool", event_name="lookup", tracer=tracer)
def lookup(key):
    enrich_span(update_event_id=chosen_event_id, tracer=tracer)
    return [key, 1.5, True]


@trace(event_type="chain", event_name="conversation", tracer=tracer)
async def converse():
    lookup("present")
    answer("why?", {"short": True, "tags": ["a", "b"]})
    return "done"


def main():
    asyncio.run(converse())
    with contextlib.suppress(KeyError):
        lookup_absent()
    tracer.enrich_session(metadata={"one": 1}, metrics={"score": 0.25}, feedback={"rating": 3})
    tracer.enrich_session(metadata={"two": 2}, outputs={"said": "bye"}, user_properties={"plan": "free"})
    tracer.enrich_session(inputs={"topic": "tests"})
    tracer.force_flush()
    enrich_span(event_id=chosen_event_id, metrics={"later": 7}, tracer=tracer)
    again = HoneyHiveTracer.init(session_id=tracer.session_id, source="contract", disable_batch=single)
    trace(event_type="tool", event_name="second_tracer", tracer=again)(lambda: "joined")()
    again.force_flush()
    client = HoneyHive()
    show(
        session_id=tracer.session_id,
        second_session_id=again.session_id,
        chosen_event_id=chosen_event_id,
        events=events_of(client, "session_id", tracer.session_id),
    )


@trace(event_type="tool", event_name="failing", tracer=tracer)
def lookup_absent():
    raise KeyError("absent")


main()
