"""`hhweb completion SHELL`: the script that completes commands, options and files in a shell."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash   hhweb completion bash > ~/.local/share/bash-completion/completions/hhweb
    zsh    hhweb completion zsh > "${fpath[1]}/_hhweb"
    fish   hhweb completion fish > ~/.config/fish/completions/hhweb.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:  # pragma: no cover - click knows all three
        raise click.UsageError(f"There is no completion for {shell}.")
    root = click.get_current_context().find_root().command
    click.echo(script(root, {}, "hhweb", "_HHWEB_COMPLETE").source())
