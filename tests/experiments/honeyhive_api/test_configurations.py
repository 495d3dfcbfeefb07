"""Prompt configurations and their versions over the wire."""

import pytest

from experiments.models import Configuration, ConfigurationVersion
from governance.models import AuditEntry
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db

PARAMETERS = {
    "call_type": "chat",
    "model": "gpt-4o",
    "hyperparameters": {"temperature": 0.2},
    "template": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "{{question}}"}],
}
BODY = {"name": "answers", "provider": "openai", "parameters": PARAMETERS}


def create(api, **fields) -> str:
    answer = api.post("/v1/configurations", {**BODY, **fields}, content_type="application/json")
    assert answer.status_code == 200, answer.json()
    assert answer.json().keys() == {"acknowledged", "insertedId"}
    return answer.json()["insertedId"]


def listed(api, **query):
    return api.get("/v1/configurations", query).json()["configurations"]


def names(api, **query) -> list[str]:
    return [item["name"] for item in listed(api, **query)]


def update(api, public_id, **fields):
    answer = api.put(f"/v1/configurations/{public_id}", {"name": "answers", **fields}, content_type="application/json")
    return answer.status_code, answer.json()


def test_a_created_configuration_has_every_key(api, project) -> None:
    public_id = create(api, env=["dev"], tags=["a"], user_properties={"team": "x"})

    (found,) = listed(api)
    assert found.pop("created_at").endswith("Z")
    assert found.pop("updated_at").endswith("Z")
    assert found == {
        "id": public_id,
        **BODY,
        "type": "LLM",
        "env": ["dev"],
        "tags": ["a"],
        "user_properties": {"team": "x"},
        "version": 1,
    }
    (version,) = ConfigurationVersion.objects.all()
    assert (version.number, version.provider, version.parameters) == (1, "openai", PARAMETERS)


def test_the_list_is_filtered_by_name_env_and_all_tags(api) -> None:
    create(api, name="one", env=["dev", "prod"], tags=["a", "b"])
    create(api, name="two", env=["dev"], tags=["a"])

    assert names(api) == ["one", "two"]
    assert names(api, name="two") == ["two"]
    assert names(api, env="prod") == ["one"]
    assert names(api, tags="a") == ["one", "two"]
    assert names(api, tags="a,b") == ["one"]
    refused = api.get("/v1/configurations", {"env": "moon"})
    assert (refused.status_code, refused.json()["details"]["field"]) == (400, "env")


def test_other_parameters_are_a_new_version_and_the_old_one_stays(api) -> None:
    public_id = create(api)
    changed = {**PARAMETERS, "model": "gpt-5"}

    assert update(api, public_id, parameters=changed) == (
        200,
        {"acknowledged": True, "modifiedCount": 1, "upsertedId": None, "upsertedCount": 0, "matchedCount": 1},
    )
    assert update(api, public_id, provider="azure")[1]["modifiedCount"] == 1
    (found,) = listed(api)
    assert (found["version"], found["provider"], found["parameters"]["model"]) == (3, "azure", "gpt-5")
    versions = ConfigurationVersion.objects.order_by("number").values_list("number", "provider", "parameters__model")
    assert list(versions) == [(1, "openai", "gpt-4o"), (2, "openai", "gpt-5"), (3, "azure", "gpt-5")]
    assert ConfigurationVersion.objects.values("content_hash").distinct().count() == 3


def test_a_new_name_is_no_new_version_and_the_same_again_is_no_change(api) -> None:
    public_id = create(api)

    assert update(api, public_id, name="renamed", tags=["t"])[1]["modifiedCount"] == 1
    assert update(api, public_id, name="renamed", provider="openai", parameters=PARAMETERS)[1]["modifiedCount"] == 0
    (found,) = listed(api)
    assert (found["name"], found["tags"], found["version"]) == ("renamed", ["t"], 1)
    assert ConfigurationVersion.objects.count() == 1


def test_every_change_is_audited_with_what_it_changed(api) -> None:
    public_id = create(api)
    update(api, public_id, provider="azure")
    api.delete(f"/v1/configurations/{public_id}")

    entries = AuditEntry.objects.filter(target_kind="configuration").order_by("sequence")
    assert [entry.action for entry in entries] == [f"configuration.{verb}" for verb in ("create", "update", "delete")]
    assert entries[1].before == {"provider": "openai", "version": 1}
    assert entries[1].after == {"provider": "azure", "version": 2}
    assert entries[2].before["parameters"] == PARAMETERS
    assert not Configuration.objects.exists()


def test_deleting_says_how_many(api) -> None:
    public_id = create(api)
    answer = api.delete(f"/v1/configurations/{public_id}")
    assert (answer.status_code, answer.json()) == (200, {"acknowledged": True, "deletedCount": 1})
    assert api.delete(f"/v1/configurations/{public_id}").status_code == 404


def test_names_are_taken_once_in_a_project(api) -> None:
    create(api)
    answer = api.post("/v1/configurations", BODY, content_type="application/json")
    assert (answer.status_code, answer.json()["details"]["field"]) == (409, "name")
    assert Configuration.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"provider": None}, "provider"),
        ({"parameters": {"model": "m"}}, "parameters.call_type"),
        ({"parameters": {**PARAMETERS, "call_type": "song"}}, "parameters.call_type"),
        ({"parameters": {**PARAMETERS, "functionCallParams": "maybe"}}, "parameters.functionCallParams"),
        ({"env": ["moon"]}, "env.0"),
        ({"type": "other"}, "type"),
    ],
)
def test_what_is_wrong_is_named(api, changes, field) -> None:
    answer = api.post("/v1/configurations", {**BODY, **changes}, content_type="application/json")
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, field)
    assert not Configuration.objects.exists()


def test_a_stranger_sees_and_changes_nothing(api) -> None:
    public_id = create(api)
    stranger = make_client(make_token(make_project()))

    assert listed(stranger) == []
    assert update(stranger, public_id, provider="azure")[0] == 404
    assert stranger.delete(f"/v1/configurations/{public_id}").status_code == 404
    assert listed(api)[0]["provider"] == "openai"
