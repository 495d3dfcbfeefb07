"""Project metrics and their versions over the wire."""

import pytest

from experiments.models import Metric, MetricVersion
from governance.models import AuditEntry, Project
from tests.experiments.factories import make_metric
from tests.factories import make_project

pytestmark = pytest.mark.django_db

BASE = {"name": "tone", "type": "HUMAN", "criteria": "Is it kind?"}


def send(api, method, path, body=None):
    answer = api.generic(method, path, data="" if body is None else dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def dumps(body) -> bytes:
    import orjson

    return orjson.dumps(body)


def create(api, **fields) -> str:
    status, answer = send(api, "POST", "/v1/metrics", {**BASE, **fields})
    assert status == 200, answer
    assert answer["inserted"] is True
    return answer["metric_id"]


def item(api, metric_id):
    (found,) = api.get("/v1/metrics", {"id": metric_id}).json()["metrics"]
    return found


def revision(project) -> int:
    return Project.objects.get(pk=project.pk).metrics_revision


def versions(api, metric_id):
    return api.get(f"/v1/metrics/{metric_id}/versions").json()["data"]


def test_created_metric_has_every_key(api, project) -> None:
    metric_id = create(api, threshold={"min": 1}, categories=[{"category": "a", "score": None}])

    found = item(api, metric_id)
    created_at, updated_at = found.pop("created_at"), found.pop("updated_at")
    assert created_at.endswith("Z")
    assert updated_at.endswith("Z")
    assert found == {
        "id": metric_id,
        **BASE,
        "description": "",
        "return_type": "float",
        "direction": "higher",
        "enabled_in_prod": False,
        "sampling_percentage": 100,
        "model_provider": None,
        "model_name": None,
        "scale": None,
        "threshold": {"min": 1.0},
        "categories": [{"category": "a", "score": None}],
        "needs_ground_truth": False,
        "child_metrics": None,
        "filters": {"filterArray": []},
    }
    assert revision(project) == 1
    assert AuditEntry.objects.get(action="metric.create").target_id == metric_id


def test_both_forms_of_update_and_delete(api, project) -> None:
    metric_id = create(api, threshold={"min": 1})

    assert send(api, "PUT", "/v1/metrics", {"id": metric_id, "description": "d", "direction": "lower"}) == (
        200,
        {"updated": True},
    )
    assert send(api, "PUT", f"/v1/metrics/{metric_id}", {"threshold": None, "description": None}) == (
        200,
        {"updated": True},
    )
    found = item(api, metric_id)
    assert (found["description"], found["direction"], found["threshold"]) == ("d", "lower", None)
    assert revision(project) == 3
    assert send(api, "PUT", f"/v1/metrics/{metric_id}", {"description": "d"})[0] == 200
    assert revision(project) == 3
    assert AuditEntry.objects.filter(action="metric.update").count() == 2
    assert send(api, "DELETE", f"/v1/metrics?metric_id={metric_id}") == (200, {"deleted": True})
    other = create(api)
    assert send(api, "DELETE", f"/v1/metrics/{other}") == (200, {"deleted": True})
    assert api.get("/v1/metrics").json() == {"metrics": []}
    assert send(api, "DELETE", "/v1/metrics")[1]["details"]["field"] == "metric_id"


def test_lists_by_type_with_one_query(api, project, django_assert_num_queries) -> None:
    make_metric(project, "b", type="LLM")
    make_metric(project, "a")
    make_metric(make_project(), "foreign")
    assert [found["name"] for found in api.get("/v1/metrics").json()["metrics"]] == ["a", "b"]

    with django_assert_num_queries(2):  # key, metrics
        body = api.get("/v1/metrics", {"type": "LLM"}).json()

    assert [found["name"] for found in body["metrics"]] == ["b"]
    assert api.get("/v1/metrics", {"type": "llm"}).status_code == 400


def test_names_are_unique_in_the_project(api, project) -> None:
    make_metric(make_project(), "tone")
    first = create(api)
    second = create(api, name="other")

    assert send(api, "POST", "/v1/metrics", BASE)[0] == 409
    assert send(api, "PUT", f"/v1/metrics/{second}", {"name": "tone"})[0] == 409
    assert [found["id"] for found in api.get("/v1/metrics").json()["metrics"]] == [second, first]
    assert revision(project) == 2


def test_foreign_and_unknown_metrics_are_404(api) -> None:
    foreign = make_metric(make_project(), "theirs").public_id

    for key in (foreign, "unknown"):
        for method, path, body in (
            ("PUT", f"/v1/metrics/{key}", {"name": "x"}),
            ("PUT", "/v1/metrics", {"id": key, "name": "x"}),
            ("DELETE", f"/v1/metrics/{key}", None),
            ("DELETE", f"/v1/metrics?metric_id={key}", None),
            ("GET", f"/v1/metrics/{key}/versions", None),
            ("POST", f"/v1/metrics/{key}/versions", {"message": "m", "content": BASE}),
            ("POST", f"/v1/metrics/{key}/versions/v1/deploy", None),
        ):
            assert send(api, method, path, body)[0] == 404, (method, path)
        assert api.get("/v1/metrics", {"id": key}).json() == {"metrics": []}
    assert Metric.objects.get().name == "theirs"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"type": "human"}, "type"),
        ({"criteria": None}, "criteria"),
        ({"return_type": "number"}, "return_type"),
        ({"direction": "up"}, "direction"),
        ({"sampling_percentage": 101}, "sampling_percentage"),
        ({"scale": 0}, "scale"),
        ({"scale": 2**40}, "scale"),
        ({"threshold": {"min": "x"}}, "threshold.min"),
        ({"threshold": {"min": 2, "max": 1}}, "threshold"),
        ({"threshold": {"passing_categories": []}}, "threshold.passing_categories"),
        ({"categories": [{"score": 1}]}, "categories.0.category"),
        ({"filters": {"filterArray": [{"field": "x"}]}}, "filters.filterArray.0.field"),
        ({"type": "COMPOSITE", "criteria": "the best"}, "criteria"),
        ({"type": "COMPOSITE", "criteria": "weighted sum", "return_type": "boolean"}, "criteria"),
        ({"type": "COMPOSITE", "criteria": "minimum", "return_type": "string"}, "return_type"),
        ({"type": "COMPOSITE", "criteria": "minimum"}, "child_metrics"),
        (
            {"type": "COMPOSITE", "criteria": "minimum", "child_metrics": [{"name": "tone", "weight": 1}]},
            "child_metrics",
        ),
        (
            {"type": "COMPOSITE", "criteria": "minimum", "child_metrics": [{"name": "sum", "weight": 1}]},
            "child_metrics",
        ),
    ],
)
def test_bad_metrics_are_named_and_not_stored(api, project, change, field) -> None:
    make_metric(project, "sum", type="COMPOSITE")

    status, answer = send(api, "POST", "/v1/metrics", {**BASE, **change})

    assert (status, answer["details"]["field"]) == (400, field)
    assert Metric.objects.count() == 1
    assert MetricVersion.objects.count() == 0


