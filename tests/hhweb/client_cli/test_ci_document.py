"""docs/ci.md: its commands work as they stand there, in their order."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "ci.md"


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.mark.process
def test_the_commands_of_the_document_work(run, alone):
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=alone, check=True)
    seen = []
    for program, *arguments in commands():
        assert program == "hhweb"
        result = run(*arguments)
        assert result.exit_code == 0, (arguments, result.output)
        seen.append(result.stdout)
    assert len(seen) == 7
    assert "passed, 1 rule skipped" in seen[2]
    assert "exact: at most 0.02 worse than the baseline: Unchanged, 95 % interval" in seen[4]
    for name in ("gate.md", "gate.xml", "report.html", ".github/workflows/hhweb.yml", "evals/example.py"):
        assert (alone / name).stat().st_size > 400


def test_every_option_of_the_gate_is_in_the_document():
    from hhweb.client_cli.gate import gate_command

    text = DOCUMENT.read_text()
    shared = {"--url", "--api-key", "--data"}
    options = {name for option in gate_command.params for name in option.opts} - shared
    assert {option for option in options if option not in text} == set()
