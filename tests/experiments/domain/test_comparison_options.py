"""What may be asked of a comparison: read from a query string, refused by name and value."""

import pytest

from experiments.domain.comparison_options import ComparisonOptions, declared_bounds, options_from
from governance.domain.errors import InvalidInput


class Given(dict):
    """A query string."""

    def getlist(self, key):
        value = self.get(key, [])
        return value if isinstance(value, list) else [value]


def test_nothing_asked_for_is_the_default():
    assert options_from(Given()) == ComparisonOptions()
    assert ComparisonOptions(confidence=0.9).alpha == 0.1


def test_everything_is_read():
    found = options_from(
        Given(
            confidence="0.9",
            margin=["a=b=0.5", "c=1"],
            noninferiority="c=2",
            effect="c=0.01",
            bounds=["c=-1:1"],
            missing="worst",
            cluster="metadata.topic",
            correction="benjamini_hochberg",
            primary="c",
            metric=["c", "c", "d"],
            slice_by="inputs.user.country",
            slice_metric="d",
            aggregate_function="max",
        )
    )
    assert found == ComparisonOptions(
        confidence=0.9,
        margins={"a=b": 0.5, "c": 1.0},
        noninferiority={"c": 2.0},
        effects={"c": 0.01},
        bounds={"c": (-1.0, 1.0)},
        metrics=("c", "d"),
        missing="worst",
        cluster="metadata.topic",
        correction="benjamini_hochberg",
        primary="c",
        slice_by="inputs.user.country",
        slice_metric="d",
        aggregate_function="max",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence", "1"),
        ("margin", "c"),
        ("margin", "=1"),
        ("effect", "c=-1"),
        ("noninferiority", "c=nan"),
        ("bounds", "c=1:1"),
        ("bounds", "c=0"),
        ("bounds", "c=0:inf"),
        ("missing", "zero"),
        ("correction", "bonferroni"),
        ("cluster", "topic"),
        ("cluster", "metadata."),
        ("cluster", "outputs.text"),
        ("slice_by", "metadata.list.0"),
        ("slice_by", "metadata." + "x" * 300),
        ("primary", "x" * 256),
        ("metric", "x" * 256),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name, value):
    with pytest.raises(InvalidInput) as refused:
        options_from(Given({name: value}))
    assert refused.value.details["field"] == name
    assert repr(value[:80]) in refused.value.message


def test_bounds_of_a_run_are_pairs_of_numbers_that_ascend():
    raw = {"a": [0, 1], "b": [1, 0], "c": [0], "d": "0:1", "e": [False, True], "f": [None, 1], "g": [0, 1e400]}
    assert declared_bounds(raw) == {"a": (0.0, 1.0)}
    assert declared_bounds([1]) == {}
