"""``completion``: the script that lets a shell complete our commands, options and environments."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from devpod_rp.cli.options import json_option

_SHELLS = ("bash", "zsh", "fish", "powershell")
_PROGRAM, _VARIABLE = "devpod-rp", "_DEVPOD_RP_COMPLETE"

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $env:COMP_WORDS = $commandAst.ToString()
    $env:COMP_CWORD = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    try {
        %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            if (-not $help) { $help = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $help)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s
    }
}
"""


class PowerShell(ShellComplete):
    """What click does not bring: one completion a line, its help after a tab."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        incomplete = os.environ.get("COMP_CWORD", "")
        words = split_arg_string(os.environ["COMP_WORDS"])[1:]
        if incomplete and words and words[-1] == incomplete:
            words.pop()
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help or ''}"


add_completion_class(PowerShell)


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of a shell; environments are completed by name.

    \b
    bash: eval "$(devpod-rp completion bash)" in ~/.bashrc
    zsh: the same, with zsh, in ~/.zshrc, after compinit
    fish: devpod-rp completion fish > ~/.config/fish/completions/devpod-rp.fish
    PowerShell: devpod-rp completion powershell | Out-String | Invoke-Expression in $PROFILE.
    """
    from devpod_rp.cli import render

    script = _script(shell)
    if as_json:
        render.document({"shell": shell, "script": script})
    else:
        click.echo(script)


def _script(shell: str) -> str:
    maker: Any = get_completion_class(shell)
    made = maker(None, {}, _PROGRAM, _VARIABLE)
    # Not source(): click's asks the bash that is installed for its version, and the script is for another machine, too.
    return str(made.source_template % made.source_vars())
