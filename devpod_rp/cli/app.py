"""The root command: which commands exist, and how every error becomes one document and one exit code."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from devpod_rp import __version__
from devpod_rp.errors import ConfigurationError, DevpodError, ExitCode, InterruptedByUserError, UsageError

# Name -> (where the command lives, one line of help). A table, so that `--help` imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("devpod_rp.cli.up:up", "Create or resume a pod for this folder, connect, sync, keep in sync."),
    "stop": ("devpod_rp.cli.end:stop", "Save what matters, then stop the pod."),
    "snooze": ("devpod_rp.cli.later:snooze", "Let the pod run on, used or not, for a while."),
    "move": ("devpod_rp.cli.move:move", "Give a stopped pod's environment a new pod on another host."),
    "delete": ("devpod_rp.cli.end:delete", "Save what matters, then terminate the pod and forget the environment."),
    "check": ("devpod_rp.cli.end:check", "Say what a stop would destroy."),
    "rescue": ("devpod_rp.cli.rescue:rescue", "Copy what a stop would destroy to the volume · list · restore."),
    "disk": ("devpod_rp.cli.disk:disk", "list · restore container disks that a stop kept (keep_disk)."),
    "list": ("devpod_rp.cli.overview:list_", "All environments and pods, and what they cost."),
    "status": ("devpod_rp.cli.overview:status", "One environment in depth."),
    "cost": ("devpod_rp.cli.cost:cost", "What was spent per environment and day, and how long the money lasts."),
    "gc": ("devpod_rp.cli.account:gc", "Find and clear what interrupted commands left in the cloud."),
    "track": ("devpod_rp.cli.account:track", "Make an environment of a pod that exists already."),
    "ssh": ("devpod_rp.cli.connect:ssh", "A shell on the pod, or one command."),
    "open": ("devpod_rp.cli.open:open_", "Open the pod in an editor."),
    "forward": ("devpod_rp.cli.forward:forward", "Have ports of the pod on this machine."),
    "logs": ("devpod_rp.cli.connect:logs", "The container's log, or the keeper's."),
    "sync": (
        "devpod_rp.cli.sync:sync",
        "status · flush · pause · resume · conflicts · resolve · pull · undo · trash · plan · why",
    ),
    "gpus": ("devpod_rp.cli.catalog:gpus", "GPU types with price and stock."),
    "volumes": ("devpod_rp.cli.catalog:volumes", "list · create · delete network volumes."),
    "templates": ("devpod_rp.cli.catalog:templates", "list · new · show templates."),
    "init": ("devpod_rp.cli.init:init", "Write a commented devpod-rp.toml for this folder."),
    "login": ("devpod_rp.cli.login:login", "Store RunPod's API key, once it is verified."),
    "logout": ("devpod_rp.cli.login:logout", "Remove the stored API key."),
    "config": ("devpod_rp.cli.config:config", "show · schema: what counts here, and from where."),
    "doctor": ("devpod_rp.cli.doctor:doctor", "Check this machine and say how to fix it."),
    "completion": ("devpod_rp.cli.completion:completion", "The completion script for bash, zsh, fish or PowerShell."),
    "ssh-config": ("devpod_rp.cli.ssh_config:ssh_config", "show · remove our hosts in your SSH configuration."),
    "local": ("devpod_rp.cli.local:local", "status · start · stop · reset · fault · preempt of the local cloud."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands from the table, so that Tab imports none of them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        found = [(name, line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=line) for name, line in found]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="devpod-rp")
@click.option("-v", "--verbose", is_flag=True, help="Show the log on stderr.")
@click.option("--json", "as_json", is_flag=True, help="With no command: the overview as one JSON document.")
@click.pass_context
def root(ctx: click.Context, verbose: bool, as_json: bool) -> None:
    """A remote GPU machine that feels like your laptop: nothing is lost, nothing is left billing."""
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
        for chatty in ("paramiko", "httpcore", "httpx"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
    if ctx.invoked_subcommand is None:
        from devpod_rp.cli.overview import show_overview

        show_overview(as_json)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception leaves this function."""
    as_json = "--json" in _before_passthrough(arguments)
    if os.environ.get("_DEVPOD_RP_COMPLETE", "").startswith("powershell"):
        # click brings the other shells itself.
        importlib.import_module("devpod_rp.cli.completion")
    try:
        result = root.main(args=list(arguments), prog_name="devpod-rp", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return int(ExitCode.USAGE)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "devpod-rp"
        return _report(UsageError(error.format_message(), hint=f"{command} --help"), as_json)
    except click.ClickException as error:
        return _report(UsageError(error.format_message()), as_json)
    except (click.Abort, KeyboardInterrupt):
        if as_json:
            return _report(InterruptedByUserError("Interrupted.", hint="the same command goes on."), as_json)
        click.echo("Interrupted.", err=True)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`devpod-rp logs | head`); nothing is wrong on our side.
        sys.stderr.close()
        return int(ExitCode.DONE)
    except DevpodError as error:
        return _report(error, as_json)
    except OSError as error:
        return _report(_unusable_file(error) or _unexpected(error), as_json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: traceback to the log, one line to the user
        return _report(_unexpected(error), as_json)
    return result if isinstance(result, int) else int(ExitCode.DONE)


def _before_passthrough(arguments: Sequence[str]) -> list[str]:
    """The arguments up to ``--``: what follows belongs to the command run on the pod."""
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words


def _report(error: DevpodError, as_json: bool) -> int:
    from devpod_rp.cli import render

    render.error(error, as_json)
    return int(error.exit_code)


def _unusable_file(error: OSError) -> DevpodError | None:
    """The error of a file or folder of ours that cannot be used; None if *error* is about something else."""
    from pathlib import Path

    from devpod_rp import paths

    ours = (paths.state_dir(), paths.config_dir(), paths.log_dir())
    named = Path(str(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    if named is None or not any(named.is_relative_to(each) or each.is_relative_to(named) for each in ours):
        return None
    return ConfigurationError(
        f"{named} cannot be used: {error.strerror}.",
        hint="make room there or mend its permissions, or put our files elsewhere with DEVPOD_RP_HOME.",
    )


def _unexpected(error: Exception) -> DevpodError:
    import traceback

    from devpod_rp import paths

    log = paths.log_dir() / "unexpected.log"
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write("".join(traceback.format_exception(error)) + "\n")
    except OSError as reason:
        return DevpodError(f"{type(error).__name__}: {error}", hint=f"the log could not be written either: {reason}")
    return DevpodError(f"Something we did not expect: {type(error).__name__}: {error}", hint=f"details in {log}")
