"""Tracers: spans, isolation, enrichment, threads, tasks, instrumentors; OpenTelemetry's globals stay untouched."""

import asyncio
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from opentelemetry import trace as otel
from opentelemetry.context import get_current

from experiments import Tracer, enrich_session, enrich_span, propagate, trace
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.tracing.current import current_tracer
from experiments.sdk.tracing.otlp import any_value
from experiments.sdk.tracing.provider import SeededIds
from experiments.sdk.tracing.routing import RoutingProvider, instrumented
from experiments.sdk.tracing.tracer import MAX_WAITING
from tests.experiments.sdk.fault_server import FaultServer

IDS = {"run_id": "r", "dataset_id": "EXT-d", "datapoint_id": "EXT-1"}


@pytest.fixture
def delivered():
    """What tracers handed over, in order."""
    return []


@pytest.fixture
def tracer(delivered):
    """A tracer of an experiment with an open root span."""
    made = Tracer(is_evaluation=True, session_id="s", deliver=delivered.append, inputs={"q": 1}, **IDS)
    made.root = made.start_span("task", event_type="chain", is_root=True)
    return made


def ended(tracer, delivered):
    """Spans by name, after the root ended and the session was handed over."""
    tracer.root.end()
    tracer.deliver()
    return {span["name"]: span for finished in delivered for span in finished.spans}


def attributes(span):
    """Plain values of a span's attributes; whole buckets decoded."""
    found = {}
    for item in span["attributes"]:
        (value,) = item["value"].values()
        if item["key"].startswith("honeyhive_") and isinstance(value, str) and value[:1] == "{":
            value = orjson.loads(value)
        found[item["key"]] = value
    return found


@trace(event_type="model", metadata={"version": 2})
def double(x, tracer=None):
    enrich_span(metrics={"size": 1.5}, config={"m": {"t": 0.1}}, note="added")
    return x * 2


@trace
async def later(x):
    await asyncio.sleep(0)
    return double(x)


@trace(event_name="stream")
def stream(n):
    yield from range(n)


@trace
async def astream(n):
    for item in range(n):
        yield item


def test_every_event_carries_the_four_ids_and_its_session(tracer, delivered):
    with tracer.active(tracer.root):
        assert double(4) == 8
        with otel.get_tracer_provider().get_tracer("theirs").start_as_current_span("of another provider"):
            double(5)
    spans = ended(tracer, delivered)
    assert set(spans) == {"task", "double"}
    for span in [span for finished in delivered for span in finished.spans]:
        found = attributes(span)
        assert found["honeyhive.session_id"] == "s"
        assert found["honeyhive.source"] == "evaluation"
        assert {name: found[f"honeyhive_metadata.{name}"] for name in IDS} == IDS
        assert span["traceId"] == spans["task"]["traceId"]
    assert delivered[0].session["metadata"] == {**IDS, "source": "evaluation"}
    assert delivered[0].session["inputs"] == {"q": 1}
    assert delivered[0].spans[0]["name"] == "task"


def test_a_traced_call_is_a_span_with_inputs_outputs_and_what_was_added(tracer, delivered):
    with tracer.active(tracer.root):
        double(4, tracer="hidden")
    span = ended(tracer, delivered)["double"]
    found = attributes(span)
    assert found["honeyhive_event_type"] == "model"
    assert found["honeyhive_inputs"] == {"x": 4}
    assert found["honeyhive_outputs"] == {"result": 8}
    assert found["honeyhive_metrics"] == {"size": 1.5}
    assert found["honeyhive_config"] == {"m": {"t": 0.1}}
    assert found["honeyhive_metadata"] == {"version": 2, "note": "added"}
    assert span["parentSpanId"] == delivered[0].spans[0]["spanId"]
    assert delivered[0].spans[0]["parentSpanId"] is None


