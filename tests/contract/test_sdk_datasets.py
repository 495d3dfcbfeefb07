"""The official client's `datasets` and `datapoints` objects against a live server."""

import pytest

honeyhive = pytest.importorskip("honeyhive")

from honeyhive.models import (  # noqa: E402
    AddDatapointsToDatasetRequest,
    CreateDatapointRequest,
    CreateDatasetRequest,
    DatapointMapping,
    UpdateDatapointRequest,
    UpdateDatasetRequest,
)


@pytest.fixture
def sdk(live_server, transactional_db):
    """The client, pointed at the live server with a fresh project's key."""
    from tests.factories import make_project, make_token

    return honeyhive.HoneyHive(api_key=make_token(make_project()), base_url=live_server.url)


def test_a_dataset_lives_its_whole_life(sdk):
    created = sdk.datasets.create(CreateDatasetRequest(name="cases", description="first", project="ignored"))
    assert created.inserted is True
    dataset_id = created.result.insertedId
    added = sdk.datasets.add_datapoints(
        dataset_id,
        AddDatapointsToDatasetRequest(
            data=[{"q": "a", "answer": "A", "note": 1}, {"q": "b", "answer": "B"}],
            mapping=DatapointMapping(inputs=["q"], ground_truth=["answer"]),
        ),
    )
    first, second = added.datapoint_ids
    (shown,) = sdk.datasets.list(dataset_id=dataset_id).datasets
    assert (shown.name, shown.datapoints) == ("cases", [first, second])
    assert [each.id for each in sdk.datasets.list(name="cases").datasets] == [dataset_id]
    assert sdk.datasets.list(name="case").datasets == []
    updated = sdk.datasets.update(
        UpdateDatasetRequest(dataset_id=dataset_id, name="renamed", datapoints=[second, first])
    )
    assert (updated.result.name, updated.result.datapoints) == ("renamed", [second, first])
    removed = sdk.datasets.remove_datapoint(dataset_id, second)
    assert removed.dereferenced is True
    assert sdk.datasets.get_dataset(dataset_id).datasets[0].datapoints == [first]
    assert sdk.datasets.delete(dataset_id).result.id == dataset_id
    assert sdk.datasets.list(dataset_id=dataset_id).datasets == []


def test_a_managed_dataset_is_built_of_linked_datapoints(sdk):
    dataset_id = sdk.datasets.create(CreateDatasetRequest(name="managed")).result.insertedId
    ids = [
        sdk.datapoints.create(
            CreateDatapointRequest(
                inputs={"q": number},
                ground_truth={"a": number},
                metadata={"n": number},
                history=[{"role": "user", "content": "hi"}],
                linked_datasets=[dataset_id],
            )
        ).result.insertedIds[0]
        for number in range(3)
    ]
    assert sdk.datasets.list(dataset_id=dataset_id).datasets[0].datapoints == ids
    (found,) = sdk.datapoints.get(ids[1]).datapoint
    assert (found.inputs, found.ground_truth, found.metadata) == ({"q": 1}, {"a": 1}, {"n": 1})
    assert found.history == [{"role": "user", "content": "hi"}]
    assert found.linked_event is None
    assert found.linked_datasets == [dataset_id]
    assert [each.id for each in sdk.datapoints.list(dataset_name="managed").datapoints] == ids
    assert [each.id for each in sdk.datapoints.list().datapoints] == ids
    changed = sdk.datapoints.update(ids[1], UpdateDatapointRequest(inputs={"q": "new"}))
    assert (changed.updated, changed.result.modifiedCount) == (True, 1)
    assert sdk.datapoints.get(ids[1]).datapoint[0].ground_truth == {"a": 1}
    assert sdk.datapoints.delete(ids[0]).deleted is True
    assert sdk.datasets.list(dataset_id=dataset_id).datasets[0].datapoints == ids[1:]


def test_ids_beyond_one_batch_of_the_client_are_all_found(sdk):
    dataset_id = sdk.datasets.create(CreateDatasetRequest(name="many")).result.insertedId
    ids = sdk.datasets.add_datapoints(
        dataset_id,
        AddDatapointsToDatasetRequest(
            data=[{"q": number} for number in range(250)], mapping=DatapointMapping(inputs=["q"])
        ),
    ).datapoint_ids
    assert [each.id for each in sdk.datapoints.list(datapoint_ids=ids).datapoints] == ids


def test_refusals_reach_the_user_with_code_and_sentence(sdk):
    from honeyhive._generated.api_config import HTTPException

    sdk.datasets.create(CreateDatasetRequest(name="cases"))
    with pytest.raises(HTTPException) as duplicate:
        sdk.datasets.create(CreateDatasetRequest(name="cases"))
    assert duplicate.value.status_code == 409
    assert duplicate.value.error_code == "conflict"
    assert "Choose another name" in duplicate.value.server_message
    with pytest.raises(HTTPException) as missing:
        sdk.datapoints.get("nobody")
    assert missing.value.status_code == 404
