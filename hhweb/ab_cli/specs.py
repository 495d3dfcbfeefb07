"""Specifications of tests as files: an example to start from, and its reader."""

from pathlib import Path
from typing import Any

import click

from hhweb.yaml_files import read_mapping

EXAMPLE = Path(__file__).with_name("example.yaml")


def read_spec(path: Path) -> dict[str, Any]:
    """The specification in a YAML (or JSON) file; what it means is checked by the server."""
    return read_mapping(path, hint="`hhweb ab init` writes one to start from")


SPEC = click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="SPEC.yaml")


@click.command("init")
@click.argument("target", default="ab-test.yaml", type=click.Path(dir_okay=False, path_type=Path))
def init_command(target: Path) -> None:
    """Write a commented specification to TARGET (ab-test.yaml) to start from."""
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise click.UsageError(f"{target} exists; give another name.") from None
    except OSError as error:
        raise click.UsageError(f"{target} cannot be written: {error.strerror}.") from None
    click.echo(f"Wrote {target}. Edit it, then: hhweb ab plan {target}")
