"""``ssh`` and ``logs``: getting at the pod."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from devpod_rp.cli import notice, pick, render, ui
from devpod_rp.cli.options import environment_names, json_option, name_argument
from devpod_rp.errors import DevpodError, UnreachableError, printable

_COMMAND = "devpod_rp.ssh.command"
_SHOWN_CHARACTERS = 40


class _PassingThrough(click.Command):
    """A command that leaves what stands behind the first ``--`` alone, and knows that it did."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_PassingThrough, context_settings={"ignore_unknown_options": True})
@click.argument(
    "words",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[NAME] [-- COMMAND...]",
    shell_complete=environment_names,
)
@json_option
@click.pass_context
def ssh(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> int:
    """A shell on the pod, or one command after ``--``; its exit code becomes ours.

    A command of one word is a line for the pod's shell, as ssh takes it.
    """
    from devpod_rp import paths

    name, command = _meant(words, ctx.meta.get(_COMMAND))
    environment = pick.environment(name, as_json=as_json)
    if environment.status != "RUNNING" and not environment.spec.get("auto_start"):
        raise UnreachableError(
            f"{environment.name} is {environment.status}.", hint=f"devpod-rp up {environment.name} starts it."
        )
    at_a_terminal = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    arguments = ["ssh", "-F", str(paths.ssh_hosts_file())]
    if command and at_a_terminal:
        arguments += ["-t", "-o", "LogLevel=ERROR"]  # without "Connection to … closed." below each output
    arguments.append(environment.host_alias)
    if command:
        arguments += ["--", command[0] if len(command) == 1 else shlex.join(command)]
    # A shell ends when its user says so; a command may run all night.
    ended = notice.timer(notice.threshold(environment) if command else None)
    try:
        if not as_json:
            code = subprocess.run(arguments, check=False).returncode
            ended(f"{_spoken(command)} ended on {environment.name}", f"Exit code {code}." if code else None)
            return code
        done = subprocess.run(arguments, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError as error:
        raise DevpodError("There is no ssh on PATH.", hint="install OpenSSH's client (openssh-client).") from error
    render.document(
        {
            "exit_code": done.returncode,
            "stdout": done.stdout.decode("utf-8", "replace"),
            "stderr": done.stderr.decode("utf-8", "replace"),
        }
    )
    return done.returncode


def _spoken(command: tuple[str, ...]) -> str:
    text = printable(" ".join(command))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _meant(words: tuple[str, ...], behind: tuple[str, ...] | None) -> tuple[str | None, tuple[str, ...]]:
    """The environment's name, None if it is not said, and the command: *behind* is what stood after ``--``."""
    from devpod_rp import environments

    if behind is not None and len(words) < 2:
        return (words[0] if words else None), behind
    command = words if behind is None else (*words, "--", *behind)
    named = bool(words) and environments.find(words[0]) is not None
    return (command[0], command[1:]) if named else (None, command)


@click.command()
@name_argument
@click.option("--keeper", is_flag=True, help="The keeper's log instead of the container's.")
@click.option("--tail", type=int, default=200, show_default=True, help="Lines from the end.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing.")
@json_option
def logs(name: str | None, keeper: bool, tail: int, follow: bool, as_json: bool) -> None:
    """The container's log, or the keeper's."""
    from devpod_rp.control import keeper_log_file
    from devpod_rp.lifecycle.account import clouds

    environment = pick.environment(name, as_json=as_json)
    if keeper:
        _print_lines(_file_lines(keeper_log_file(environment.name), tail), as_json)
        return
    if environment.pod_id is None:
        raise UnreachableError(f"{environment.name} has no pod.", hint=f"devpod-rp up {environment.name} makes one.")
    with clouds.client_of(environment) as client:
        found = client.pod_logs(environment.pod_id, tail=tail, follow=follow and not as_json)
        if as_json:
            render.document({"lines": [{"ts": each.ts, "source": each.source, "line": each.line} for each in found]})
            return
        for each in found:
            click.echo(f"{each.ts} {each.source:<9} {each.line}")


def _file_lines(path: Path, tail: int) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()[-tail:]
    except FileNotFoundError:
        ui.note("The keeper has not written a log yet.")


def _print_lines(lines: Iterator[str], as_json: bool) -> None:
    if as_json:
        render.document({"lines": list(lines)})
        return
    for line in lines:
        click.echo(line)
