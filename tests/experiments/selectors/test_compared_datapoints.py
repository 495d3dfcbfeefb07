"""Single datapoints of two runs: who moved, in which order, and both outputs side by side."""

import pytest

from experiments.models import Event
from experiments.selectors.compared_datapoints import DatapointQuery, compared_datapoints
from experiments.selectors.side_by_side import side_by_side
from governance.domain.errors import InvalidInput, NotFound
from tests.experiments.factories import make_run, make_session
from tests.factories import make_project


@pytest.fixture
def runs(project):
    """d0 loses much, d1 wins, d2 loses little, d3 ties, d4 crashes, d5 and d6 are in one run alone."""
    old, new = make_run(project, run_key="old"), make_run(project, run_key="new")
    values = [(0.9, 0.1), (0.2, 0.7), (0.5, 0.4), (0.3, 0.3), (0.5, None), (0.5, ...), (..., 0.5)]
    for number, pair in enumerate(values):
        for run, value in zip((old, new), pair, strict=True):
            if value is None:
                make_session(project, run.run_key, f"d{number}", error="boom")
            elif value is not ...:
                make_session(project, run.run_key, f"d{number}", metrics={"score": value})
    return old, new


def listed(caller, **query):
    return compared_datapoints(caller=caller, new="new", old="old", query=DatapointQuery(**query))


def ids(found):
    return [row["datapoint_id"] for row in found["datapoints"]]


def test_the_biggest_movers_come_first(runs, caller):
    found = listed(caller)
    assert ids(found) == ["d0", "d1", "d2", "d3", "d4", "d5", "d6"]
    outcomes = [row["outcome"] for row in found["datapoints"]]
    assert outcomes == ["loss", "win", "loss", "tie", "failed", "only_old", "only_new"]
    assert found["counts"] == {"win": 1, "loss": 2, "tie": 1, "failed": 1, "only_old": 1, "only_new": 1}
    assert found["datapoints"][0]["difference"] == pytest.approx(-0.8)
    assert found["datapoints"][5]["new_session_id"] is None
    session = Event.objects.get(run_key="new", datapoint_key="d0", event_type="session")
    assert found["datapoints"][0]["new_session_id"] == str(session.session_key)


def test_outcomes_text_and_pages_choose_among_them(runs, project, caller):
    assert ids(listed(caller, outcome="loss")) == ["d0", "d2"]
    page = listed(caller, page=2, limit=3)
    assert (ids(page), page["total"]) == (["d3", "d4", "d5"], 7)
    Event.objects.filter(run_key="new", datapoint_key="d2").update(outputs={"result": 'Käse "fresh"'})
    Event.objects.filter(run_key="old", datapoint_key="d3").update(inputs={"question": "käse?"})
    assert ids(listed(caller, text="äse")) == ["d2", "d3"]
    assert ids(listed(caller, text='se "fresh"')) == ["d2"]
    assert ids(listed(caller, text="d4")) == ["d4"]
    assert ids(listed(caller, text="nothing")) == []
    other = make_project()
    make_session(other, "new", "d1")
    Event.objects.filter(project=other).update(outputs={"result": "secret"})
    assert ids(listed(caller, text="secret")) == []


def test_a_metric_that_is_better_when_lower_turns_wins_round(runs, project, caller):
    type(runs[1]).objects.filter(pk=runs[1].pk).update(metadata={"metric_directions": {"score": "lower"}})
    found = listed(caller, metric="score", event_name="fn")
    assert (found["direction"], ids(found)[:2], found["datapoints"][0]["outcome"]) == ("lower", ["d0", "d1"], "win")
    for query in ({"metric": "other"}, {"metric": "score", "event_name": "other"}):
        with pytest.raises(InvalidInput, match="do not both have"):
            listed(caller, **query)


def test_queries_do_not_grow_with_datapoints(project, caller, django_assert_num_queries):
    for count in (1, 20):
        for key in (f"a{count}", f"b{count}"):
            make_run(project, run_key=key)
            for number in range(count):
                make_session(project, key, f"d{number}", metrics={"score": number})
        with django_assert_num_queries(11):  # per side run, metrics, sessions, measurements, listed sessions; text
            query = DatapointQuery(text="d")
            compared_datapoints(caller=caller, new=f"b{count}", old=f"a{count}", query=query)


def test_both_outputs_stand_side_by_side(runs, project, caller, django_assert_num_queries):
    Event.objects.filter(run_key="old", datapoint_key="d1", event_type="session").update(
        inputs={"q": 1}, outputs={"result": "it is red"}, feedback={"ground_truth": "blue"}
    )
    Event.objects.filter(run_key="new", datapoint_key="d1", event_type="session").update(
        inputs={"q": 1}, outputs={"result": "it is blue"}
    )
    with django_assert_num_queries(8):
        found = side_by_side(caller=caller, new="new", old="old", datapoint_id="d1")
    assert (found["inputs"], found["old"]["text"], found["new"]["text"]) == ({"q": 1}, "it is red", "it is blue")
    assert (found["old"]["metrics"], found["new"]["metrics"]) == ({"score": 0.2}, {"score": 0.7})
    assert [change["op"] for change in found["diff"]["changes"]] == ["equal", "replace"]
    crashed = side_by_side(caller=caller, new="new", old="old", datapoint_id="d4")
    assert crashed["new"]["error"] == "boom"
    alone = side_by_side(caller=caller, new="new", old="old", datapoint_id="d5")
    assert (alone["new"], alone["diff"]) == (None, None)


def test_executions_are_chosen_by_session(runs, project, caller):
    second = make_session(project, "new", "d1", metrics={"score": 0.9})
    found = side_by_side(caller=caller, new="new", old="old", datapoint_id="d1", new_session=second)
    assert (found["new"]["session_id"], found["new"]["sessions"][1]) == (second, second)
    assert found["new"]["metrics"] == {"score": 0.9}
    with pytest.raises(NotFound, match="no execution"):
        side_by_side(caller=caller, new="new", old="old", datapoint_id="d1", old_session=second)
    with pytest.raises(NotFound, match="Neither run"):
        side_by_side(caller=caller, new="new", old="old", datapoint_id="d99")
