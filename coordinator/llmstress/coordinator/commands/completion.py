"""`llmstress completion`: prints the script with which a shell completes commands, flags and values."""

import click
from click.shell_completion import get_completion_class

from llmstress.coordinator.commands.click_types import SectionedCommand

_HELP = """Print the completion script of a shell.

\b
eval "$(llmstress completion bash)"                   in ~/.bashrc
eval "$(llmstress completion zsh)"                    in ~/.zshrc, after compinit
llmstress completion fish | source                    in ~/.config/fish/config.fish
"""


def completion_command(root: click.Command) -> click.Command:
    """The command that prints the completion scripts of `root`; click makes them, and completes when they call it."""

    @click.command("completion", cls=SectionedCommand, help=_HELP)
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    def completion(shell: str) -> None:
        from llmstress.coordinator.output.outputs import write_out  # importing it would slow down --help

        of_shell = get_completion_class(shell)
        assert of_shell is not None
        write_out(of_shell(root, {}, "llmstress", "_LLMSTRESS_COMPLETE").source().encode() + b"\n")

    return completion
