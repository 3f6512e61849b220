"""``list``, ``status`` and the bare command: what exists, what it costs, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import cloud_option, json_option, name_argument

if TYPE_CHECKING:
    from devpod_rp.lifecycle.money.bills import Cost
    from devpod_rp.lifecycle.money.runway import Runway
    from devpod_rp.lifecycle.overview import Overview


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Look into every cloud there is a key for.")
@cloud_option
@json_option
def list_(everything: bool, cloud: str | None, as_json: bool) -> None:
    """All environments and pods, ours or not, and what they cost."""
    seen = _overview(cloud, everything=everything)
    if as_json:
        render.document(seen.as_json())
    else:
        _show(seen)


@click.command()
@name_argument
@json_option
def status(name: str | None, as_json: bool) -> None:
    """One environment in depth."""
    from devpod_rp.lifecycle import limits, overview

    with ui.progress() as progress:
        environment = overview.look_at(pick.environment(name, as_json=as_json), progress)
    sync = overview.sync_status(environment)
    cost, runway = overview.money_of(environment)
    facts = {**overview.describe(environment, sync, cost), "account": runway.as_json()}
    if as_json:
        render.document(facts)
        return
    because = facts["limits"]["stopped_because"]
    watch = limits.Watch(limits.limits_of(environment), in_pod=True)
    simulated = "  (simulated)" if facts["simulated"] else ""
    click.echo(f"{environment.name}: {environment.status}{simulated}")
    volume = environment.volume
    render.facts(
        [
            ("Machine", environment.gpu or "-"),
            ("Price", _price(cost) + simulated),
            ("Spent", _spent(cost) + simulated),
            ("While stopped", f"${cost.price.stopped_per_month:.2f} a month{simulated}"),
            ("Balance", runway.spoken + simulated),
            *([("Stopped because", because)] if because else []),
            ("Stops by itself", watch.explained(facts["limits"]["watchdog"])),
            ("Pod", environment.pod_id or "none"),
            ("SSH host", environment.host_alias),
            ("Folder", environment.folder),
            ("Workspace", environment.workspace),
            ("Volume", "none" if volume.kind == "none" else f"{volume.size_gb} GB {volume.kind} at {volume.path}"),
            *([("Kept disk", _kept_disk(facts["kept_disk"]))] if facts["kept_disk"] else []),
            ("Sync", sync_line(sync)),
            *([("At risk", _at_risk(facts["at_risk"]))] if facts["at_risk"] else []),
            *(("Forward", forward_line(each)) for each in facts["forwards"]),
        ]
    )
    _warn(runway)


def _at_risk(seen: dict[str, Any]) -> str:
    if not seen["files"]:
        return f"nothing, {render.age(seen['checked_at'])} ago"
    ago = render.age(seen["checked_at"])
    return f"{ui.files(seen['files'])}, {ui.size(seen['bytes'])}, {ago} ago; devpod-rp check names them"


def _kept_disk(kept: dict[str, Any]) -> str:
    amount = f"{ui.files(kept['files'])}, {ui.size(kept['stored'])} packed" if kept["created_at"] else "none yet"
    when = f", at {kept['created_at']}" if kept["created_at"] else ""
    return f"{amount}{when}{'' if kept['wanted'] else '; a stop keeps it no longer'}"


def _price(cost: Cost) -> str:
    price = cost.price
    return f"${price.per_hour:.2f}/h (machine ${price.compute_per_hour:.2f}, disks ${price.storage_per_hour:.3f})"


def _spent(cost: Cost) -> str:
    run = "" if cost.this_run is None else f"${cost.this_run.total:.2f} since start, "
    return f"{run}${cost.in_all.total:.2f} in all" + ("" if cost.billed else ", by our own ledger")


def _warn(runway: Runway) -> None:
    """Say what ends when the money does, if that is soon."""
    for warning in runway.warnings:
        ui.note(f"warning: {warning}")


def sync_line(sync: dict[str, Any]) -> str:
    """The synchronisation in one line."""
    if sync["state"] == "disabled":
        return "disabled"
    parts = [f"{sync['state']}, {sync['local_files']} files"]
    if sync.get("branch"):
        parts.append(f"branch {sync['branch']}")
    if sync["pending"]:
        parts.append(f"{sync['pending']} pending")
    if sync.get("reason"):
        parts.append(str(sync["reason"]))
    if sync.get("pod_only"):
        parts.append(f"{sync['pod_only']} only on the pod")
    if sync["conflicts"]:
        parts.append(f"{len(sync['conflicts'])} conflicts")
    if sync["problems"]:
        parts.append(f"{len(sync['problems'])} problems")
    return ", ".join(parts)


def forward_line(forward: dict[str, Any]) -> str:
    """A tunnel in one line."""
    what = " ".join(str(part) for part in (forward["port"], forward["label"] or forward["service"]) if part)
    where = f"http://{forward['address']}" if forward["listening"] else "not listening"
    return f"{what} -> {where}" + (f", {forward['problem']}" if forward["problem"] else "")


def show_overview(as_json: bool) -> None:
    """The bare ``devpod-rp``: what is running, what it costs, and the next step."""
    seen = _overview(None)
    if as_json:
        render.document(seen.as_json())
        return
    if not seen.environments and not seen.strangers:
        click.echo("Nothing is running and nothing costs anything.")
        click.echo("Next: devpod-rp up   (in a project folder; --help shows everything)")
        return
    _show(seen)
    running = [each for each in seen.environments if each.status == "RUNNING"]
    stopped = [each for each in seen.environments if each.status != "RUNNING"]
    if running:
        click.echo(f"Next: ssh {running[0].host_alias}, or devpod-rp stop {running[0].name}")
    elif stopped:
        click.echo(f"Next: devpod-rp up {stopped[0].name}")


def _overview(cloud: str | None, *, everything: bool = False) -> Overview:
    from devpod_rp.lifecycle.overview import overview

    with ui.progress() as progress:
        return overview(cloud, progress, everything=everything)


def _show(seen: Overview) -> None:
    from devpod_rp.lifecycle.money import bills

    if seen.environments:
        render.table(
            ["NAME", "STATUS", "MACHINE", ">PRICE", ">SPENT", ">STOPPED", "CLOUD", "SSH HOST", "FOLDER"],
            [
                [
                    each.name,
                    each.status,
                    each.gpu or "-",
                    render.money(cost.price.per_hour),
                    f"${cost.in_all.total:.2f}",
                    f"${cost.price.stopped_per_month:.2f}/month",
                    f"{each.cloud} (simulated)" if each.cloud == "local" else each.cloud,
                    each.host_alias,
                    each.folder,
                ]
                for each in seen.environments
                for cost in (bills.cost_of(each),)
            ],
        )
    else:
        click.echo("No environments.")
    if seen.strangers:
        click.echo("Pods of this account that no environment here owns:")
        render.table(
            ["POD", "NAME", "STATUS", ">PRICE", ">AGE", "CLOUD", "MADE"],
            [
                [
                    each.id,
                    each.name,
                    each.status,
                    render.money(each.cost_per_hour),
                    render.age(each.created_at),
                    each.cloud,
                    "here, record lost: devpod-rp gc" if each.made_here else "elsewhere",
                ]
                for each in seen.strangers
            ],
        )
    simulated = "  (simulated)" if set(seen.accounts) == {"local"} else ""
    click.echo(f"Running now: {render.money(seen.cost_per_hour)}{simulated}")
    for cloud, runway in seen.accounts.items():
        click.echo(f"Balance ({cloud}{', simulated' if cloud == 'local' else ''}): {runway.spoken}")
        _warn(runway)
    for cloud, reason in seen.unreachable.items():
        ui.note(f"warning: the {cloud} cloud could not be asked, its pods are shown as last known: {reason}")
