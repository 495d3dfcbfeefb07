"""The operator's list of callables."""

from importlib.metadata import EntryPoint

import pytest

from experiments.domain import callables
from governance.domain.errors import InvalidInput


def test_names_stand_for_places_and_bare_names_for_entry_points(monkeypatch) -> None:
    points = [
        EntryPoint("installed", "package.module:Class.method [extra]", callables.GROUP),
        EntryPoint("not-listed", "package:other", callables.GROUP),
    ]
    monkeypatch.setattr(callables, "entry_points", lambda group: points if group == callables.GROUP else [])
    assert callables.registered(["a=my.module:function", " b = m:f.g ", "installed", "absent"]) == {
        "a": "my.module:function",
        "b": "m:f.g",
        "installed": "package.module:Class.method",
    }


@pytest.mark.parametrize("item", ["a=module", "a=mod ule:f", "=m:f", "a=m:f()", "a=os;sys:f"])
def test_an_item_that_cannot_be_read_is_the_operators_mistake(item) -> None:
    with pytest.raises(ValueError, match="HHWEB_CALLABLES"):
        callables.registered([item])


def test_what_is_not_listed_is_refused_with_those_that_are() -> None:
    assert callables.place_of("a", ["a=m:f"], field="target.name") == "m:f"
    with pytest.raises(InvalidInput, match=r"Field 'target\.name'.*There are a\."):
        callables.place_of("os:system", ["a=m:f"], field="target.name")
    with pytest.raises(InvalidInput, match="None is allowed so far"):
        callables.place_of("a", [], field="target.name")
