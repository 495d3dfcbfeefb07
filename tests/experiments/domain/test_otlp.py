"""Decoding of OTLP bodies: whatever arrives is either spans or a refusal with a 4xx status."""

import contextlib
import gzip
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.domain import otlp, otlp_json, otlp_protobuf
from experiments.domain.event_row import dump_json
from experiments.domain.spans import Translator
from governance.domain.errors import DomainError, InvalidInput, PayloadTooLarge
from tests.experiments.otlp_bodies import json_body, json_span, json_value, make_span, proto_body

LIMIT = 1024 * 1024
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def taken_in(body: bytes, decoder) -> None:
    """Decode, translate and serialise; only refusals may come out."""
    try:
        batch = decoder(body)
    except DomainError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - either outcome is fine
        return
    dump_json(Translator(source="x").rows(batch.spans))


@quick
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_understood(body) -> None:
    taken_in(body, otlp_json.decode)
    taken_in(body, otlp_protobuf.decode)
    for encoding in ("gzip", "deflate"):
        with contextlib.suppress(InvalidInput, PayloadTooLarge):
            otlp.inflate(body, encoding, limit=LIMIT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = ["resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "key", "value", "stringValue", "intValue"]


@quick
@given(
    st.recursive(
        json_values,
        lambda inner: st.dictionaries(st.sampled_from(WORDS), inner | st.lists(inner, max_size=2), max_size=4),
        max_leaves=12,
    )
)
def test_json_of_any_shape_is_refused_or_understood(value) -> None:
    import json

    taken_in(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]}).encode(), otlp_json.decode)
    taken_in(json.dumps({"resourceSpans": value}).encode(), otlp_json.decode)


@quick
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_body_is_refused_or_understood(position, value) -> None:
    for body, decoder in (
        (json_body([make_span()]), otlp_json.decode),
        (proto_body([make_span()]), otlp_protobuf.decode),
    ):
        damaged = bytearray(body)
        damaged[position % len(damaged)] = value
        taken_in(bytes(damaged), decoder)
        taken_in(bytes(body[: position % len(body)]), decoder)


plain = st.recursive(
    st.text(st.characters(codec="utf-8"), max_size=10)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
PREFIXES = ["", "honeyhive_inputs.", "honeyhive_metadata.", "honeyhive_metrics.a.", "gen_ai.prompt.0.", "llm.", "tool."]


@quick
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(PREFIXES), st.text(st.characters(codec="utf-8"), max_size=6)).map("".join),
        plain,
        max_size=6,
    )
)
def test_both_encodings_mean_the_same(attributes) -> None:
    span = make_span(1, attributes, parent="00000000000000ff", error="e", events=[("gen_ai.choice", attributes)])
    from_json = otlp_json.decode(json_body([span]))
    from_protobuf = otlp_protobuf.decode(proto_body([span]))

    assert from_json == from_protobuf
    assert from_json.spans[0].attributes == span["attributes"]
    assert repr(Translator().rows(from_json.spans)) == repr(Translator().rows(from_protobuf.spans))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_inflation_stops_at_the_limit(encoding) -> None:
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    assert otlp.inflate(compress(b"x" * LIMIT), encoding, limit=LIMIT) == b"x" * LIMIT
    with pytest.raises(PayloadTooLarge, match=str(LIMIT)):
        otlp.inflate(compress(b"x" * (LIMIT + 1)), encoding, limit=LIMIT)


def test_a_bomb_of_a_thousand_to_one_is_refused_early() -> None:
    bomb = gzip.compress(b"\x00" * 40 * 1024 * 1024, 9)
    with pytest.raises(PayloadTooLarge):
        otlp.inflate(bomb, "gzip", limit=256 * 1024 * 1024)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", otlp.JSON),
        ("application/json; charset=utf-8", otlp.JSON),
        ("APPLICATION/X-PROTOBUF", otlp.PROTOBUF),
        ("application/protobuf", otlp.PROTOBUF),
    ],
)
def test_content_types(text, kind) -> None:
    assert otlp.media_type(text) == kind


def test_non_finite_numbers_become_their_names() -> None:
    span = make_span(1, {"a": float("nan"), "b": float("inf"), "c": float("-inf")})
    assert otlp_protobuf.decode(proto_body([span])).spans[0].attributes | {"honeyhive.session_id": ""} == {
        "honeyhive.session_id": "",
        "a": "NaN",
        "b": "Infinity",
        "c": "-Infinity",
    }


def test_bytes_become_base64() -> None:
    assert otlp_protobuf.decode(proto_body([make_span(1, {"b": b"\x01\x02"})])).spans[0].attributes["b"] == "AQI="


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "9" * 400])
def test_integers_beyond_64_bits_keep_their_digits(value) -> None:
    raw = json_span(make_span()) | {"attributes": [{"key": "k", "value": {"intValue": str(value)}}]}
    assert otlp_json.decode(json_body([raw])).spans[0].attributes == {"k": str(value)}


def test_an_absurd_number_of_digits_is_refused_alone() -> None:
    raw = json_span(make_span()) | {"attributes": [{"key": "k", "value": {"intValue": "9" * 5000}}]}
    assert otlp_json.decode(json_body([raw])).reasons == ["values"]
    assert json_value(1) == {"intValue": "1"}
