"""Results of runs over the wire: rows, verdicts, aggregates, rules, crashes, caching."""

import statistics
import uuid

import pytest

from experiments.adapters import result_cache
from experiments.models import Event, Run
from experiments.services.event_writer import bump_revisions
from governance.models import Project
from tests.experiments.factories import make_event, make_metric, make_run, make_session

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_cache(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def get(api, run, **query):
    answer = api.get(f"/v1/runs/{run.run_key}/result", query)
    body = answer.content if not answer.streaming else b"".join(answer.streaming_content)
    assert answer.status_code == 200, body
    import orjson

    return orjson.loads(body)


def verdicts(body):
    return {row["datapoint_id"] or row["session_id"]: row["passed"] for row in body["datapoints"]}


def detail(body, name, event_name="fn"):
    (found,) = [
        item for item in body["metrics"]["details"] if (item["metric_name"], item["event_name"]) == (name, event_name)
    ]
    return found


def test_result_of_three_datapoints(api, project) -> None:
    run = make_run(project, name="R", configuration={"function": "fn"})
    ids = [
        make_session(project, run.run_key, "d1", metrics={"exact": True, "score": 0.5, "why": "text"}),
        make_session(project, run.run_key, "d2", metrics={"exact": False, "score": 1}),
        make_session(project, run.run_key, "d3", error="ValueError: boom"),
    ]

    body = get(api, run)

    assert body["status"] == "completed"
    assert body["success"] is False
    assert (body["passed"], body["failed"]) == (["d1", "d2"], ["d3"])
    shared = {"event_name": "fn", "event_type": "chain", "passed": True}
    assert body["datapoints"] == [
        {
            "datapoint_id": "d1",
            "session_id": ids[0],
            "passed": True,
            "metrics": [{"name": "exact", "value": True, **shared}, {"name": "score", "value": 0.5, **shared}],
        },
        {
            "datapoint_id": "d2",
            "session_id": ids[1],
            "passed": True,
            "metrics": [{"name": "exact", "value": False, **shared}, {"name": "score", "value": 1.0, **shared}],
        },
        {"datapoint_id": "d3", "session_id": ids[2], "passed": False, "crashed": True, "metrics": []},
    ]
    assert body["metrics"] == {
        "aggregation_function": "average",
        "details": [
            {
                "metric_name": name,
                "metric_type": "CLIENT_SIDE",
                "event_name": "fn",
                "event_type": "chain",
                "direction": "higher",
                "aggregate": average,
                "passing_range": None,
                "values": values,
                "datapoints": {"passed": ["d1", "d2"], "failed": []},
            }
            for name, values, average in (("exact", [1.0, 0.0], 0.5), ("score", [0.5, 1.0], 0.75))
        ],
    }
    assert body["event_details"] == [
        {"event_name": "a run's name", "event_type": "session"},
        {"event_name": "fn", "event_type": "chain"},
    ]
    assert body["run_object"]["run_id"] == run.run_key
    assert body["run_object"]["name"] == "R"


def test_summary_and_unversioned_aliases_give_the_same_answer(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "d", metrics={"m": 1})

    wanted = get(api, run)

    for path in ("/v1/runs/{}/summary", "/runs/{}/result", "/runs/{}/summary"):
        answer = api.get(path.format(run.run_key))
        assert b"".join(answer)
        assert answer.status_code == 200
    assert get(api, run) == wanted


def test_every_aggregate_function(api, project) -> None:
    run = make_run(project)
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.5, 6.0]
    for number, value in enumerate(values):
        make_session(project, run.run_key, f"d{number}", metrics={"m": value})
    inclusive = statistics.quantiles(values, n=100, method="inclusive")
    wanted = {
        "average": statistics.fmean(values),
        "min": 1.0,
        "max": 9.0,
        "median": statistics.median(values),
        "p90": inclusive[89],
        "p95": inclusive[94],
        "p99": inclusive[98],
        "sum": 27.0,
        "count": 7.0,
    }

    for name, value in wanted.items():
        body = get(api, run, aggregate_function=name)
        assert body["metrics"]["aggregation_function"] == name
        assert detail(body, "m")["aggregate"] == pytest.approx(value, rel=1e-12)
        assert detail(body, "m")["values"] == values


def test_unknown_aggregate_function_is_refused(api, project) -> None:
    run = make_run(project)

    answer = api.get(f"/v1/runs/{run.run_key}/result?aggregate_function=mode")

    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == "aggregate_function"


def test_run_without_sessions_is_no_success(api, project) -> None:
    body = get(api, make_run(project))

    assert (body["success"], body["passed"], body["failed"], body["datapoints"]) == (False, [], [], [])
    assert body["metrics"] == {"aggregation_function": "average", "details": []}
    assert body["event_details"] == []


