"""A search endpoint of the user's own, against a real server and against answers of every wrong shape."""

import pytest

from embeddings_ab.adapters.external_search import ExternalSearch, filled
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import External
from governance.outbound.client import GuardedClient
from tests.embeddings_ab.provider_server import ProviderServer

DOCUMENTS = {"d1": "shock waves", "d2": "waves on the sea", "d3": "eggs"}


@pytest.fixture
def server():
    with ProviderServer(documents=DOCUMENTS) as running:
        yield running


@pytest.fixture
def client():
    with GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"})) as opened:
        yield opened


class Saying:
    def __init__(self, body):
        self.json, self.headers, self.status = body, {}, 200

    def post_json(self, url, payload, *, headers=None, timeout=None):
        return self

    get = post_json


def answered(body, *, depth=10, **options):
    spec = External(url="https://search.example.com", **options)
    return ExternalSearch(spec, secret_value=None, client=Saying(body)).search("q", depth, known=DOCUMENTS.keys())


def test_query_and_depth_go_out_and_documents_with_scores_come_back(server, client):
    spec = External(url=f"{server.url}/search", secret="key")
    search = ExternalSearch(spec, secret_value="value", client=client)
    found = search.search("shock waves", 2, known=DOCUMENTS.keys())
    assert found.documents == (("d1", 1.0), ("d2", 0.5))
    assert (found.repeated, found.by_order) == (0, False)
    [call] = server.calls
    assert (call.body, call.authorization) == ({"query": "shock waves", "depth": 2}, "Bearer value")
    search.close()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("rate_limited", "rate_limited"), ("server_error", "server_error"), ("redirect", "refused")],
)
def test_a_fault_of_the_endpoint_has_its_cause(fault, cause, server, client):
    search = ExternalSearch(External(url=f"{server.url}/search"), secret_value=None, client=client)
    server.fail(fault, retry_after="9")
    with pytest.raises(ProviderFailed) as failure:
        search.search("shock", 2, known=DOCUMENTS.keys())
    assert failure.value.cause == cause
    if fault == "rate_limited":
        assert failure.value.retry_after_seconds == 9


def test_a_template_is_filled_at_any_depth_and_the_query_is_never_read_as_one():
    template = {"q": ["{query}", {"text": "find: {query} ({depth})"}], "size": "{depth}", "fixed": [1, None, True]}
    assert filled(template, query="a {depth} b {query}", depth=7) == {
        "q": ["a {depth} b {query}", {"text": "find: a {depth} b {query} (7)"}],
        "size": 7,
        "fixed": [1, None, True],
    }


def test_a_body_of_the_users_own_is_sent(server, client):
    spec = External(url=f"{server.url}/search", body={"query": "{query}", "depth": "{depth}", "index": "live"})
    ExternalSearch(spec, secret_value=None, client=client).search("shock", 1, known=DOCUMENTS.keys())
    assert server.calls[0].body == {"query": "shock", "depth": 1, "index": "live"}


def test_the_first_of_repeated_documents_stays_and_the_others_are_counted():
    body = {"results": [{"id": "d2", "score": 3}, {"id": "d2", "score": 9}, {"id": "d1", "score": 1}]}
    found = answered(body)
    assert found.documents == (("d2", 3.0), ("d1", 1.0))
    assert found.repeated == 1


def test_without_scores_the_order_of_the_answer_counts():
    found = answered({"results": [{"id": "d3"}, {"id": "d1", "score": None}, {"id": "d3"}]})
    assert found.documents == (("d3", -1.0), ("d1", -2.0))
    assert (found.repeated, found.by_order) == (1, True)
    assert answered({"results": ["d3", "d1"]}).documents == (("d3", -1.0), ("d1", -2.0))
    assert answered({"results": []}) == answered({"results": []}, depth=1)
    assert not answered({"results": []}).by_order


def test_rows_beyond_the_depth_are_left_out_unread():
    rows = [{"id": "d1", "score": 2}, {"id": "d2", "score": 1}, {"id": "nowhere", "score": "x"}]
    assert answered({"results": rows}, depth=2).documents == (("d1", 2.0), ("d2", 1.0))


def test_results_id_and_score_may_lie_elsewhere():
    body = {"data": [{"hits": [{"key": "d1", "rank": 0.5}]}]}
    found = answered(body, results_path="data.0.hits", id_field="key", score_field="rank")
    assert found.documents == (("d1", 0.5),)
    assert answered([{"id": "d1"}], results_path="").documents == (("d1", -1.0),)


def test_numbers_as_ids_stand_for_their_digits():
    spec = External(url="https://search.example.com")
    search = ExternalSearch(spec, secret_value=None, client=Saying({"results": [{"id": 7, "score": 1}]}))
    assert search.search("q", 1, known={"7"}).documents == (("7", 1.0),)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"hits": []}, "no list at results_path 'results'"),
        ([], "no list at results_path 'results'"),
        ({"results": {"id": 1}}, "no list at results_path 'results'"),
        ({"results": [{"score": 1}]}, "row 0 without 'id'"),
        ({"results": [{"id": True}]}, "row 0 without 'id'"),
        ({"results": [{"id": "d1", "score": "high"}]}, "score 'high' in row 0"),
        ({"results": [{"id": "d1", "score": float("nan")}]}, "score nan in row 0"),
        ({"results": [{"id": "d1", "score": True}]}, "score True in row 0"),
        ({"results": [{"id": "d1", "score": 1}, {"id": "d2"}]}, "1 of 2 rows without 'score'"),
        ({"results": ["x1", "d1", "x2"]}, "does not have: 'x1', 'x2'; id_field"),
        ({"results": [f"x{n}" for n in range(7)]}, "'x4' and 2 more"),
    ],
)
def test_a_wrong_answer_of_the_endpoint_is_named(body, words):
    with pytest.raises(ProviderFailed, match=words) as failure:
        answered(body)
    assert (failure.value.cause, failure.value.is_transient) == ("bad_answer", False)


def test_a_named_secret_without_a_value_is_unauthorised():
    with pytest.raises(ProviderFailed, match="secret 'key'") as failure:
        ExternalSearch(External(url="https://search.example.com", secret="key"), secret_value=None, client=Saying({}))
    assert failure.value.cause == "unauthorised"
