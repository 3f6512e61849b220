"""``devpod-rp move``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument, yes_option

if TYPE_CHECKING:
    from devpod_rp.environments import Environment
    from devpod_rp.spec.model import EnvironmentSpec


@click.command()
@name_argument
@click.option("--gpu", multiple=True, help="Another GPU type for the new pod; several in the order you like them.")
@click.option("--tier", help="secure, community or any.")
@click.option("--max-price", type=float, help="USD per hour for the whole pod.")
@click.option("--wait-capacity", metavar="TIME", help="Keep asking for so long (30m, 2h) while nothing is free.")
@yes_option
@json_option
def move(
    name: str | None,
    gpu: tuple[str, ...],
    tier: str | None,
    max_price: float | None,
    wait_capacity: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Give a stopped pod's environment a new pod on another host, with the files of its volume disk.

    For a pod whose host has no free GPU. The files are copied through this machine and compared; only then is the old
    pod terminated. Name, Host and folder stay.
    """
    from devpod_rp import environments
    from devpod_rp.cli.up import document, read, summary
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.market.plan import make_plan
    from devpod_rp.lifecycle.move import move as carry
    from devpod_rp.lifecycle.up import up
    from devpod_rp.spec.durations import seconds
    from devpod_rp.spec.sources import load

    environment = pick.environment(name, as_json=as_json)
    folder = Path(environment.folder)
    wait_seconds = read(seconds, wait_capacity, "--wait-capacity") or 0.0
    loaded = load(folder, {"gpu": gpu, "tier": tier, "max_price": max_price}, earlier=environment.flags)
    _agree(environment, loaded.spec, yes, as_json)
    with ui.progress() as progress:
        carry(environment.name, loaded.spec, folder, progress, wait_seconds=wait_seconds)
        moved = environments.load(environment.name)
        with clouds.client_of(moved) as client:
            plan = make_plan(
                folder, loaded.spec, moved.name, moved, clouds.of_environment(moved), client, progress,
                flags=loaded.flags,
            )  # fmt: skip
        ready = up(plan, progress)
    if as_json:
        render.document(document(ready))
    else:
        summary(ready)


def _agree(environment: Environment, spec: EnvironmentSpec, yes: bool, as_json: bool) -> None:
    """Say what the new pod would cost, and ask."""
    from devpod_rp.errors import InterruptedByUserError
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.market.plan import rank

    if yes:
        return
    cloud = clouds.of_environment(environment)
    with clouds.client(cloud) as client:
        best = rank(spec, client).candidates[0]
    simulated = " (simulated)" if cloud.simulated else ""
    what = f"a new pod ({best.machine}) for ${best.price_per_hour:.2f}/h{simulated}"
    if not ui.interactive(as_json):
        raise ui.need_terminal(f"move would start {what}", "--yes")
    if not ui.confirm(f"Start {what}, and terminate pod {environment.pod_id} once its files are there?", default=True):
        raise InterruptedByUserError("Nothing was moved.")
