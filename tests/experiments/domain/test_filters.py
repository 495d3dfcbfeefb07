"""Parsing of filters and time ranges."""

import pytest

from experiments.domain.filters import (
    MAX_FILTERS,
    Condition,
    Operator,
    TimeRange,
    ValueType,
    epoch_ms,
    parse_field,
    parse_filters,
    parse_time_range,
)
from governance.domain.errors import InvalidInput


def one(**given) -> Condition:
    raw = {"field": "metadata.x", "operator": "is", "value": "1", "type": "string"} | given
    (condition,) = parse_filters([raw])
    return condition


@pytest.mark.parametrize(
    ("name", "kind", "column", "path"),
    [
        ("session_id", "uuid", "session_key", ()),
        ("metadata.run_id", "text", "run_key", ()),
        ("metadata.datapoint_id", "text", "datapoint_key", ()),
        ("start_time", "number", "start_time", ()),
        ("metadata.a.b", "json", "metadata", ("a", "b")),
        ("outputs.content", "json", "outputs", ("content",)),
        ("user_properties.run_id", "json", "user_properties", ("run_id",)),
    ],
)
def test_a_name_points_to_a_column_before_a_bucket(name, kind, column, path) -> None:
    field = parse_field(name)

    assert (field.kind, field.column, field.path) == (kind, column, path)


@pytest.mark.parametrize("name", ["metadata.a.b.c", "metadata.a"])
def test_the_literal_remainder_is_the_whole_rest(name) -> None:
    assert f"metadata.{parse_field(name).literal}" == name


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"type": "number", "value": "5"}, 5.0),
        ({"type": "number", "value": " -1.5e3 "}, -1500.0),
        ({"type": "number", "value": 2}, 2.0),
        ({"type": "boolean", "value": "True"}, True),
        ({"type": "boolean", "value": False}, False),
        ({"type": "datetime", "value": "1970-01-01T00:00:01.5Z"}, 1500.0),
        ({"type": "datetime", "value": "1970-01-01T01:00:00+01:00"}, 0.0),
        ({"type": "datetime", "value": "1500"}, 1500.0),
        ({"type": "string", "value": 5}, "5"),
        ({"type": "string", "value": True}, "true"),
    ],
)
def test_values_are_coerced_by_type(given, value) -> None:
    assert one(**given).value == value


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"type": "id"}, "filters.0.type"),
        ({"type": "text"}, "filters.0.type"),
        ({"type": ["string"]}, "filters.0.type"),
        ({"operator": "like"}, "filters.0.operator"),
        ({"operator": None}, "filters.0.operator"),
        ({"operator": ["is"]}, "filters.0.operator"),
        ({"operator": {"a": 1}, "type": None}, "filters.0.operator"),
        ({"operator": "contains", "type": "number"}, "filters.0.operator"),
        ({"operator": "is not", "type": "boolean"}, "filters.0.operator"),
        ({"operator": "greater than", "type": "datetime"}, "filters.0.operator"),
        ({"type": "number", "value": "five"}, "filters.0.value"),
        ({"type": "number", "value": "nan"}, "filters.0.value"),
        ({"type": "number", "value": "1e999"}, "filters.0.value"),
        ({"type": "number", "value": "1_000"}, "filters.0.value"),
        ({"type": "number", "value": True}, "filters.0.value"),
        ({"type": "number", "value": 10**400}, "filters.0.value"),
        ({"type": "boolean", "value": "yes"}, "filters.0.value"),
        ({"type": "datetime", "value": "yesterday"}, "filters.0.value"),
        ({"type": "string", "value": {"a": 1}}, "filters.0.value"),
        ({"operator": "contains", "value": None}, "filters.0.value"),
        ({"field": ""}, "filters.0.field"),
        ({"field": 5}, "filters.0.field"),
        ({"field": "metadata"}, "filters.0.field"),
        ({"field": "nonsense"}, "filters.0.field"),
        ({"field": "metadata." + "a" * 600}, "filters.0.field"),
        ({"field": "metadata" + ".a" * 40}, "filters.0.field"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(given, field) -> None:
    with pytest.raises(InvalidInput) as refusal:
        one(**given)

    assert refusal.value.details["field"] == field


@pytest.mark.parametrize("raw", ["x", 5, ["x"], [None], [{"field": "x"}] * (MAX_FILTERS + 1)])
def test_a_wrong_list_of_filters_is_refused(raw) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_filters(raw)

    assert refusal.value.details["field"].startswith("filters")


def test_no_filter_and_a_single_object_are_accepted() -> None:
    assert parse_filters(None) == parse_filters([]) == ()
    assert len(parse_filters({"field": "source", "operator": "is", "value": "dev"})) == 1


@pytest.mark.parametrize(
    ("given", "implied"),
    [
        ({"value": 5}, ValueType.NUMBER),
        ({"value": True}, ValueType.BOOLEAN),
        ({"value": "5"}, ValueType.STRING),
        ({"operator": "less than"}, ValueType.NUMBER),
        ({"operator": "after", "value": "2024-01-01"}, ValueType.DATETIME),
    ],
)
def test_a_missing_type_is_implied(given, implied) -> None:
    assert one(**{"type": None, **given}).type is implied


def test_negative_operators_are_negated_positive_ones() -> None:
    assert (one(operator="is not").operator, one(operator="is not").negated) == (Operator.IS, True)
    assert (one(value=None).operator, one(value=None).negated) == (Operator.EXISTS, True)
    assert (one(operator="is not", value=None).operator, one(operator="is not", value=None).negated) == (
        Operator.EXISTS,
        False,
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, TimeRange()),
        ({}, TimeRange()),
        ({"$gte": "1970-01-01T00:00:01Z", "$lte": "1970-01-01T00:00:02Z"}, TimeRange(1000.0, 2000.0)),
        ({"start_time": "1970-01-01T00:00:01", "end_time": 2000}, TimeRange(1000.0, 2000.0)),
        ({"$gte": "1000"}, TimeRange(1000.0, None)),
        ({"$lte": "1970-01-02"}, TimeRange(None, 86_400_000.0)),
    ],
)
def test_time_ranges(raw, expected) -> None:
    assert parse_time_range(raw) == expected


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("2024", "dateRange"),
        ([], "dateRange"),
        ({"$gte": "soon"}, "dateRange.$gte"),
        ({"end_time": {}}, "dateRange.end_time"),
    ],
)
def test_a_wrong_time_range_is_refused_by_name(raw, field) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_time_range(raw)

    assert refusal.value.details["field"] == field


def test_epoch_ms_keeps_fractions() -> None:
    assert epoch_ms("1970-01-01T00:00:00.000250Z") == 0.25
    assert epoch_ms(None) is None
