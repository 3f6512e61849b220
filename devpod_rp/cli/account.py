"""``gc`` and ``track``: the account's pods, ours and others', and who owns them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import cloud_option, json_option

if TYPE_CHECKING:
    from devpod_rp.lifecycle.leftovers import Leftover


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do what it proposes without asking.")
@cloud_option
@json_option
def gc(yes: bool, cloud: str | None, as_json: bool) -> None:
    """Find pods that our interrupted commands left; adopt or terminate them.

    A pod that was never handed over is terminated; one whose record is lost becomes an environment again. Pods that
    this installation did not make are never touched.
    """
    from devpod_rp.lifecycle import leftovers
    from devpod_rp.lifecycle.account import clouds

    where = clouds.choose(cloud)
    with clouds.client(where) as client, ui.progress() as progress:
        found = leftovers.survey(where, client, progress)
        done = []
        for each in found.leftovers:
            with ui.undisturbed():
                agreed = yes or (ui.interactive(as_json) and ui.confirm(_proposal(each), default=True))
            if agreed:
                leftovers.clear(each, where, client, progress)
                done.append(each)
    if as_json:
        render.document({**found.as_json(), "cleared": [each.pod_id for each in done], "simulated": where.simulated})
        return
    if not found.leftovers:
        click.echo("No pod was left behind.")
    for each in found.leftovers:
        click.echo(f"{'Done: ' if each in done else 'Left alone: '}{_proposal(each)}")
    for volume in found.idle_volumes:
        click.echo(
            f"No environment uses the network volume {volume.name} ({volume.id}, {volume.size_gb} GB in "
            f"{volume.data_center}), and it bills: devpod-rp volumes delete {volume.id} ends that."
        )
    if found.leftovers and not done and not ui.interactive():
        ui.note("devpod-rp gc --yes does what is proposed.")


def _proposal(leftover: Leftover) -> str:
    money = render.money(leftover.cost_per_hour)
    pod = f"pod {leftover.pod_id} ({leftover.name}, {leftover.status}, {money})"
    if leftover.remedy == "terminate":
        return f"terminate {pod}, which was never handed over"
    return f"adopt {pod}, whose record is lost"


@click.command()
@click.argument("pod_id")
@click.option("--name", help="What to call the environment; default: after the pod.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Instead of this one.")
@cloud_option
@json_option
def track(pod_id: str, name: str | None, folder: Path | None, cloud: str | None, as_json: bool) -> None:
    """Make an environment of a pod that exists already; it is not changed."""
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.reach import hosts
    from devpod_rp.lifecycle.track import track as adopt

    where = clouds.choose(cloud)
    with clouds.client(where) as client, ui.progress() as progress:
        made = adopt(pod_id, where, client, name=name, folder=folder, progress=progress)
    hosts.write_ssh_config()
    if as_json:
        render.document(overview.describe(made, overview.sync_status(made)))
    else:
        click.echo(f"The pod {pod_id} is the environment {made.name} now. Next: devpod-rp up {made.name}")
