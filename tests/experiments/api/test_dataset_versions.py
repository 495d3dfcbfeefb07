"""`/api/v1/datasets/{id}/versions…`: pins, pages, differences, rights, constant queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import DatasetVersion
from experiments.services.datapoints import update_datapoint
from experiments.services.dataset_versions import pin_version
from experiments.services.datasets import add_rows, create_dataset, delete_dataset, remove_datapoint
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db


def fill(caller, rows=3):
    dataset = create_dataset(caller=caller, name="cases")
    contents = [DatapointContent(inputs={"q": n}) for n in range(rows)]
    return dataset.public_id, add_rows(caller=caller, dataset_id=dataset.public_id, contents=contents)


def pin(api, dataset_id, body=None):
    return api.post(f"/api/v1/datasets/{dataset_id}/versions", body or {}, content_type="application/json")


def test_a_pin_answers_201_once_for_each_content_and_200_after(api, caller) -> None:
    dataset_id, _ = fill(caller)

    first, again = pin(api, dataset_id), pin(api, dataset_id)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == api.get(first["Location"]).json()
    shown = first.json()
    assert (shown["number"], shown["datapoint_count"], shown["dataset_id"]) == (1, 3, dataset_id)
    assert shown["dataset_name"] == "cases"
    assert shown["created_by"]
    assert len(shown["content_hash"]) == 64
    assert first["Location"] == f"/api/v1/datasets/{dataset_id}/versions/1"


def test_a_pin_takes_no_options(api, caller) -> None:
    dataset_id, _ = fill(caller)

    refused = pin(api, dataset_id, {"number": 7})

    assert refused.status_code == 400
    assert refused.json()["error"]["details"]["field"] == "number"
    assert not DatasetVersion.objects.exists()


def test_versions_and_their_datapoints_come_in_pages_after_the_dataset_is_gone(api, caller) -> None:
    dataset_id, ids = fill(caller)
    pin(api, dataset_id)
    remove_datapoint(caller=caller, dataset_id=dataset_id, datapoint_id=ids[0])
    pin(api, dataset_id)
    delete_dataset(caller=caller, dataset_id=dataset_id)

    listed = api.get(f"/api/v1/datasets/{dataset_id}/versions").json()
    page = api.get(f"/api/v1/datasets/{dataset_id}/versions/1/datapoints", {"limit": 2, "page": 2}).json()

    assert [each["number"] for each in listed["results"]] == [2, 1]
    assert [(each["position"], each["id"], each["inputs"]) for each in page["results"]] == [(2, ids[2], {"q": 2})]
    assert page["pagination"]["total"] == 3


def test_a_diff_shows_counts_and_a_page_of_changes_with_both_contents(api, caller) -> None:
    dataset_id, ids = fill(caller)
    pin(api, dataset_id)
    update_datapoint(caller=caller, datapoint_id=ids[1], changes={"ground_truth": {"a": 1}})
    remove_datapoint(caller=caller, dataset_id=dataset_id, datapoint_id=ids[0])
    (added,) = add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent(inputs={"q": "new"})])
    pin(api, dataset_id)
    path = f"/api/v1/datasets/{dataset_id}/versions/1/diff/2"

    answer = api.get(path).json()

    counts = {name: answer["diff"][name] for name in ("added", "removed", "changed", "unchanged", "moved")}
    assert counts == {"added": 1, "removed": 1, "changed": 1, "unchanged": 1, "moved": 0}
    assert (answer["diff"]["old"]["number"], answer["diff"]["new"]["number"]) == (1, 2)
    assert [(each["kind"], each["datapoint_id"]) for each in answer["results"]] == [
        ("removed", ids[0]),
        ("added", added),
        ("changed", ids[1]),
    ]
    empty = {"history": [], "ground_truth": None, "metadata": None}
    assert answer["results"][1]["old"] is None
    assert answer["results"][1]["new"] == {"position": 2, "content": {"inputs": {"q": "new"}, **empty}}
    assert answer["results"][2]["changed_fields"] == ["ground_truth"]
    assert answer["results"][2]["old"]["content"]["ground_truth"] is None
    assert answer["results"][2]["new"]["content"]["ground_truth"] == {"a": 1}
    second = api.get(path, {"limit": 1, "page": 2}).json()
    assert [each["kind"] for each in second["results"]] == ["added"]
    only = api.get(path, {"kind": "changed"}).json()
    assert ([each["kind"] for each in only["results"]], only["pagination"]["total"]) == (["changed"], 1)
    refused = api.get(path, {"kind": "moved"})
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "kind")


@pytest.mark.parametrize("number", ["2", "0", "-1", "one", "²", "9" * 30])
def test_unknown_versions_are_not_found_by_name(api, caller, number) -> None:
    dataset_id, _ = fill(caller)
    pin(api, dataset_id)
    for path in (f"{number}", f"{number}/datapoints", f"1/diff/{number}", f"{number}/diff/1"):
        answer = api.get(f"/api/v1/datasets/{dataset_id}/versions/{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["details"]["field"] == "dataset_version"


def test_another_project_finds_nothing(api, caller) -> None:
    dataset_id, _ = fill(caller)
    pin(api, dataset_id)
    stranger = make_client(make_token(make_project()))
    for path in ("", "/1", "/1/datapoints", "/1/diff/1"):
        answer = stranger.get(f"/api/v1/datasets/{dataset_id}/versions{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["details"]["field"] == "dataset_id"
    assert pin(stranger, dataset_id).status_code == 404


def test_reading_needs_the_right_to_read_and_pinning_that_to_write(caller, project) -> None:
    dataset_id, _ = fill(caller)
    reader = make_client(make_token(project, scopes=["datasets.read"]))
    nobody = make_client(make_token(project, scopes=["runs.read"]))
    assert pin(reader, dataset_id).status_code == 403
    pin_version(caller=caller, dataset_id=dataset_id)
    assert reader.get(f"/api/v1/datasets/{dataset_id}/versions/1").status_code == 200
    assert nobody.get(f"/api/v1/datasets/{dataset_id}/versions/1").status_code == 403


def test_queries_do_not_grow_with_versions_datapoints_or_changes(api, caller) -> None:
    dataset_id, ids = fill(caller, rows=60)
    base = f"/api/v1/datasets/{dataset_id}/versions"
    pin(api, dataset_id)
    update_datapoint(caller=caller, datapoint_id=ids[0], changes={"metadata": {"n": 1}})
    pin(api, dataset_id)
    paths = {base: 4, f"{base}/1/datapoints": 4, f"{base}/1/diff/2": 8}
    api.get(base)

    def measured():
        counts = {}
        for path in paths:
            with CaptureQueriesContext(connection) as queries:
                assert api.get(path).status_code == 200
            counts[path] = len(queries)
        return counts

    assert measured() == paths
    for n in range(30):
        update_datapoint(caller=caller, datapoint_id=ids[n], changes={"metadata": {"n": n + 2}})
        pin(api, dataset_id)
    paths = {base: 4, f"{base}/1/datapoints": 4, f"{base}/1/diff/32": 8}
    assert measured() == paths