def test_spans_nest_across_tasks_threads_and_generators(tracer, delivered):
    @trace
    def outer():
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(propagate(double), [1, 2]))
        return list(stream(2))

    @trace
    async def gather():
        await asyncio.gather(later(1), later(2))
        return [item async for item in astream(2)]

    with tracer.active(tracer.root):
        outer()
        asyncio.run(gather())
    tracer.root.end()
    tracer.deliver()
    spans = delivered[0].spans
    by_id = {span["spanId"]: span["name"] for span in spans}
    parents = sorted((span["name"], by_id.get(span["parentSpanId"], "")) for span in spans)
    assert parents == [
        ("astream", "gather"),
        ("double", "later"),
        ("double", "later"),
        ("double", "outer"),
        ("double", "outer"),
        ("gather", "task"),
        ("later", "gather"),
        ("later", "gather"),
        ("outer", "task"),
        ("stream", "outer"),
        ("task", ""),
    ]
    streams = [attributes(span)["honeyhive_outputs"] for span in spans if span["name"].endswith("stream")]
    assert streams == [{"result": [0, 1]}] * 2


def test_a_thread_with_the_tracer_in_hand_finds_the_root(tracer, delivered):
    @trace(tracer=tracer)
    def work():
        return 1

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    spans = ended(tracer, delivered)
    assert spans["work"]["parentSpanId"] == spans["task"]["spanId"]


def test_exceptions_are_recorded_and_go_on(tracer, delivered):
    @trace
    def fail():
        raise KeyError("missing")

    @trace
    def fail_later():
        yield 1
        raise ValueError("late")

    with tracer.active(tracer.root):
        with pytest.raises(KeyError):
            fail()
        with pytest.raises(ValueError, match="late"):
            list(fail_later())
        unfinished = stream(5)
        next(unfinished)
        unfinished.close()
    spans = ended(tracer, delivered)
    assert attributes(spans["fail"])["honeyhive_error"] == "KeyError: 'missing'"
    assert spans["fail"]["status"] == {"code": "STATUS_CODE_ERROR", "message": "KeyError: 'missing'"}
    (event,) = spans["fail"]["events"]
    assert event["name"] == "exception"
    assert "Traceback" in attributes(event)["exception.stacktrace"]
    assert attributes(spans["fail_later"])["honeyhive_error"] == "ValueError: late"
    assert "honeyhive_error" not in attributes(spans["stream"])


def test_without_a_tracer_nothing_happens_and_nothing_breaks():
    assert double(2) == 4
    assert asyncio.run(later(2)) == 4
    assert list(stream(2)) == [0, 1]

    async def collect():
        return [item async for item in astream(2)]

    assert asyncio.run(collect()) == [0, 1]
    assert enrich_span(metrics={"a": 1}) is False
    assert enrich_session(metadata={"a": 1}) is False
    with pytest.raises(TypeError):
        double()


def test_sessions_and_single_spans_are_enriched(tracer, delivered):
    with tracer.active(tracer.root):
        assert enrich_session(metrics={"cost": 0.5}, user_properties={"u": 1}, feedback="good", plan="b")
        assert enrich_span(error="soft") is True
    assert enrich_span(tracer=tracer, metrics={"a": 1}) is False  # no span of it is current here
    spans = ended(tracer, delivered)
    session = delivered[0].session
    assert session["metrics"] == {"cost": 0.5}
    assert session["user_properties"] == {"u": 1}
    assert session["feedback"] == {"value": "good"}
    assert session["metadata"]["plan"] == "b"
    assert attributes(spans["task"])["honeyhive_error"] == "soft"


def test_the_ids_of_an_experiment_cannot_be_overwritten(tracer, delivered):
    others = {"run_id": "x", "datapoint_id": "y", "source": "web", "plan": "b"}
    with tracer.active(tracer.root):
        enrich_session(metadata=others, dataset_id="z")
        enrich_span(metadata=others)
        otel.get_current_span().set_attribute("honeyhive_metadata.run_id", "w")
        otel.get_current_span().set_attribute("honeyhive.session_id", "w")
    span = ended(tracer, delivered)["task"]
    own = {"own_run_id": "x", "own_datapoint_id": "y", "own_source": "web", "plan": "b"}
    assert delivered[0].session["metadata"] == {**IDS, "source": "evaluation", **own, "own_dataset_id": "z"}
    found = attributes(span)
    assert found["honeyhive_metadata"] == own
    assert {name: found[f"honeyhive_metadata.{name}"] for name in IDS} == IDS
    assert found["honeyhive.session_id"] == "s"