def test_sessions_without_datapoint_are_listed_by_their_own_id(api, project) -> None:
    run = make_run(project)
    session = make_session(project, run.run_key, metrics={"m": 1})

    body = get(api, run)

    assert body["passed"] == [session]
    assert body["datapoints"][0]["datapoint_id"] is None


def test_two_sessions_of_one_datapoint_keep_both_rows_and_failed_wins(api, project) -> None:
    run = make_run(project, metadata={"passing_ranges": {"m": {"min": 1}}})
    for value in (2, 0, 3):
        make_session(project, run.run_key, "d", metrics={"m": value})

    body = get(api, run)

    assert [row["passed"] for row in body["datapoints"]] == [True, False, True]
    assert (body["passed"], body["failed"]) == ([], ["d"])
    assert detail(body, "m")["datapoints"] == {"passed": [], "failed": ["d"]}
    assert detail(body, "m")["values"] == [2.0, 0.0, 3.0]


# --- which sessions belong to a run


def test_listed_sessions_without_a_run_take_part_and_those_of_other_runs_do_not(api, project) -> None:
    own = make_session(project, None, "d1", metrics={"m": 1}, start_time=1.0)
    foreign = make_session(project, "another run", "d2", metrics={"m": 2})
    run = make_run(project, event_ids=[own, foreign, str(uuid.uuid4()), "no uuid", 5])
    make_session(project, run.run_key, "d3", metrics={"m": 3}, start_time=2.0)

    body = get(api, run)

    assert body["passed"] == ["d1", "d3"]
    assert detail(body, "m")["values"] == [1.0, 3.0]
    assert len(body["event_details"]) == 2


def test_another_project_with_the_same_run_id_is_not_mixed_in(api, project) -> None:
    from tests.factories import make_project

    other = make_project()
    run = make_run(project, run_key="same")
    make_run(other, run_key="same")
    make_session(project, "same", "mine", metrics={"m": 1})
    make_session(other, "same", "theirs", metrics={"m": 5})

    assert get(api, run)["passed"] == ["mine"]
    assert api.get(f"/v1/runs/{make_run(other).run_key}/result").status_code == 404


# --- crashes


def test_error_on_the_session_event_is_a_crash(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "d", metrics={"m": 1}, session_error="died")

    body = get(api, run)

    assert body["failed"] == ["d"]
    assert detail(body, "m")["datapoints"] == {"passed": ["d"], "failed": []}


def test_missing_function_event_is_a_crash_once_the_run_is_over(api, project) -> None:
    run = make_run(project, configuration={"function": "fn"}, status="running")
    make_session(project, run.run_key, "late", function=None)
    make_session(project, run.run_key, "other", function="helper")
    make_session(project, run.run_key, "good")

    assert get(api, run)["failed"] == []
    api.put(f"/v1/runs/{run.run_key}", {"status": "completed"}, content_type="application/json")
    assert get(api, run)["failed"] == ["late", "other"]


def test_handled_error_of_a_nested_span_is_no_crash(api, project) -> None:
    run = make_run(project, configuration={"function": "fn"})
    session = uuid.UUID(make_session(project, run.run_key, "d"))
    nested = {"session": session, "run": run.run_key, "datapoint": "d", "error": "handled"}
    make_event(project, event_name="inner", event_type="tool", **nested)
    make_event(project, event_name="fn", event_type="tool", **nested)
    make_event(project, event_name="Evaluation", **nested)

    assert get(api, run)["passed"] == ["d"]


def test_function_of_another_type_counts_where_no_chain_has_its_name(api, project) -> None:
    run = make_run(project, configuration={"function": "fn"})
    make_session(project, run.run_key, "good", event_type="tool")
    make_session(project, run.run_key, "bad", event_type="model", error="died")

    assert verdicts(get(api, run)) == {"good": True, "bad": False}


def test_root_chains_decide_when_no_function_is_configured_and_evaluator_spans_do_not(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "bad", function="anything", error="died")
    make_session(project, run.run_key, "evaluator failed", function="Evaluation", error="died")
    make_session(project, run.run_key, "only a session", function=None)
    session = uuid.UUID(make_session(project, run.run_key, "nested"))
    make_event(project, session=session, run=run.run_key, datapoint="nested", parent=uuid.uuid4(), error="handled")

    assert get(api, run)["failed"] == ["bad"]


# --- pass rules


