"""``forward``: ports of the pod on this machine."""

from __future__ import annotations

from typing import Any

import click

from devpod_rp.cli import pick, render
from devpod_rp.cli.options import json_option, name_option
from devpod_rp.cli.overview import forward_line
from devpod_rp.errors import UnreachableError, UsageError


@click.command()
@click.argument("ports", nargs=-1, metavar="[[LABEL=]PORT[:LOCAL]]...")
@click.option("--stop", "stop", is_flag=True, help="End these tunnels (by port or label) instead.")
@name_option
@json_option
def forward(ports: tuple[str, ...], stop: bool, name: str | None, as_json: bool) -> None:
    """Have ports of the pod on this machine's loopback, or list those that are there.

    They stay through restarts of the pod, at the same address, until they are stopped.
    """
    from devpod_rp import control
    from devpod_rp.lifecycle import overview

    environment = pick.environment(name, as_json=as_json)
    if not ports and stop:
        raise UsageError("Which tunnel?", hint="devpod-rp forward lists them.")
    if ports and environment.pod_id is None:
        raise UnreachableError(f"{environment.name} has no pod.", hint=f"devpod-rp up {environment.name} makes one.")
    if not ports:
        seen: list[dict[str, Any]] = overview.describe(environment, overview.sync_status(environment))["forwards"]
    else:
        control.start_keeper(environment.name)
        if stop:
            answer = control.keeper_request(environment.name, "unforward", keys=list(ports))
        else:
            answer = control.keeper_request(environment.name, "forward", ports=list(ports))
        seen = answer["forwards"]
    if as_json:
        render.document({"forwards": seen})
        return
    if not seen:
        click.echo("No port is forwarded.")
    for each in seen:
        click.echo(forward_line(each))
