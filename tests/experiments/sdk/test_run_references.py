"""Runs by what people call them, against a server of the protocol that knows no filter and answers page by page."""

import uuid

import pytest

from experiments.sdk.errors import ConfigurationError, NotFound
from experiments.sdk.run_references import branch_of, find_run, runs_newest_first
from experiments.sdk.transport.client import Client
from tests.experiments.sdk.fault_server import FaultServer, answer


@pytest.fixture
def server():
    with FaultServer() as found:
        yield found


@pytest.fixture
def client(server):
    with Client(server_url=server.url, api_key="any") as found:
        yield found


def store(server, run_id, *, name="run", status="completed", branch=None):
    metadata = {"git": {"branch": branch}} if branch else {}
    server.runs[run_id] = {"run_id": run_id, "name": name, "status": status, "metadata": metadata}


def page(*run_ids, has_next=None, **fields):
    run = {"status": "completed", "name": "run", "metadata": {}, **fields}
    pagination = {} if has_next is None else {"has_next": has_next}
    return answer(200, body={"evaluations": [{**run, "run_id": each} for each in run_ids], "pagination": pagination})


def test_a_run_id_comes_before_a_name(server, client):
    store(server, "first", name="other")
    store(server, "second", name="first")

    assert find_run(client, " first ").run_id == "first"
    assert find_run(client, "other").run_id == "first"


def test_of_a_name_it_is_the_newest_of_exactly_that_name(server, client):
    store(server, "aaaa-1", name="nightly long")
    store(server, "aaaa-2", name="nightly")
    store(server, "aaaa-3", name="nightly")

    assert find_run(client, "nightly").run_id == "aaaa-2"
    assert find_run(client, "nightly", exclude="aaaa-2").run_id == "aaaa-3"
    assert server.sent("/v1/runs", "GET")[1].query == {
        "page": ["1"],
        "limit": ["100"],
        "sort_by": ["created_at"],
        "sort_order": ["desc"],
        "name": ["nightly"],
    }


def test_the_beginning_of_an_id_must_be_of_one_run(server, client):
    for run_id in ("abcd-1", "abcd-2", "efgh-1"):
        store(server, run_id, name="")

    assert find_run(client, "efgh").run_id == "efgh-1"
    assert find_run(client, "abcd", exclude="abcd-1").run_id == "abcd-2"
    with pytest.raises(ConfigurationError, match=r"2 runs begin with 'abcd': abcd-1 \(no name\), abcd-2"):
        find_run(client, "abcd")


@pytest.mark.parametrize("reference", ["nightly", "efgh"])
def test_a_run_is_not_looked_for_among_others_without_a_word(server, client, reference):
    store(server, "efgh-1", name="nightly")

    with pytest.raises(NotFound, match=f"No other run than efgh-1 itself is called '{reference}'"):
        find_run(client, reference, exclude="efgh-1")


@pytest.mark.parametrize("reference", ["efg", "none of that", "a/b"])
def test_what_no_run_is_called_is_said_with_the_way_to_look(server, client, reference):
    store(server, "efgh-1")

    with pytest.raises(NotFound, match=f"No run has the id or name '{reference}'.*`hhweb runs list`"):
        find_run(client, reference)


def test_a_whole_id_that_is_not_there_is_not_searched_for(server, client):
    with pytest.raises(NotFound, match="does not exist"):
        find_run(client, str(uuid.uuid4()))

    assert len(server.requests) == 1


def test_an_id_that_a_server_refuses_to_read_may_still_be_a_name(server, client):
    store(server, "aaaa-1", name="nightly")
    server.plan(answer(400), path="/v1/runs/nightly")

    assert find_run(client, "nightly").run_id == "aaaa-1"


def test_latest_is_the_newest_that_completed(server, client):
    store(server, "running", status="running")
    store(server, "new")
    store(server, "old")

    assert find_run(client, "latest").run_id == "new"
    assert find_run(client, "latest", exclude="new").run_id == "old"
    first = server.requests[0].query
    assert (first["status"], first["limit"]) == (["completed"], ["5"])


def test_latest_of_a_branch_reads_the_branch_from_the_metadata(server, client):
    store(server, "feature", branch="feature/x")
    store(server, "main-2", branch="main")
    store(server, "main-1", branch="main")

    assert find_run(client, "latest:main").run_id == "main-2"
    assert find_run(client, "latest:main", exclude="main-2").run_id == "main-1"
    assert find_run(client, "latest:feature/x").run_id == "feature"
    server.runs.pop("main-1")
    with pytest.raises(NotFound, match=r"no completed run of branch 'main' \(metadata git.branch\) besides"):
        find_run(client, "latest:main", exclude="main-2")


def test_a_branch_that_is_no_text_is_none(server, client):
    store(server, "odd")
    server.runs["odd"]["metadata"] = {"git": "main"}

    assert branch_of(find_run(client, "odd")) is None


@pytest.mark.parametrize("reference", ["", "  "])
def test_nothing_is_no_reference(client, reference):
    with pytest.raises(ConfigurationError, match="Which run"):
        find_run(client, reference)


def test_latest_without_a_branch_behind_its_colon_is_a_name(client):
    with pytest.raises(NotFound, match="'latest:'"):
        find_run(client, "latest:")


def test_pages_are_read_until_they_end_and_moving_runs_come_once(server, client):
    server.plan(page("c", "b", has_next=True), page("b", "a", has_next=False), path="/v1/runs")

    assert [run.run_id for run in runs_newest_first(client, page_size=2)] == ["c", "b", "a"]
    assert [each.query["page"] for each in server.requests] == [["1"], ["2"]]


def test_a_server_that_does_not_say_whether_more_comes_is_asked_until_a_page_is_short(server, client):
    server.plan(page("c", "b"), page("a"), path="/v1/runs")

    assert [run.run_id for run in runs_newest_first(client, page_size=2)] == ["c", "b", "a"]


def test_no_more_than_twenty_pages_are_read(server, client):
    server.plan(*(page(f"run-{number}", has_next=True) for number in range(30)), path="/v1/runs")

    assert len(list(runs_newest_first(client, page_size=1))) == 20