def test_rules_by_priority(api, project) -> None:
    make_metric(project, "score", threshold={"min": 0.5, "max": 0.9})
    make_metric(project, "flag", return_type="boolean", threshold={"pass_when": False})
    make_metric(project, "level", threshold={"pass_when": 3})
    make_metric(project, "other", threshold={"min": 100}, filters={"filterArray": [
        {"field": "event_name", "operator": "is", "value": "elsewhere", "type": "string"}]})  # fmt: skip
    run = make_run(project, metadata={"passing_ranges": {"tuned": {"max": 2}, "bad": {"min": "x"}}})
    make_session(project, run.run_key, "pass", metrics={"score": 0.9, "flag": False, "level": 3, "other": 1, "bad": 0})
    make_session(project, run.run_key, "score", metrics={"score": 0.91})
    make_session(project, run.run_key, "flag", metrics={"flag": True})
    make_session(project, run.run_key, "level", metrics={"level": 2})
    make_session(project, run.run_key, "tuned", metrics={"tuned": 2.5})

    body = get(api, run)

    assert verdicts(body) == {"pass": True, "score": False, "flag": False, "level": False, "tuned": False}
    assert detail(body, "score")["passing_range"] == {"min": 0.5, "max": 0.9}
    assert detail(body, "tuned")["passing_range"] == {"max": 2.0}
    assert detail(body, "other")["passing_range"] is None
    assert detail(body, "score")["metric_type"] == "PYTHON"
    assert detail(body, "score")["datapoints"] == {"passed": ["pass"], "failed": ["score"]}


def test_categories_pass_by_name_or_by_score(api, project) -> None:
    make_metric(
        project,
        "tone",
        type="HUMAN",
        return_type="categorical",
        categories=[
            {"category": "good", "score": 1},
            {"category": "bad", "score": 0},
            {"category": "odd", "score": None},
        ],
        threshold={"passing_categories": ["good", "odd"]},
    )
    run = make_run(project)
    for tone in ("good", "bad", "odd"):
        make_session(project, run.run_key, tone, metrics={"tone": tone})

    body = get(api, run)

    assert verdicts(body) == {"good": True, "bad": False, "odd": True}
    assert [row["metrics"][0]["value"] for row in body["datapoints"]] == [1.0, 0.0, None]
    assert detail(body, "tone")["values"] == [1.0, 0.0]
    assert detail(body, "tone")["datapoints"] == {"passed": ["good"], "failed": ["bad"]}


def test_composites_stand_at_session_level_and_count(api, project) -> None:
    make_metric(
        project,
        "quality",
        type="COMPOSITE",
        criteria="Weighted Average",
        child_metrics=[{"name": "a", "weight": 2}, {"name": "b", "weight": 1}],
        threshold={"min": 3.5},
    )
    run = make_run(project)
    make_session(project, run.run_key, "d1", metrics={"a": 4, "b": 3})
    make_session(project, run.run_key, "d2", metrics={"a": 3, "b": 4})
    make_session(project, run.run_key, "d3", metrics={"c": 1})

    body = get(api, run)

    found = detail(body, "quality", "session")
    assert (found["metric_type"], found["event_type"]) == ("COMPOSITE", "session")
    assert found["values"] == pytest.approx([11 / 3, 10 / 3])
    assert verdicts(body) == {"d1": True, "d2": False, "d3": True}


def test_declared_direction_shows(api, project) -> None:
    make_metric(project, "latency", direction="lower")
    run = make_run(project, metadata={"metric_directions": {"tokens": "lower"}})
    make_session(project, run.run_key, "d", metrics={"latency": 1, "tokens": 2, "score": 3})

    body = get(api, run)

    assert {item["metric_name"]: item["direction"] for item in body["metrics"]["details"]} == {
        "latency": "lower",
        "tokens": "lower",
        "score": "higher",
    }


# --- filters


def test_filters_choose_events(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "d1", metrics={"m": 1}, session_metrics={"s": 1})
    make_session(project, run.run_key, "d2", function="other", metrics={"m": 2})
    wanted = {"field": "event_name", "operator": "is", "value": "fn", "type": "string"}

    for filters in (f"[{wanted}]".replace("'", '"'), str(wanted)):
        body = get(api, run, filters=filters)
        assert list(verdicts(body)) == ["d1"]
        assert [item["metric_name"] for item in body["metrics"]["details"]] == ["m"]
        assert body["event_details"] == [{"event_name": "fn", "event_type": "chain"}]
    answer = api.get(f"/v1/runs/{run.run_key}/result", {"filters": '[{"field": "nonsense"}]'})
    assert answer.status_code == 400


# --- caching


