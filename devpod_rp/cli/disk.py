"""``disk list``, ``disk restore``: the container disks that stops kept on the volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument
from devpod_rp.errors import printable

if TYPE_CHECKING:
    from devpod_rp.guard.kept_disk import KeptDisk, PutBack


@click.group()
def disk() -> None:
    """Container disks that a stop kept on the volume (keep_disk): list them, put one back."""


@disk.command("list")
@name_argument
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """The kept disks on the volume, oldest first; the last two stay."""
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.furnishing import disks

    found = disks.kept(overview.look_at(pick.environment(name, as_json=as_json)))
    if as_json:
        render.document({"disks": [each.as_json() for each in found]})
        return
    if not found:
        click.echo("No disk is kept on this volume.")
        return
    render.table(
        ["NAME", ">FILES", ">SIZE", ">PACKED", "OF", "IMAGE"],
        [
            [
                each.name,
                str(each.files),
                ui.size(each.size),
                ui.size(each.stored),
                _extent(each),
                each.image,
            ]
            for each in found
        ],
    )


def _extent(kept: KeptDisk) -> str:
    extent = "the whole disk" if kept.whole else "some folders"
    return f"{extent}, stays until it is restored" if kept.held else extent


@disk.command()
@name_argument
@click.option("--from", "kept", metavar="NAME", help="This one, as `disk list` names it; default: the newest.")
@click.option("--only", multiple=True, metavar="PATH", help="Only this file or folder on the pod (repeatable).")
@click.option("--everything", is_flag=True, help="Of another image's disk also what belongs to its system.")
@click.option("--overwrite", is_flag=True, help="Also replace files that somebody made on this pod.")
@json_option
def restore(
    name: str | None, kept: str | None, only: tuple[str, ...], everything: bool, overwrite: bool, as_json: bool
) -> int:
    """Put a kept disk back on the running pod, with owners, modes, times and deletions.

    What this image brings differently and what somebody made since stays, with the kept version beside it; then the
    exit code is 7.
    """
    from devpod_rp.errors import ExitCode
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.furnishing import disks

    environment = overview.look_at(pick.environment(name, as_json=as_json))
    with ui.progress() as progress:
        done = disks.restore(
            environment, name=kept, only=only, everything=everything, overwrite=overwrite, progress=progress
        )
    if as_json:
        render.document(done.as_json())
    else:
        _tell(done)
    return ExitCode.WOULD_LOSE_DATA if done.conflicts or done.left else ExitCode.DONE


def _tell(done: PutBack) -> None:
    already = f"; {done.present} were there already" if done.present else ""
    removed = f"; {done.deleted} deleted again" if done.deleted else ""
    click.echo(f"Put back {ui.files(done.files)} ({ui.size(done.bytes)}) of {done.disk.name}{already}{removed}.")
    for path, reason in done.conflicts.items():
        click.echo(f"  {printable(path)}: {reason}")
    if done.left:
        click.echo(f"{done.left} names belong to the system of {done.disk.image}; --everything puts them here, too.")
    if done.conflicts:
        click.echo("hint: --overwrite replaces what is there.")
