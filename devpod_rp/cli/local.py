"""``devpod-rp local …``: the cloud on this machine."""

from __future__ import annotations

import json

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import json_option


@click.group()
def local() -> None:
    """The local cloud: RunPod's API on this machine, pods as sandboxes; GPUs, stock and prices are simulated."""


@local.command()
@json_option
def status(as_json: bool) -> None:
    """Whether it runs, its pods, and whether this machine can run any."""
    from devpod_rp.lifecycle.reach import localcloud

    found = localcloud.status()
    if as_json:
        render.document(found)
        return
    if not found["running"]:
        click.echo("The local cloud does not run; it starts when it is needed.")
        return
    sandbox = found["sandbox"]
    ability = f"pods with {sandbox['sshd']}" if sandbox["available"] else f"no pods: {sandbox['missing']}"
    render.facts([("Address", found["url"]), ("Process", str(found["pid"])), ("Sandboxes", ability)])
    for pod in found["pods"]:
        click.echo(f"  {pod['id']}  {pod['name']}  {pod['status']}")


@local.command()
@json_option
def start(as_json: bool) -> None:
    """Start it; pods that ran when it ended come back on their disks."""
    from devpod_rp.lifecycle.reach import localcloud

    found = localcloud.start()
    if as_json:
        render.document(found)
    else:
        click.echo(f"The local cloud runs at {found['url']}.")


@local.command()
@json_option
def stop(as_json: bool) -> None:
    """End its process, and with it what runs in its pods; disks and volumes stay."""
    from devpod_rp.lifecycle.reach import localcloud

    was_running = localcloud.stop()
    if as_json:
        render.document({"was_running": was_running})
    else:
        click.echo("The local cloud is stopped." if was_running else "The local cloud was not running.")


@local.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def reset(yes: bool, as_json: bool) -> None:
    """Terminate every local pod, delete every local volume, forget their environments."""
    from devpod_rp.errors import InterruptedByUserError
    from devpod_rp.lifecycle.reach import localcloud

    if not yes:
        if not ui.interactive(as_json):
            raise ui.need_terminal("this would delete every local pod and volume", "--yes")
        if not ui.confirm("Delete every local pod and volume, with all data on them?", default=False):
            raise InterruptedByUserError("Nothing was deleted.")
    with ui.progress() as progress:
        forgotten = localcloud.reset(progress)
    if as_json:
        render.document({"forgotten": forgotten})
    else:
        click.echo("The local cloud is empty." + (f" Forgotten: {', '.join(forgotten)}." if forgotten else ""))


@local.command()
@click.argument("faults", required=False)
@json_option
def fault(faults: str | None, as_json: bool) -> None:
    """Show the faults in force, or replace them: fault '{"start": "not-enough-gpus"}'; '{}' clears them."""
    from devpod_rp.errors import UsageError
    from devpod_rp.lifecycle.reach import localcloud

    try:
        wanted = None if faults is None else json.loads(faults)
    except ValueError as error:
        raise UsageError(f"FAULTS is not JSON: {error}.", hint="""for example '{"create": "no-capacity"}'""") from error
    found = localcloud.faults(wanted)
    if as_json:
        render.document(found)
    else:
        click.echo(json.dumps(found, indent=2))


@local.command()
@click.argument("name")
@json_option
def preempt(name: str, as_json: bool) -> None:
    """Let somebody outbid the spot pod of environment NAME: SIGTERM, five seconds later SIGKILL, as on RunPod."""
    from devpod_rp.lifecycle.reach import localcloud

    ended = localcloud.preempt(name)
    if as_json:
        render.document(ended)
    else:
        click.echo(f"{name} was outbid; its keeper brings it back when there is a GPU for its bid.")
