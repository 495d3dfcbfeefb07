"""What import contracts cannot show: file length, coupling by text, lazy packages, footprint of imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = ("hhweb", "governance", "experiments", "embeddings_ab")
SOURCES = sorted(
    path
    for app in (*APPS, "tests", "benchmarks", "examples")
    for path in (ROOT / app).rglob("*.py")
    if "migrations" not in path.parts
)
APP_SOURCES = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in APPS]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_stay_under_500_lines() -> None:
    assert [name(path) for path in SOURCES if len(path.read_text().splitlines()) > 500] == []


def test_modules_say_their_place_in_a_docstring() -> None:
    trees = {name(path): ast.parse(path.read_text()) for path in APP_SOURCES}

    assert [path for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_no_coupling_by_text() -> None:
    hidden = re.compile(r"get_model\(|ForeignKey\(\"")

    assert [name(path) for path in APP_SOURCES if hidden.search(path.read_text())] == []


def test_the_environment_has_one_reader() -> None:
    # The launcher hands an environment to its children; entry points write defaults before Django starts.
    readers = []
    for path in APP_SOURCES:
        text = re.sub(r"os\.environ(\.setdefault\(|\[[^]]+\] = )", "", path.read_text())
        if "os.environ" in text or "getenv(" in text:
            readers.append(name(path))

    # The SDK and the command line are clients: they run in the environment of a user, not of the server.
    clients = ("experiments/sdk/", "hhweb/client_cli/")
    launchers = ("hhweb/embedded/", "hhweb/cli.py", "hhweb/settings/environment.py", *clients)
    assert [reader for reader in readers if not reader.startswith(launchers)] == []


def test_there_is_no_room_for_odds_and_ends() -> None:
    forbidden = {"utils", "util", "common", "core", "helpers", "misc"}
    assert [name(path) for path in SOURCES if forbidden & {path.stem, *path.parts[-2:-1]}] == []


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_packages_import_nothing_by_themselves() -> None:
    loaded = modules_after("import hhweb, experiments, governance, embeddings_ab")

    assert not loaded & {"django", "celery", "pydantic", "numpy", "httpx"}


def test_the_command_line_imports_without_django() -> None:
    assert not modules_after("import hhweb.cli") & {"django", "celery", "numpy", "redis", "psycopg"}
