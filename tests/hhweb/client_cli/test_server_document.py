"""docs/server-experiments.md tells the truth: its commands and requests run in order, and it names every field."""

import json
import re
import shlex
from pathlib import Path

import pytest

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_status import ExperimentStatus
from experiments.sdk.errors import ServerError
from hhweb.client_cli.server_experiments import COMMANDS

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "server-experiments.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\S+)[ ]?(.*?)\n(.*?)^```$", re.M | re.S)
EXIT_CODE = re.compile(r"# exit code (\d+)$")


def send(client, mark, content, shown):
    """Send a request of the document: answered as its mark says, and refused in the words that are shown below it."""
    method, path, status, *field = mark.removeprefix("request=").split(":")
    options = {"json": json.loads(content), "headers": {"Idempotency-Key": "from-the-document"}}
    if not field:
        assert client.request(method, path, **options)["status"] in {"queued", "preparing", "running", "completed"}
        return
    with pytest.raises(ServerError) as refused:
        client.request(method, path, **options)
    assert (refused.value.status, refused.value.details["field"]) == (int(status), *field)
    assert str(refused.value).startswith(shown)


@pytest.mark.process
def test_the_commands_and_requests_of_the_document_run_in_their_order(lonely, alone, server, callables, client):
    (alone / "data").symlink_to(server.data)
    printed = []
    blocks = BLOCK.findall(DOCUMENT)
    for place, (_, mark, content) in enumerate(blocks):
        if mark.startswith("file="):
            name = mark.removeprefix("file=")
            (callables if name.endswith(".py") else alone).joinpath(name).write_text(content, encoding="utf-8")
        elif mark.startswith("request="):
            (dataset,) = client.datasets(name="capitals")
            shown = blocks[place + 1][2].partition("…")[0].strip()
            send(client, mark, content.replace("$DATASET_ID", dataset["id"]), shown)
        elif mark == "run":
            for line in content.splitlines():
                wanted = EXIT_CODE.search(line)
                result = lonely(*shlex.split(line, comments=True)[1:])
                assert result.exit_code == int(wanted[1] if wanted else 0), f"{line}\n{result.output}"
                printed.append(result.output)

    assert len(printed) == 9
    assert "3 passed · 1 failed" in printed[2]
    assert "8 of 8 done" in printed[6]
    assert "cannot be cancelled" in printed[8]


def test_the_document_names_every_field_every_status_and_every_command():
    fields = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT.partition("## What it takes")[2], re.M))
    assert set(ExperimentSpec.model_fields) <= fields
    statuses = DOCUMENT.partition("| Status |")[2].partition("\n\n")[0]
    assert [status.value for status in ExperimentStatus if f"`{status.value}`" not in statuses] == []
    assert [command.name for command in COMMANDS if f"| `{command.name} " not in DOCUMENT] == []