def test_concurrent_datapoints_never_see_each_other(delivered):
    def one(number):
        made = Tracer(is_evaluation=True, deliver=delivered.append, **{**IDS, "datapoint_id": f"EXT-{number}"})
        made.root = made.start_span("task", is_root=True)
        with made.active(made.root):
            for _ in range(20):
                double(number)
        made.root.end()
        made.deliver()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    assert len(delivered) == 40
    for finished in delivered:
        number = finished.session["metadata"]["datapoint_id"].removeprefix("EXT-")
        assert len(finished.spans) == 21
        assert {attributes(span)["honeyhive_metadata.datapoint_id"] for span in finished.spans} == {f"EXT-{number}"}
        assert {attributes(span).get("honeyhive_inputs", {}).get("x") for span in finished.spans[1:]} == {int(number)}
    assert current_tracer.get() is None


def test_a_span_that_ends_after_the_datapoint_is_delivered_too(tracer, delivered):
    late = tracer.start_span("late")
    tracer.root.end()
    tracer.deliver(error="E")
    late.end()
    assert [[span["name"] for span in finished.spans] for finished in delivered] == [["task"], ["late"]]
    assert [finished.session["error"] for finished in delivered] == ["E", "E"]


def test_the_same_execution_has_the_same_ids():
    first, second, other = SeededIds("a"), SeededIds("a"), SeededIds("b")
    ids = [first.generate_trace_id(), *(first.generate_span_id() for _ in range(3))]
    assert ids == [second.generate_trace_id(), *(second.generate_span_id() for _ in range(3))]
    assert len({*ids, other.generate_trace_id(), other.generate_span_id()}) == 6


def test_opentelemetrys_global_state_is_untouched(tracer, delivered, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    provider, context, filters = otel.get_tracer_provider(), get_current(), len(warnings.filters)
    with tracer.active(tracer.root):
        double(1)
    assert set(ended(tracer, delivered)) == {"task", "double"}
    assert otel.get_tracer_provider() is provider
    assert get_current() == context
    assert len(warnings.filters) == filters


class Library:
    """What an instrumentor patches."""

    def __init__(self):
        self.tracer = None

    def call(self):
        if self.tracer is not None:
            with self.tracer.start_as_current_span("llm", attributes={"gen_ai.system": "x"}):
                self.tracer.start_span("inner").end()


class Instrumentor:
    def __init__(self, library):
        self.library = library

    def instrument(self, tracer_provider):
        self.library.tracer = tracer_provider.get_tracer("openinference.instrumentation.library", "1")

    def uninstrument(self):
        self.library.tracer = None


def test_instrumentors_write_to_the_datapoint_in_whose_context_they_run(delivered):
    library = Library()

    def one(number):
        made = Tracer(is_evaluation=True, deliver=delivered.append, **{**IDS, "datapoint_id": f"EXT-{number}"})
        made.root = made.start_span("task", is_root=True)
        with made.active(made.root):
            library.call()
        made.root.end()
        made.deliver()

    with instrumented([lambda: Instrumentor(library)]):
        library.call()  # outside of every datapoint: nowhere
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(12)))
    assert library.tracer is None
    assert len(delivered) == 12
    for finished in delivered:
        names = {span["name"]: span for span in finished.spans}
        assert set(names) == {"task", "llm", "inner"}
        assert names["llm"]["parentSpanId"] == names["task"]["spanId"]
        assert names["inner"]["parentSpanId"] == names["llm"]["spanId"]
        assert names["llm"]["scope"] == "openinference.instrumentation.library"
        assert (
            attributes(names["llm"])["honeyhive_metadata.datapoint_id"]
            == (finished.session["metadata"]["datapoint_id"])
        )


def test_an_instrumentor_that_fails_is_named_and_the_others_are_switched_off(caplog):
    class Broken(Instrumentor):
        def instrument(self, tracer_provider):
            raise RuntimeError("wrong version")

    class Stuck(Instrumentor):
        def uninstrument(self):
            raise RuntimeError("stuck")

    library = Library()
    message = "Instrumentor Broken could not be switched on: wrong version"
    with pytest.raises(ConfigurationError, match=message), instrumented([Stuck(library), Broken(library)]):
        pass
    assert "Stuck could not be switched off: stuck" in caplog.text


