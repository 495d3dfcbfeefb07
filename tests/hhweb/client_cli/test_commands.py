"""The command line as a whole: quick to start, light, complete, and helpful when a name is wrong."""

import importlib
import subprocess
import sys

import pytest

from hhweb.client_cli import COMMANDS
from tests.hhweb.running import clean_environment

pytestmark = pytest.mark.process

HEAVY = (
    "django",
    "celery",
    "numpy",
    "scipy",
    "pandas",
    "structlog",
    "httpx",
    "pydantic",
    "rich",
    "asyncio",
    "opentelemetry",
)
WITHOUT_JSON = {"completion", "init github"}


def loaded_after(program):
    """Names of modules that a fresh interpreter has loaded after `program`."""
    said = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules, sep=chr(10), file=sys.stderr)"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(said.stderr.split())


def test_help_loads_no_command_and_nothing_heavy():
    loaded = loaded_after("import hhweb.cli\nhhweb.cli.main(['--help'], standalone_mode=False)")

    assert [name for name in HEAVY if name in loaded] == []
    assert [name for name in loaded if name.startswith("hhweb.client_cli.")] == []


def test_the_modules_of_all_commands_are_light():
    modules = sorted({module for module, _ in COMMANDS.values()})

    loaded = loaded_after("\n".join(f"import hhweb.client_cli.{module}" for module in modules))

    assert [name for name in HEAVY if name in loaded] == []


def test_a_command_that_asks_the_server_loads_no_server(server):
    arguments = ["runs", "list", "--data", str(server.data)]

    loaded = loaded_after(f"import hhweb.cli\nhhweb.cli.main({arguments!r}, standalone_mode=False)")

    assert "httpx" in loaded
    assert [name for name in ("django", "celery", "numpy", "structlog") if name in loaded] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_help_is_the_commands_own(name):
    module, line = COMMANDS[name]

    command = getattr(importlib.import_module(f"hhweb.client_cli.{module}"), f"{name}_command")

    assert command.name == name
    assert command.get_short_help_str(200) == line


def commands_of(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_offers_json():
    found = {}
    for name, (module, _) in COMMANDS.items():
        command = getattr(importlib.import_module(f"hhweb.client_cli.{module}"), f"{name}_command")
        found.update(dict(commands_of(command, (name,))) if hasattr(command, "commands") else {name: command})

    without = {path for path, command in found.items() if not any("--json" in each.opts for each in command.params)}

    assert without <= WITHOUT_JSON


def test_commands_stand_in_the_order_of_work_and_the_servers_last(lonely):
    shown = lonely("--help").stdout.split("Commands:")[1]

    names = [line.split()[0] for line in shown.splitlines() if line[:2] == "  " and line[2:3].strip()]
    assert names == [*COMMANDS, "ab", "manage", "up"]


@pytest.mark.parametrize(("typed", "meant"), [("run", "runs"), ("dataset", "datasets"), ("exprt", None)])
def test_a_name_that_is_none_gets_a_suggestion(lonely, typed, meant):
    result = lonely(typed)

    assert result.exit_code == 2
    assert f"No such command '{typed}'" in result.stderr
    assert (f"Did you mean '{meant}'?" in result.stderr) == (meant is not None)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(lonely, shell):
    result = lonely("completion", shell)

    assert result.exit_code == 0
    assert f"_HHWEB_COMPLETE={shell}_complete" in result.stdout


def test_the_script_completes_commands_in_a_real_shell(tmp_path):
    command = tmp_path / "hhweb"
    command.write_text(f"#!{sys.executable}\nfrom hhweb.cli import main\nmain()\n")
    command.chmod(0o755)
    program = (
        "source <(hhweb completion bash); COMP_WORDS=(hhweb runs li); COMP_CWORD=2; _hhweb_completion hhweb; "
        'echo "${COMPREPLY[@]}"'
    )
    environment = clean_environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"

    said = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert said.stdout == "list\n"
