"""Settings that any process refuses to start with."""

import pytest
from pydantic import ValidationError

from hhweb.settings.environment import Environment, readable_faults


def test_callables_that_cannot_be_read_are_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("HHWEB_CALLABLES", "good=module:function, bad=module")
    with pytest.raises(ValidationError) as raised:
        Environment()
    assert readable_faults(raised.value) == ["HHWEB_CALLABLES: value error, 'bad=module' is not name=module:attribute"]
    monkeypatch.setenv("HHWEB_CALLABLES", "good=module:function, entry-point")
    assert Environment().callables == "good=module:function, entry-point"