def test_unchanged_run_is_answered_from_the_cache(api, project, django_assert_num_queries) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "d", metrics={"m": 1})
    first = api.get(f"/v1/runs/{run.run_key}/result")
    assert first["ETag"].startswith('"')
    # Behind the revision's back, so that only a kept answer can be the same.
    Event.objects.filter(project=project).delete()

    with django_assert_num_queries(4):  # key, run, metrics' revision, run's revision
        second = api.get(f"/v1/runs/{run.run_key}/result")

    assert second["ETag"] == first["ETag"]
    assert b"".join(second) == first.content


def test_known_tag_is_answered_with_304(api, project) -> None:
    run = make_run(project)
    tag = api.get(f"/v1/runs/{run.run_key}/result")["ETag"]

    answer = api.get(f"/v1/runs/{run.run_key}/result", headers={"if-none-match": f'"x", {tag}'})

    assert answer.status_code == 304
    assert answer.content == b""
    assert answer["ETag"] == tag


def test_tag_changes_with_everything_the_result_depends_on(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "d", metrics={"m": 1})

    def tag(**query):
        return api.get(f"/v1/runs/{run.run_key}/result", query)["ETag"]

    tags = [tag(), tag(aggregate_function="max")]
    make_session(project, run.run_key, "d2", metrics={"m": 2})
    bump_revisions(project_id=project.pk, run_keys=[run.run_key])
    tags.append(tag())
    Project.objects.filter(pk=project.pk).update(metrics_revision=7)
    tags.append(tag())
    Run.objects.filter(pk=run.pk).update(name="renamed")
    tags.append(tag())

    assert len(set(tags)) == len(tags)
    assert get(api, run)["passed"] == ["d", "d2"]


def test_runs_that_own_sessions_by_list_only_are_never_kept(api, project) -> None:
    session = make_session(project, None, "d", metrics={"m": 1})
    run = make_run(project, event_ids=[session])

    answer = api.get(f"/v1/runs/{run.run_key}/result")

    assert "ETag" not in answer
    assert not result_cache.folder().exists()


def test_queries_do_not_grow_with_rows(api, project, django_assert_num_queries) -> None:
    run = make_run(project)

    def cost() -> None:
        # key, run, two revisions, metrics, sessions, event details, measurements
        with django_assert_num_queries(8):
            get(api, run)

    make_session(project, run.run_key, "d0", metrics={"m": 1})
    api.get("/v1/runs")  # the key's first use is noted by one more statement
    cost()
    for number in range(20):
        make_session(project, run.run_key, f"d{number}", metrics={"m": 1, "n": number})
    bump_revisions(project_id=project.pk, run_keys=[run.run_key])
    cost()


def test_large_runs_are_streamed_in_chunks_with_the_same_answer(api, project, monkeypatch) -> None:
    from experiments.selectors import results

    listed = [make_session(project, None, f"l{number}", metrics={"m": number}) for number in range(3)]
    run = make_run(project, event_ids=listed)
    for number in range(7):
        make_session(project, run.run_key, f"d{number}", metrics={"m": number, "n": True})
    wanted = get(api, run)
    monkeypatch.setattr(results, "SESSIONS_AT_ONCE", 4)
    monkeypatch.setattr(results, "SESSIONS_PER_CHUNK", 3)

    answer = api.get(f"/v1/runs/{run.run_key}/result")

    assert answer.streaming
    assert get(api, run) == wanted


# --- raw metrics


def test_raw_metrics_keep_texts(api, project) -> None:
    run = make_run(project)
    session = make_session(project, run.run_key, "d", metrics={"m": 1, "why": "text"})
    make_session(project, run.run_key, "bare")

    answer = api.get(f"/v1/runs/{run.run_key}/metrics")
    import orjson

    assert orjson.loads(b"".join(answer)) == {
        "events": [
            {
                "event_name": "fn",
                "event_type": "chain",
                "session_id": session,
                "metadata": {"datapoint_id": "d"},
                "metrics": {"m": 1, "why": "text"},
            }
        ],
        "totalEvents": 1,
    }


def test_raw_metrics_by_time_and_filter(api, project) -> None:
    run = make_run(project)
    make_session(project, run.run_key, "early", metrics={"m": 1}, start_time=1_000.0)
    make_session(project, run.run_key, "late", metrics={"m": 2}, start_time=1_700_000_000_000.0)
    import orjson

    def found(**query):
        body = orjson.loads(b"".join(api.get(f"/v1/runs/{run.run_key}/metrics", query)))
        assert body["totalEvents"] == len(body["events"])
        return [event["metadata"]["datapoint_id"] for event in body["events"]]

    assert found(dateRange="{'$gte': '2000-01-01'}") == ["late"]
    assert found(filters='[{"field":"metrics.m","operator":"less than","value":2,"type":"number"}]') == ["early"]
    assert found(dateRange="nonsense") == ["early", "late"]
