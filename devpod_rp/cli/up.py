"""``devpod-rp up``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from devpod_rp.cli import first_upload, notice, plan_view, render, replay, ui
from devpod_rp.cli.options import cloud_option, json_option, name_argument, template_names, yes_option

if TYPE_CHECKING:
    from devpod_rp.environments import Environment
    from devpod_rp.errors import InterruptedByUserError
    from devpod_rp.lifecycle.market.plan import Plan
    from devpod_rp.lifecycle.refused import StartRefused
    from devpod_rp.lifecycle.up import Ready
    from devpod_rp.spec.sources import Loaded
    from devpod_rp.sync.preview import Preview

Parsed = TypeVar("Parsed")


@click.command()
@name_argument
@cloud_option
@click.option("--template", help="Where defaults come from: templates list.", shell_complete=template_names)
@click.option("--image", help="The container image.")
@click.option("--gpu", multiple=True, help="A GPU type, as in 4090 or 'H100 SXM'; several in the order you like them.")
@click.option("--gpu-count", type=int, help="GPUs in one pod.")
@click.option("--cpu", help="A CPU flavor (cpu3c, …) instead of GPUs.")
@click.option("--vcpu", type=int, help="vCPUs of a CPU pod.")
@click.option("--tier", help="secure, community or any.")
@click.option("--data-center", "data_centers", multiple=True, help="Only there; several may be named.")
@click.option("--max-price", type=float, help="USD per hour for the whole pod.")
@click.option("--disk", "container_disk_gb", type=int, help="Container disk in GB; wiped at every stop.")
@click.option(
    "--keep-disk/--no-keep-disk",
    default=None,
    help="A stop keeps what differs from the image of the container disk on the volume; up puts it back.",
)
@click.option("--volume", metavar="KIND[:NAME][:GB]", help="As in network:data:20, disk:100 or none.")
@click.option("--volume-kind", help="disk, network or none.")
@click.option("--volume-size", type=int, help="Volume size in GB; a network volume grows, and never shrinks.")
@click.option("--spot", is_flag=True, help="Rent by bid: cheaper, and ended whenever somebody pays more.")
@click.option("--bid", type=float, help="USD per GPU and hour for a spot pod; default: a tenth above the lowest.")
@click.option("--shared", is_flag=True, help="Allow a network volume that another pod has attached, too.")
@click.option("--no-volume", is_flag=True, help="The same as --volume-kind none.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable of the pod.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Instead of this one.")
@click.option("--idle-stop", metavar="TIME", help="Stop the pod when nothing has used it for so long (30m); or never.")
@click.option("--max-runtime", metavar="TIME", help="Stop the pod when it has run for so long (8h); or never.")
@click.option("--max-cost", metavar="USD", help="Stop the pod when this run has cost so much; or never.")
@click.option("--lid-stop", metavar="TIME", help="Stop the pod when the laptop is gone for so long (20m); or never.")
@click.option("--wait-capacity", metavar="TIME", help="Keep asking for so long (30m, 2h) while nothing is free.")
@click.option("--without-gpu", is_flag=True, help="Start a stopped pod without its GPU, to get at its files.")
@click.option(
    "--replay/--no-replay", "wanted_back", default=None, help="Install again what the last container had installed."
)
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@yes_option
@json_option
def up(
    name: str | None,
    cloud: str | None,
    folder: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    volume: str | None,
    volume_kind: str | None,
    volume_size: int | None,
    no_volume: bool,
    shared: bool,
    spot: bool,
    bid: float | None,
    wait_capacity: str | None,
    without_gpu: bool,
    wanted_back: bool | None,
    variables: tuple[str, ...],
    **flags: Any,
) -> int:
    """Create or resume a pod for this folder, connect, synchronise, and keep it so.

    Running it twice is harmless. Before anything is billed it shows its plan and asks.
    """
    from devpod_rp.errors import ExitCode
    from devpod_rp.lifecycle.first_upload import look
    from devpod_rp.lifecycle.refused import StartRefused
    from devpod_rp.lifecycle.up import up as bring_up
    from devpod_rp.spec.durations import seconds
    from devpod_rp.spec.sources import load
    from devpod_rp.spec.volume_text import volume_flags

    wait_seconds = read(seconds, wait_capacity, "--wait-capacity") or 0.0
    flags.update(read(volume_flags, volume, "--volume") or {})
    stated = {"volume.kind": "none" if no_volume else volume_kind, "volume.size_gb": volume_size}
    flags.update({key: value for key, value in stated.items() if value is not None})
    flags["volume.shared"] = shared or None
    flags["spot.enabled"] = spot or bid is not None or None
    flags["spot.bid"] = bid
    flags["env"] = _variables(variables)
    target = _target(name, folder)
    known = _known(name, target)
    loaded = load(target, flags, earlier=known.flags if known else None)
    if loaded.warning:
        ui.note(f"warning: {loaded.warning}")
    plan = _planned(name, known, loaded, target, cloud)
    uploads = look(plan)
    if dry_run:
        if as_json:
            render.document({**plan.as_json(), "first_upload": uploads.as_json() if uploads else None})
        else:
            plan_view.show(plan, uploads)
        return 0
    if plan.action == "create" and not (yes or flags["gpu"] or flags["cpu"]) and ui.interactive(as_json):
        plan = plan_view.with_chosen_machine(plan)
    if not as_json:
        ui.note(f"Cloud: {plan.cloud.announcement}.")
    if plan.action != "resume":
        _agree(plan, uploads, yes, as_json)
    try:
        with notice.when_long(f"up {plan.name}", plan.spec.notify_after), ui.progress() as progress:
            ready = bring_up(
                plan,
                progress,
                wait_seconds=wait_seconds,
                without_gpu=without_gpu,
                wanted_back=wanted_back,
                decide_replay=replay.decider(as_json),
            )
    except KeyboardInterrupt:
        raise _interrupted(plan.name) from None
    except StartRefused as refused:
        if not ui.interactive(as_json):
            raise
        return _another_way(refused)
    if as_json:
        render.document(document(ready))
    else:
        summary(ready)
    return ExitCode.UNEXPECTED if ready.replayed.failed else ExitCode.DONE


def _interrupted(name: str) -> InterruptedByUserError:
    """What an interruption leaves: a pod that was handed over already runs on, and bills."""
    from devpod_rp import environments
    from devpod_rp.errors import InterruptedByUserError

    left = environments.find(name)
    if left is None or left.status != "RUNNING":
        return InterruptedByUserError("Interrupted.", hint="the same command goes on.")
    price = render.money(left.cost_per_hour)
    return InterruptedByUserError(
        f"Interrupted; {name} runs on, for {price}.",
        hint=f"devpod-rp up {name} goes on; devpod-rp stop {name} ends it.",
    )


def _another_way(refused: StartRefused) -> int:
    """Let the person choose a way on after a refused start, and take it."""
    from devpod_rp.cli.app import run

    ui.note(f"{refused.message}")
    ways = [(line, each) for line, each in zip(refused.details(), refused.choices, strict=True)]
    chosen = ui.choose("What now?", [*ways, ("nothing: leave it stopped", None)])
    if chosen is None:
        raise refused
    return run(shlex.split(chosen.command)[1:])


def _target(name: str | None, folder: Path | None) -> Path:
    """The project folder: of the environment named, else this one."""
    from devpod_rp import environments

    if folder is not None:
        return folder.resolve()
    known = environments.find(name) if name else None
    return Path(known.folder) if known else Path.cwd()


def _known(name: str | None, folder: Path) -> Environment | None:
    """The environment that *name* means, or the only one of *folder*."""
    from devpod_rp import environments

    if name is not None:
        return environments.find(name)
    here = environments.for_folder(folder)
    return here[0] if len(here) == 1 else None


def _planned(name: str | None, known: Environment | None, loaded: Loaded, folder: Path, cloud: str | None) -> Plan:
    from devpod_rp import environments
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.market.plan import make_plan
    from devpod_rp.spec.names import validate_name

    chosen = validate_name(name, "NAME") if name else known.name if known else loaded.name
    environment = known or environments.find(chosen)
    if environment is not None:
        clouds.refuse_other_cloud(environment, cloud)
        _refuse_other_folder(environment, folder)
    where = clouds.of_environment(environment) if environment else clouds.choose(cloud, configured=loaded.cloud)
    with clouds.client(where) as client, ui.progress() as progress:
        grow = "volume.size_gb" in loaded.chosen
        return make_plan(
            folder, loaded.spec, chosen, environment, where, client, progress, grow=grow, flags=loaded.flags
        )


def _refuse_other_folder(environment: Environment, folder: Path) -> None:
    from devpod_rp.errors import UsageError

    if Path(environment.folder) != folder:
        raise UsageError(
            f"The environment {environment.name} belongs to {environment.folder}.",
            hint=f"name this folder's environment differently: devpod-rp up {environment.name}-2",
        )


def _agree(plan: Plan, uploads: Preview | None, yes: bool, as_json: bool) -> None:
    from devpod_rp.errors import InterruptedByUserError

    if not as_json:
        plan_view.show(plan, uploads)
    if uploads is not None and not yes and ui.interactive(as_json):
        first_upload.ask(plan, uploads)
    if yes or (plan.cloud.simulated and not ui.interactive(as_json)):
        return
    if not ui.interactive(as_json):
        raise ui.need_terminal(f"up would start a pod for ${plan.price_per_hour:.2f} per hour", "--yes")
    if not ui.confirm(f"Start it for ${plan.price_per_hour:.2f}/h?", default=True):
        raise InterruptedByUserError("Nothing was started.")


def read(parse: Callable[[str], Parsed], text: str | None, flag: str) -> Parsed | None:
    """What *parse* makes of a flag's text, None if the flag is not given."""
    from devpod_rp.errors import UsageError

    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}.") from error


