"""docs/command-line.md tells the truth: its commands run in order, and it knows every command and variable."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from experiments.sdk.configuration import KEY_NAMES, PROJECT_NAMES, URL_NAMES
from hhweb.client_cli import COMMANDS

pytestmark = pytest.mark.process

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\S+)[ ]?(.*?)\n(.*?)^```$", re.M | re.S)
EXIT_CODE = re.compile(r"# exit code (\d+)$")


def leaves(path, command):
    if not hasattr(command, "commands"):
        yield " ".join(path)
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves((*path, name), inner)


def test_the_commands_of_the_document_run_in_their_order(lonely, alone, server, callables):
    (alone / "data").symlink_to(server.data)
    ended = []
    for _, mark, content in BLOCK.findall(DOCUMENT):
        if mark.startswith("file="):
            name = mark.removeprefix("file=")
            (callables if name == "sums_target.py" else alone).joinpath(name).write_text(content, encoding="utf-8")
        elif mark == "run":
            for line in content.splitlines():
                wanted = EXIT_CODE.search(line)
                result = lonely(*shlex.split(line, comments=True)[1:])
                assert result.exit_code == int(wanted[1] if wanted else 0), f"{line}\n{result.output}"
                ended.append(result)

    assert len(ended) == 26
    assert (alone / "pulled.jsonl").read_text() == (alone / "sums.jsonl").read_text()
    assert "sums again" in (alone / "report.html").read_text()
    assert (alone / "metrics.csv").read_text().startswith("run_id,metric_name")
    assert "Nothing to do" in next(result.stdout for result in ended if "has these 2 rows" in result.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_document(name):
    command = getattr(importlib.import_module(f"hhweb.client_cli.{COMMANDS[name][0]}"), f"{name}_command")

    assert [path for path in leaves((name,), command) if f"| `hhweb {path}" not in DOCUMENT] == []


def test_every_variable_of_the_client_is_in_the_document():
    assert [name for name in (*URL_NAMES, *KEY_NAMES, *PROJECT_NAMES) if f"`{name}`" not in DOCUMENT] == []