def test_an_instrumentor_of_two_runs_stays_on_until_the_last_ends():
    library = Library()
    shared = Instrumentor(library)
    with instrumented([shared]):
        with instrumented([shared]):
            assert library.tracer is not None
        assert library.tracer is not None
    assert library.tracer is None


def test_an_instrumentor_that_the_user_had_on_is_left_alone(caplog):
    library = Library()
    theirs = Instrumentor(library)
    library.tracer = "the user's"
    theirs.is_instrumented_by_opentelemetry = True
    with instrumented([theirs]):
        assert library.tracer == "the user's"
    assert library.tracer == "the user's"
    assert "Instrumentor Instrumentor is on already" in caplog.text


def test_the_routing_provider_records_nothing_outside():
    span = RoutingProvider().get_tracer("x").start_span("nowhere")
    assert span.is_recording() is False


@pytest.mark.parametrize("missing", [*IDS, "source"])
def test_an_experiments_tracer_needs_all_four_ids(missing):
    values = {**IDS, "source": "evaluation", missing: " "}
    with pytest.raises(ConfigurationError, match=f"needs '{missing}' as a text"):
        Tracer(is_evaluation=True, deliver=print, **values)
    with pytest.raises(ConfigurationError, match=f"'{missing}' has 256 characters"):
        Tracer(is_evaluation=True, deliver=print, **{**values, missing: "x" * 256})


def test_unknown_event_types_and_keywords_are_refused():
    with pytest.raises(ValueError, match="event_type 'llm' is unknown; use one of model, tool, chain, session"):
        trace(event_type="llm")
    with pytest.raises(ValueError, match="@trace does not know colour"):
        trace(colour=1)


@pytest.fixture
def server():
    """A server that stores what it is sent."""
    with FaultServer() as running:
        yield running


def test_a_tracer_by_itself_sends_in_the_background_and_leaves_nothing(server):
    with Tracer(server_url=server.url, api_key="k", session_name="chat") as tracer:
        double(1)
        assert tracer.flush() is True
        for _ in range(600):
            double(2)
        tracer.enrich_session(feedback={"rating": 5})
        double(3)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("hhweb")] == []
    assert tracer.flush() is True
    spans = [span for span in server.spans.values() if span["name"] == "double"]
    assert len(spans) == 602
    assert len({span["traceId"] for span in spans}) == 1
    assert list(server.sessions) == [tracer.session_id]


def test_a_tracer_by_itself_says_when_the_server_is_away(caplog):
    with FaultServer() as gone:
        url = gone.url
    tracer = Tracer(server_url=url, api_key="k")
    for _ in range(MAX_WAITING + 200):
        with tracer.span("lost"):
            pass
    assert tracer.flush(0.2) is False
    tracer.shutdown()
    assert f"Session {tracer.session_id} was not stored whole" in caplog.text
    assert url in caplog.text
    assert caplog.text.count("events are dropped from now on") == 1
    assert re.search(r"\b\d\d+ events were dropped while the server was away", caplog.text)


def test_attributes_of_every_kind_keep_their_type(tracer, delivered):
    span = tracer.start_span("kinds")
    given = {"flag": True, "whole": 2**60, "real": 0.5, "text": "ä", "several": [1, 2], "texts": ("a", "b")}
    span.set_attributes(given)
    span.set_attribute("endless", float("inf"))
    span.end()
    values = {item["key"]: item["value"] for item in ended(tracer, delivered)["kinds"]["attributes"]}
    assert values["flag"] == {"boolValue": True}
    assert values["whole"] == {"intValue": str(2**60)}
    assert values["real"] == {"doubleValue": 0.5}
    assert values["text"] == {"stringValue": "ä"}
    assert values["several"] == {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}}
    assert values["texts"] == {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}
    assert values["endless"] == {"stringValue": "inf"}
    assert any_value(None) == {"stringValue": "None"}
