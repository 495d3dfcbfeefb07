"""Commands of the client: experiments, runs, datasets, the spool, gates, reports. A command's module is loaded when
the command is asked for, its help line stands here: `hhweb --help` imports none of them. None imports Django.
"""

import difflib
import importlib

import click

# Command -> (module of this package that defines `<command>_command`, line of help).
COMMANDS = {
    "login": ("login", "Store address and key of a server for this user."),
    "logout": ("login", "Forget the stored key."),
    "experiments": ("experiments", "Run experiments: `run` here, the other commands on the server."),
    "runs": ("runs", "List, show, compare and export runs."),
    "datasets": ("datasets", "Push, pull and list datasets."),
    "spool": ("spool", "Deliver runs that finished while the server was away."),
    "gate": ("gate", "Decide whether a run is good enough: for CI."),
    "report": ("report", "Write one self-contained HTML file of a run or comparison."),
    "init": ("init", "Write a starting point into this repository."),
    "import": ("importing", "Bring experiments from other tools."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class LazyCommands(click.Group):
    """The client's commands first, in the order of work, then those that were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with near matches for a name that is none."""
        names = self.list_commands(ctx)
        near = difflib.get_close_matches(args[0], names, n=1) if args and args[0] not in names else []
        if near and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without loading what it lists."""
        rows = [(name, text) for name, (_, text) in COMMANDS.items()]
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            rows.append((name, command.get_short_help_str(100) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