def _variables(pairs: tuple[str, ...]) -> dict[str, str]:
    from devpod_rp.errors import UsageError

    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError("--env needs NAME=VALUE.", hint="--env HF_HUB_OFFLINE=1")
        found[key] = value
    return found


def document(ready: Ready) -> dict[str, Any]:
    from devpod_rp.lifecycle.overview import describe

    described = describe(ready.environment, ready.sync)
    described["limits"] = {**described["limits"], "in_pod": ready.watch.in_pod, "refusal": ready.watch.refusal}
    return {**described, "created": ready.created, "replay": ready.replayed.as_json()}


def summary(ready: Ready) -> None:
    environment = ready.environment
    sync = ready.sync
    files = sync.get("local_files")
    state = f"{files} files, {sync['state']}" if files is not None else sync["state"]
    machine, price = environment.gpu or "its machine", render.money(environment.cost_per_hour)
    click.echo(f"{environment.name} is running on {machine}, {price}.")
    render.facts([("SSH host", environment.host_alias), ("Workspace", environment.workspace), ("Sync", state)])
    if ready.watch.limits.any:
        click.echo(f"  It stops by itself: {ready.watch.spoken}")
    if sync.get("conflicts"):
        click.echo(f"  {len(sync['conflicts'])} conflicts: devpod-rp sync conflicts")
    replay.tell(ready.replayed, environment.name)
    click.echo("Try next:")
    for line in (f"ssh {environment.host_alias}", "devpod-rp open", "devpod-rp stop"):
        click.echo(f"  {line}")
