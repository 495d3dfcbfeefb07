"""`hhweb ab …`: A/B tests from a command line. A command is loaded when it is asked for; none imports Django."""

import importlib

import click

# Command -> module of this package that defines `<command>_command`.
COMMANDS = {
    "import": "uploads",
    "init": "specs",
    "plan": "running",
    "run": "running",
    "start": "running",
    "cancel": "running",
    "resume": "running",
    "delete": "running",
    "watch": "running",
    "list": "reading",
    "results": "reading",
    "compare": "reading",
    "export": "reading",
}


class LazyCommands(click.Group):
    """A group that imports the module of a command only when that command is run or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.group(name="ab", cls=LazyCommands)
def ab() -> None:
    """Compare retrieval set-ups on your documents and judged queries.

    The server is found by --url and --api-key, else by HH_API_URL and HH_API_KEY, else by the credentials.json of a
    data folder of `hhweb up` (--data, or ./data, or ./var/hhweb).

    Exit codes: 0 done, 1 the test did not complete, 2 refused or out of reach, 3 an arm is worse (--fail-if-worse).
    """
