"""Settings and results with the fields that older code uses."""

import pytest

from experiments import EvalResult, EvalSettings, EvaluatorSettings


def test_settings_copy_update_and_show_themselves():
    settings = EvalSettings(name="judge", weight=2.0, target=(1, 2))
    other = settings.copy()
    other.update({"weight": None, "repeat": 3})
    other.update(EvalSettings(name="judge", asserts=True))
    other.update(None)
    assert settings == EvalSettings("judge", None, 2.0, target=(1, 2))
    assert (other.weight, other.repeat, other.asserts, other == settings) == (2.0, 3, True, False)
    assert other.keys()[:3] == ["name", "wraps", "weight"]
    assert "name" not in other.dict()
    assert repr(settings) == "EvalSettings(name='judge', weight=2.0, target=(1, 2))"
    assert str(EvalSettings(name="judge", repeat=3)) == "{\n    name: judge,\n    repeat: 3\n}"


def test_settings_refuse_what_they_do_not_know():
    settings = EvalSettings(name="judge")
    with pytest.raises(ValueError, match="'wieght' is no setting of evaluators; there are name, wraps, weight"):
        settings.update({"wieght": 1})
    with pytest.raises(TypeError, match="settings are an EvalSettings or a dict, not int"):
        settings.update(3)


def test_settings_are_divided_from_keyword_arguments():
    divided = EvalSettings.extract_eval_settings_and_kwargs({"weight": 1, "model": "m"})
    assert divided == ({"weight": 1}, {"model": "m"})
    assert EvalSettings.extract_eval_settings_and_kwargs(None) == ({}, {})


def test_later_sources_win_and_explicit_ones_replace_all():
    layers = EvaluatorSettings(
        name="judge",
        default_kwargs={"model": "a", "n": 1},
        deco_settings=EvalSettings(name="judge", weight=3.0),
        init_settings=EvalSettings(name="judge", weight=2.0, repeat=2),
        config_kwargs={"model": "b"},
    )
    final = layers.resolve_settings()
    assert (final.name, final.weight, final.repeat, final.asserts) == ("judge", 3.0, 2, False)
    assert layers.resolve_settings(EvalSettings(name="judge", repeat=5)).repeat == 5
    assert layers.resolve_settings().repeat == 2
    assert layers.resolve_kwargs({"n": 2}) == {"model": "b", "n": 2}
    layers.explicit_settings = EvalSettings(name="other")
    layers.explicit_kwargs = {"x": 1}
    assert layers.resolve_settings().name == "other"
    assert layers.resolve_kwargs() == {"x": 1}


def test_a_result_knows_its_score_its_metadata_and_who_made_it():
    result = EvalResult(0.5, reason="r")
    assert (result.score, result.metadata) == (0.5, {"reason": "r"})
    assert result.init_method == "test_a_result_knows_its_score_its_metadata_and_who_made_it"
    assert result.to_dict() == {"score": 0.5, "metadata": {"reason": "r"}}
    copied = EvalResult(1, "judge", a=2).copy()
    assert (copied.score, copied.init_method, copied.metadata, copied.weight) == (1, "judge", {"a": 2}, None)
    assert (copied.eval_settings.name, copied.func_args) == ("judge", None)
    assert repr(copied) == "EvalResult(score=1, init_method='judge')"