def test_versions_keep_every_wording_and_one_is_deployed(api, project) -> None:
    metric_id = create(api)
    send(api, "PUT", f"/v1/metrics/{metric_id}", {"criteria": "Is it polite?"})
    content = {**BASE, "criteria": "Is it warm?", "threshold": {"min": 2}}

    status, answer = send(api, "POST", f"/v1/metrics/{metric_id}/versions", {"message": "m", "content": content})

    assert status == 200
    version = answer["data"]
    assert (answer["success"], version["name"], version["message"], version["deployed"]) == (True, "v3", "m", False)
    assert version["content"]["criteria"] == "Is it warm?"
    assert len(version["full_sha"]) == 64
    assert item(api, metric_id)["criteria"] == "Is it polite?"
    assert [(row["name"], row["deployed"]) for row in versions(api, metric_id)] == [
        ("v1", False),
        ("v2", True),
        ("v3", False),
    ]

    status, answer = send(api, "POST", f"/v1/metrics/{metric_id}/versions/v3/deploy")

    assert (status, answer["data"]["deployed"]) == (200, True)
    found = item(api, metric_id)
    assert (found["criteria"], found["threshold"]) == ("Is it warm?", {"min": 2.0})
    assert [row["deployed"] for row in versions(api, metric_id)] == [False, False, True]
    before = revision(project)
    assert send(api, "POST", f"/v1/metrics/{metric_id}/versions/v3/deploy")[0] == 200
    assert revision(project) == before == 3
    assert send(api, "POST", f"/v1/metrics/{metric_id}/versions/v9/deploy")[0] == 404
    assert api.get(f"/v1/metrics/{metric_id}/versions/v3/deploy").status_code == 405


def test_version_deployed_at_once(api) -> None:
    metric_id = create(api)
    body = {"message": "m", "content": {**BASE, "name": "renamed"}, "deploy_immediately": True}

    status, answer = send(api, "POST", f"/v1/metrics/{metric_id}/versions", body)

    assert (status, answer["data"]["deployed"]) == (200, True)
    assert item(api, metric_id)["name"] == "renamed"
    assert [row["deployed"] for row in versions(api, metric_id)] == [False, True]


def test_a_metric_with_a_number_beyond_64_bits_can_be_changed(api) -> None:
    metric = create(api, threshold={"max": 1e22})
    assert send(api, "PUT", f"/v1/metrics/{metric}", {"description": "new"})[0] == 200
    assert item(api, metric)["threshold"] == {"max": 1e22}
    assert [len(version["content"]) > 0 for version in api.get(f"/v1/metrics/{metric}/versions").json()["data"]] == [
        True
    ] * 2
