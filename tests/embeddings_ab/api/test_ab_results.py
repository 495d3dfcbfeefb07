"""`/api/v1/ab/tests/{id}/…`: results in both ways of paging, one query, movers, aggregates, significance."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import AbTest, Arm, QueryResult
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_results, make_test_row
from tests.embeddings_ab.finished import REPORT, make_finished_test
from tests.factories import make_client, make_project, make_token


@pytest.fixture
def base(caller):
    """The address of a finished test."""
    return f"/api/v1/ab/tests/{make_finished_test(caller).public_id}"


def wide_test(caller, queries, arms=("bm25", "minilm")):
    """A test with `queries` times two results."""
    corpus = make_corpus(caller)
    query_set = make_query_set(caller, corpus, queries={f"q{n:04}": f"text {n}" for n in range(queries)}, grades={})
    test = make_test_row(query_set, arms=arms, status="completed", report=REPORT, result_count=queries * len(arms))
    AbTest.objects.filter(pk=test.pk).update(spec={"metrics": ["nDCG@10"], "arms": {}})
    make_results(test, ["d1", "d2"], metrics={"nDCG@10": 0.5})
    return f"/api/v1/ab/tests/{test.public_id}"


def named(answer):
    return [(row["arm"], row["query_id"]) for row in answer.json()["results"]]


def refused(answer, field):
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert error["details"]["field"] == field
    assert field in error["message"]
    return error


def test_a_result_says_what_was_found_and_what_it_scored(api, base):
    first, *_, last = api.get(f"{base}/results").json()["results"]
    assert first == {
        "id": first["id"],
        "arm": "bm25",
        "query_id": "=q/2",
        "is_failed": False,
        "error": None,
        "ranked_ids": ["d1", "d2"],
        "scores": [2.5, 1.0],
        "metrics": {"nDCG@10": 0.5, "R@10": 1.0, "nDCG@10 highest": 0.75},
        "latency": None,
    }
    assert last["is_failed"] is True
    assert last["error"] == {"code": "timeout", "message": "The provider did not answer within 60 s."}


def test_pages_by_number_and_by_key_set_show_the_same_results(api, caller):
    base = wide_test(caller, 7)
    everything = named(api.get(f"{base}/results", {"limit": 500}))
    assert len(everything) == len(set(everything)) == 14
    by_number = [named(api.get(f"{base}/results", {"limit": 4, "page": page})) for page in (1, 2, 3, 4, 5)]
    assert [len(page) for page in by_number] == [4, 4, 4, 2, 0]
    assert [row for page in by_number for row in page] == everything
    walked, after = [], None
    while True:
        answer = api.get(f"{base}/results", {"limit": 4, **({"after": after} if after else {})})
        walked.append(named(answer))
        after = answer.json()["next_cursor"]
        if after is None:
            break
    assert walked == by_number[:4]


def test_a_page_says_where_it_stands(api, caller):
    base = wide_test(caller, 3)
    first = api.get(f"{base}/results", {"limit": 4}).json()
    assert first["pagination"] == {
        "page": 1,
        "limit": 4,
        "total": 6,
        "total_pages": 2,
        "has_next": True,
        "has_prev": False,
    }
    second = api.get(f"{base}/results", {"limit": 4, "after": first["next_cursor"]}).json()
    assert second["pagination"] == {
        "page": None,
        "limit": 4,
        "total": 6,
        "total_pages": 2,
        "has_next": False,
        "has_prev": None,
    }
    assert second["next_cursor"] is None


def test_fifty_results_are_shown_when_nothing_is_said_and_never_more_than_five_hundred(api, caller):
    base = wide_test(caller, 26)
    assert len(api.get(f"{base}/results").json()["results"]) == 50
    error = refused(api.get(f"{base}/results", {"limit": 501}), "limit")
    assert "500" in error["message"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"arm": "minilm"}, [("minilm", "=q/2"), ("minilm", "q1"), ("minilm", "q3")]),
        ({"query": "=q/2"}, [("bm25", "=q/2"), ("minilm", "=q/2")]),
        ({"arm": "bm25", "query": "q1"}, [("bm25", "q1")]),
        ({"failed": "true"}, [("minilm", "q3")]),
        ({"failed": "true", "arm": "bm25"}, []),
        ({"failed": "false", "arm": "minilm", "limit": 1}, [("minilm", "=q/2")]),
        ({"arm": "", "query": "q3"}, [("bm25", "q3"), ("minilm", "q3")]),
    ],
)
def test_results_are_filtered_by_arm_query_and_failure(api, base, filters, found):
    answer = api.get(f"{base}/results", filters)
    assert named(answer) == found
    assert answer.json()["pagination"]["total"] == (2 if "limit" in filters else len(found))


def test_ranked_ids_are_cut_at_the_depth_asked_for(api, base):
    (row,) = api.get(f"{base}/results", {"arm": "bm25", "query": "q1", "depth": 1}).json()["results"]
    assert (row["ranked_ids"], row["scores"]) == (["d3"], [2.0])


def test_the_total_of_a_finished_test_is_the_stored_one_and_of_a_running_one_is_counted(api, caller):
    test = make_finished_test(caller)
    base = f"/api/v1/ab/tests/{test.public_id}"
    AbTest.objects.filter(pk=test.pk).update(result_count=1_000_000)
    assert api.get(f"{base}/results").json()["pagination"]["total"] == 1_000_000
    AbTest.objects.filter(pk=test.pk).update(status="running")
    assert api.get(f"{base}/results").json()["pagination"]["total"] == 6


def test_totals_of_arms_and_failures_are_the_stored_ones_where_an_arm_has_ended(api, caller):
    test = make_finished_test(caller)
    base = f"/api/v1/ab/tests/{test.public_id}"

    def total(**parameters):
        return api.get(f"{base}/results", parameters).json()["pagination"]["total"]

    Arm.objects.filter(test=test).update(status="completed", queries_done=1000, queries_failed=0)
    Arm.objects.filter(test=test, name="minilm").update(status="incomplete", queries_failed=7)
    assert [total(arm="bm25"), total(failed="true"), total(failed="false"), total(arm="minilm", failed="false")] == [
        1000,
        7,
        1993,
        993,
    ]
    assert total(query="q1") == 2  # counted: it is as many as there are arms
    Arm.objects.filter(test=test, name="minilm").update(status="cancelled")
    assert [total(failed="true"), total(arm="minilm")] == [1, 3]


def test_no_rows_are_looked_for_where_none_can_be(api, caller):
    test = make_finished_test(caller)
    Arm.objects.filter(test=test).update(status="completed", queries_done=3, queries_failed=0)
    address = f"/api/v1/ab/tests/{test.public_id}/results?failed=true"
    api.get(address)
    with CaptureQueriesContext(connection) as captured:
        answer = api.get(address).json()
    assert (answer["results"], answer["pagination"]["total"], answer["next_cursor"]) == ([], 0, None)
    assert not any("queryresult" in query["sql"] for query in captured)


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("results", {"limit": "0"}, "limit"),
        ("results", {"limit": "²"}, "limit"),
        ("results", {"page": "x"}, "page"),
        ("results", {"page": "9999999999999"}, "page"),
        ("results", {"depth": "1001"}, "depth"),
        ("results", {"after": "7"}, "after"),
        ("results", {"after": "r" + "f" * 16}, "after"),
        ("results", {"after": "r1", "page": "2"}, "page"),
        ("results", {"arm": "bm52"}, "arm"),
        ("results", {"query": "q9"}, "query"),
        ("results", {"failed": "maybe"}, "failed"),
        ("results", {"quer": "q1"}, "quer"),
        ("results", {"arm": "\x00"}, "arm"),
        ("movers", {}, "arm"),
        ("movers", {"arm": "bm25"}, "arm"),
        ("movers", {"arm": "minilm", "against": "x"}, "against"),
        ("movers", {"arm": "minilm", "metric": "AP"}, "metric"),
        ("movers", {"arm": "minilm", "only": "draws"}, "only"),
        ("movers", {"arm": "minilm", "limit": "501"}, "limit"),
        ("movers", {"arm": "minilm", "onyl": "wins"}, "onyl"),
        ("significance", {"metric": "nDGC@10"}, "metric"),
        ("significance", {"metric": "AP"}, "metric"),
        ("significance", {"arm": "x"}, "arm"),
        ("significance", {"metrc": "AP"}, "metrc"),
    ],
)
def test_wrong_parameters_are_refused_by_name(api, base, path, parameters, field):
    refused(api.get(f"{base}/{path}", parameters), field)


def test_unknown_arms_are_answered_with_those_there_are(api, base):
    assert "bm25, minilm" in refused(api.get(f"{base}/results", {"arm": "bm52"}), "arm")["message"]


def test_one_query_shows_all_arms_with_judgments_and_stages(api, base):
    answer = api.get(f"{base}/queries/q1").json()
    assert answer["text"] == "wing lift"
    assert answer["judgments"] == {"d1": 2, "d3": 1}
    assert [(arm["arm"], arm["ranked_ids"]) for arm in answer["arms"]] == [("bm25", ["d3", "d1"]), ("minilm", ["d1"])]
    assert answer["arms"][0]["stages"] == {"d1": {"chunked": True, "final": 1}}
    assert answer["arms"][0]["latency"] == {"search": 1.25, "total": 1.5}


def test_a_query_is_found_whatever_signs_its_id_has(api, base):
    assert api.get(f"{base}/queries/%3Dq%2F2").json()["query_id"] == "=q/2"
    answer = api.get(f"{base}/queries/q9")
    assert answer.status_code == 404
    assert answer.json()["error"]["details"]["field"] == "query_id"


def test_movers_come_biggest_first_with_both_values(api, base):
    answer = api.get(f"{base}/movers", {"arm": "minilm"}).json()
    # q3 has no value in bm25 and failed in minilm: it is no tie.
    assert answer["results"] == [
        {
            "query_id": "=q/2",
            "text": "heat in slabs",
            "kind": "wins",
            "value": 1.0,
            "against": 0.5,
            "difference": 0.5,
        },
        {"query_id": "q1", "text": "wing lift", "kind": "ties", "value": 0.5, "against": 0.5, "difference": 0.0},
    ]
    assert answer["pagination"]["total"] == 2


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"only": "wins"}, ["=q/2"]),
        ({"only": "ties"}, ["q1"]),
        ({"only": "losses"}, []),
        ({"metric": "recall@10"}, ["q1", "=q/2"]),
        ({"metric": "R@10", "only": "losses"}, ["q1"]),
        ({"arm": "bm25", "against": "minilm", "only": "losses"}, ["=q/2"]),
        ({"limit": 1, "page": 2}, ["q1"]),
    ],
)
def test_movers_are_chosen_by_kind_measure_and_arms(api, base, parameters, found):
    answer = api.get(f"{base}/movers", {"arm": "minilm", **parameters})
    assert [row["query_id"] for row in answer.json()["results"]] == found


def test_differences_that_only_rounding_made_are_ties(api, caller):
    base = wide_test(caller, 1)
    QueryResult.objects.filter(arm__name="minilm").update(metrics={"nDCG@10": 0.1 + 0.2})
    QueryResult.objects.filter(arm__name="bm25").update(metrics={"nDCG@10": 0.3})
    (row,) = api.get(f"{base}/movers", {"arm": "minilm"}).json()["results"]
    assert row["kind"] == "ties"


def test_aggregates_are_those_of_the_report_with_latency_and_cost_of_the_arms(api, caller):
    test = make_finished_test(caller)
    Arm.objects.filter(test=test, name="minilm").update(stats={"cost": "0.5"}, latency={"total": {"p50": 2.0}})
    answer = api.get(f"/api/v1/ab/tests/{test.public_id}/aggregates").json()
    assert answer["report_hash"] == "a" * 64
    assert [arm["name"] for arm in answer["arms"]] == ["bm25", "minilm"]
    assert answer["arms"][1]["metrics"] == REPORT["arms"]["minilm"]["metrics"]
    assert answer["arms"][1]["stats"] == {"cost": "0.5"}
    assert answer["arms"][1]["latency"] == {"total": {"p50": 2.0}}
    assert answer["agreement"] == REPORT["agreement"]
    assert answer["warnings"] == REPORT["warnings"]


def test_significance_is_that_of_the_primary_measure_unless_another_is_asked_for(api, base):
    answer = api.get(f"{base}/significance").json()
    assert (answer["metric"], answer["role"], answer["control"], answer["draws"]) == (
        "nDCG@10",
        "primary",
        "bm25",
        1000,
    )
    assert answer["comparisons"] == REPORT["comparisons"][:1]
    assert answer["slices"] == REPORT["slices"]
    other = api.get(f"{base}/significance", {"metric": "recall@10", "arm": "minilm"}).json()
    assert (other["metric"], other["role"], other["slices"]) == ("R@10", "exploratory", [])
    assert other["comparisons"] == REPORT["comparisons"][1:]
    assert api.get(f"{base}/significance", {"arm": "bm25"}).json()["comparisons"] == []


def test_an_unknown_measure_is_refused_and_never_reads_as_no_difference(api, base):
    """W14: a typing error gave every value 0 and p = 1."""
    assert "nDCG" in refused(api.get(f"{base}/significance", {"metric": "nDGC@10"}), "metric")["message"]
    error = refused(api.get(f"{base}/significance", {"metric": "AP"}), "metric")
    assert "nDCG@10, R@10" in error["message"]
    assert error["details"]["known"] == ["nDCG@10", "R@10"]


@pytest.mark.parametrize("path", ["aggregates", "significance", "report.html"])
@pytest.mark.parametrize(
    ("status", "says"),
    [("created", "was not started yet"), ("running", "is running"), ("failed", "it broke"), ("cancelled", "cancelled")],
)
def test_a_test_without_a_report_says_so(api, caller, path, status, says):
    # A test that goes on again still holds its old report: it is not shown.
    test = make_finished_test(caller, status=status, error_message="it broke")
    answer = api.get(f"/api/v1/ab/tests/{test.public_id}/{path}")
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "conflict"
    assert says in error["message"]
    assert "/progress" in error["message"]


def test_lists_take_as_many_queries_for_sixty_rows_as_for_two(api, caller):
    counts = {}
    for queries in (1, 30):
        base = wide_test(caller, queries)
        after = api.get(f"{base}/results", {"limit": 1}).json()["next_cursor"]
        for path, parameters in {
            "results": {"limit": 500},
            "results by key-set": {"limit": 500, "after": after},
            "results of an arm": {"limit": 500, "arm": "minilm"},
            "movers": {"arm": "minilm", "limit": 500},
            "queries/q0000": {},
            "aggregates": {},
            "significance": {},
        }.items():
            with CaptureQueriesContext(
                connection,
            ) as captured:
                answer = api.get(f"{base}/{path.split(' ')[0]}", parameters)
            assert answer.status_code == 200, answer.content
            counts.setdefault(path, []).append(len(captured))
    assert all(few == many for few, many in counts.values()), counts
    assert max(few for few, _ in counts.values()) <= 9, counts


def test_no_page_reads_stages_or_counts_rows_of_a_finished_test(api, base):
    api.get(f"{base}/results")
    with CaptureQueriesContext(connection) as captured:
        api.get(f"{base}/results")
    results = [query["sql"] for query in captured if "queryresult" in query["sql"]]
    assert len(results) == 2
    assert not any("stages" in sql or "COUNT(" in sql for sql in results)


PATHS = ["results", "queries/q1", "movers?arm=minilm", "aggregates", "significance", "export", "report.html"]


@pytest.mark.parametrize("path", PATHS)
def test_another_project_finds_nothing(base, path):
    stranger = make_client(make_token(make_project()))
    answer = stranger.get(f"{base}/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_key_without_the_right_reads_nothing(project, base):
    client = make_client(make_token(project, scopes=["datasets.read"]))
    assert {client.get(f"{base}/{path}").status_code for path in PATHS} == {403}
