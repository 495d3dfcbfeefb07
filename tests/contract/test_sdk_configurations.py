"""The official client's `configurations` object against a live server."""

import pytest

honeyhive = pytest.importorskip("honeyhive")

from honeyhive.models import (  # noqa: E402
    CreateConfigurationRequest,
    UpdateConfigurationRequest,
)


@pytest.fixture
def sdk(live_server, transactional_db):
    """The client, pointed at the live server with a fresh project's key."""
    from tests.factories import make_project, make_token

    return honeyhive.HoneyHive(api_key=make_token(make_project()), base_url=live_server.url)


def test_a_configuration_lives_its_whole_life(sdk):
    parameters = {
        "call_type": "chat",
        "model": "gpt-4o",
        "hyperparameters": {"temperature": 0},
        "responseFormat": {"type": "text"},
        "selectedFunctions": [{"id": "1", "name": "look_up", "description": "d", "parameters": {"type": "object"}}],
        "functionCallParams": "auto",
        "template": [{"role": "user", "content": "{{question}}"}],
    }
    created = sdk.configurations.create(
        CreateConfigurationRequest(
            name="answers",
            type="LLM",
            provider="openai",
            parameters=parameters,
            env=["dev"],
            tags=["first"],
        )
    )
    assert created.acknowledged is True
    (shown,) = sdk.configurations.list()
    assert (shown.id, shown.name, shown.type, shown.provider) == (created.insertedId, "answers", "LLM", "openai")
    assert (shown.env, shown.tags, shown.parameters.model) == (["dev"], ["first"], "gpt-4o")
    assert shown.parameters.template[0].content == "{{question}}"
    assert shown.parameters.selectedFunctions[0].name == "look_up"

    updated = sdk.configurations.update(
        created.insertedId,
        UpdateConfigurationRequest(name="answers", parameters={**parameters, "model": "gpt-5"}),
    )
    assert (updated.acknowledged, updated.modifiedCount, updated.matchedCount) == (True, 1, 1)
    (shown,) = sdk.configurations.list()
    assert (shown.parameters.model, shown.provider) == ("gpt-5", "openai")

    deleted = sdk.configurations.delete(created.insertedId)
    assert (deleted.acknowledged, deleted.deletedCount) == (True, 1)
    assert sdk.configurations.list() == []
