"""The options that several commands share, spelled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document on stdout.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Answer every question with its safe default.")
cloud_option = click.option(
    "--cloud", type=click.Choice(["runpod", "local"]), help="Which cloud; default: RunPod if there is an API key."
)
download_option = click.option(
    "--download",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Bring what would be lost to this folder here; goes on after a cut.",
)


def environment_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The environments whose name begins like *incomplete*, for the shell; from the folder's listing alone."""
    from devpod_rp import paths

    folder = paths.environments_dir()
    names = (each.name for each in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))


def template_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The templates whose name begins like *incomplete*, for the shell; none of them is read."""
    from devpod_rp.spec.templates import template_names as names

    return [name for name in names() if name.startswith(incomplete)]


name_option = click.option(
    "--name", help="The environment; default: the one of this folder.", shell_complete=environment_names
)
name_argument = click.argument("name", required=False, shell_complete=environment_names)
