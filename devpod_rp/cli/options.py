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
name_option = click.option("--name", help="The environment; default: the one of this folder.")
name_argument = click.argument("name", required=False)
