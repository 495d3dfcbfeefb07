"""Prompt configurations in the native API: read by page, with their versions."""

import pytest

from experiments.domain.wire_configurations import ConfigurationBody, ConfigurationChanges
from experiments.services import configurations as services
from governance.services.projects import system_caller
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db


def make_configuration(project, name="answers", **fields):
    body = {"name": name, "provider": "openai", "parameters": {"call_type": "chat", "model": "m"}, **fields}
    return services.create_configuration(caller=system_caller(project), body=ConfigurationBody.model_validate(body))


def test_configurations_are_listed_by_name_and_found_by_id_or_name(api, project) -> None:
    second, first = make_configuration(project, "b"), make_configuration(project, "a", provider="azure")

    answer = api.get("/api/v1/configurations").json()
    assert (answer["pagination"]["total"], [item["name"] for item in answer["results"]]) == (2, ["a", "b"])
    assert [item["id"] for item in api.get("/api/v1/configurations?provider=openai").json()["results"]] == [
        second.public_id
    ]
    for reference in (first.public_id, "a"):
        assert api.get(f"/api/v1/configurations/{reference}").json()["id"] == first.public_id
    assert make_client(make_token(make_project())).get(f"/api/v1/configurations/{first.public_id}").status_code == 404


def test_versions_come_newest_first(api, project) -> None:
    configuration = make_configuration(project)
    changes = ConfigurationChanges.model_validate({"name": "answers", "provider": "azure"})
    services.update_configuration(caller=system_caller(project), public_id=configuration.public_id, body=changes)

    found = api.get(f"/api/v1/configurations/{configuration.public_id}/versions").json()
    assert [(item["number"], item["provider"]) for item in found["results"]] == [(2, "azure"), (1, "openai")]
    assert found["pagination"]["total"] == 2


def test_the_number_of_queries_does_not_grow_with_rows(api, project, django_assert_max_num_queries) -> None:
    for number in range(8):
        make_configuration(project, f"c{number}")
    with django_assert_max_num_queries(6):
        assert len(api.get("/api/v1/configurations").json()["results"]) == 8
    with django_assert_max_num_queries(7):
        api.get("/api/v1/configurations/c1/versions")
