"""The documents tell the truth: the quickstart's blocks run in order against a real server.

A block's info string says what happens to it: `python file=NAME` is saved under that name, `bash run` is executed in
one shell with all the others, `bash start` is the command that starts the platform. Blocks without a mark are not
allowed in the quickstart.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.stack import Stack
from tests.hhweb.running import prepared

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\S+)[ ]?(.*?)\n(.*?)^```$", re.M | re.S)


def blocks_of(name: str) -> list[tuple[str, str, str]]:
    """(language, mark, content) of each fenced block of a document, in order."""
    return BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))


DOCUMENTS = ("quickstart.md", "tutorial.md")  # sdk.md is a reference: its programs stand alone


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_is_executed(name):
    marks = {(language, mark.partition("=")[0]) for language, mark, _ in blocks_of(name)}
    assert marks - {("json", "file")} == {("bash", "start"), ("bash", "run"), ("python", "file")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_start_command_is_the_one_that_the_test_runs(name):
    (command,) = [content.strip() for _, mark, content in blocks_of(name) if mark == "start"]
    planned = subprocess.run(
        [*command.split(), "-n", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert planned.splitlines()[-1] == ".venv/bin/hhweb up --data var/hhweb --port 8000 --database sqlite"


@pytest.fixture(scope="module")
def started(server_folder):
    """A folder in which the platform of the documents runs, as `make up` would have started it."""
    folder = server_folder / "documents"
    folder.mkdir()
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    with Stack(prepared(folder / "var" / "hhweb")):
        yield folder


def executed(name: str, folder: Path) -> list[str]:
    """The lines that a document's blocks print, saved and run in their order in one shell."""
    script = ["set -eu"]
    for number, (_, mark, content) in enumerate(blocks_of(name)):
        if mark.startswith("file="):
            (folder / f"{number}.block").write_text(content, encoding="utf-8")
            script.append(f"cp {number}.block {mark.removeprefix('file=')}")
            if name == "sdk.md":
                script.append(f".venv/bin/python {mark.removeprefix('file=')}")
        elif mark == "run":
            script.append(content)
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        # Nothing of the developer's environment: no git user, no terminal, a home of its own.
        # An empty folder of certificates: the client would read them all for each call.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TERM": "dumb",
            "HH_API_TIMEOUT": "30",
            "PYTHONIOENCODING": "utf-8",
            "SSL_CERT_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout.splitlines()


@pytest.mark.process
def test_the_quickstart_runs_from_start_to_end(started):
    lines = executed("quickstart.md", started)
    assert "common datapoints: 5" in lines
    assert "correct 0.75 -> 1.0 improved: ['EXT-r3']" in lines
    assert "failed: ['EXT-r3', 'EXT-r5']" in lines or "failed: ['EXT-r5', 'EXT-r3']" in lines
    assert "tool look_up {'hits': 2}" in lines


@pytest.mark.process
def test_the_tutorial_runs_from_start_to_end(started):
    lines = executed("tutorial.md", started)
    assert "better: ['exact_match', 'right_team'] worse: []" in lines
    assert "right_team 0.6 -> 1.0 improved: ['EXT-t4', 'EXT-t5']" in lines
    assert (started / "report.html").stat().st_size > 1000


@pytest.mark.process
def test_the_programs_of_the_sdk_reference_hold(started):
    executed("sdk.md", started)


def served_endpoints() -> set[tuple[str, str]]:
    """(method, path) of every protocol route that starts with /v1 or has no versioned form."""
    from inspect import getclosurevars, unwrap

    from experiments.honeyhive_api.urls import urlpatterns

    routes = {}
    for pattern in urlpatterns:
        handlers = getclosurevars(unwrap(pattern.callback)).nonlocals["handlers"]
        path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        routes[path] = set(handlers)
    return {(method, path) for path, methods in routes.items() if f"/v1{path}" not in routes for method in methods}


def documented_endpoints() -> set[tuple[str, str]]:
    """(method, path) of the rows of the protocol document's endpoint table."""
    text = (ROOT / "docs" / "honeyhive-protocol.md").read_text(encoding="utf-8")
    table = text.partition("<!-- endpoints -->")[2].partition("<!-- /endpoints -->")[0]
    return {
        (method, path)
        for methods, path in re.findall(r"^\| `([A-Z, ]+)` \| `([^`]+)` \|", table, re.M)
        for method in methods.split(", ")
    }


def test_protocol_document_lists_the_served_endpoints():
    assert documented_endpoints() == served_endpoints()
