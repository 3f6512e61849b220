"""``gpus``, ``volumes`` and ``templates``: what can be had and what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import cloud_option, json_option, template_names

if TYPE_CHECKING:
    from devpod_rp.lifecycle.account.clouds import Cloud
    from devpod_rp.runpod.client import RunPod


@click.command()
@cloud_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs in one pod.")
@json_option
def gpus(cloud: str | None, count: int, as_json: bool) -> None:
    """GPU types with price and stock."""
    where, client = _client(cloud)
    with client:
        found = sorted(client.gpu_types(count=count), key=lambda each: each.price.secure or each.price.community)
    if as_json:
        rows = [each.model_dump(mode="json", by_alias=True) for each in found]
        render.document({"gpus": rows, "simulated": where.simulated})
        return
    if where.simulated:
        ui.note("The local cloud: GPUs, stock and prices are simulated.")
    render.table(
        ["GPU", ">VRAM", ">SECURE", ">COMMUNITY", "STOCK", "ID"],
        [
            [
                each.name,
                f"{each.memory} GB",
                render.money(each.price.secure * count) if each.secure else "-",
                render.money(each.price.community * count) if each.community else "-",
                each.availability.value,
                each.id,
            ]
            for each in found
        ],
    )


@click.group()
def volumes() -> None:
    """Network volumes: storage that outlives pods."""


@volumes.command("list")
@cloud_option
@json_option
def list_volumes(cloud: str | None, as_json: bool) -> None:
    """All network volumes of the account."""
    where, client = _client(cloud)
    with client:
        found = client.network_volumes()
    if as_json:
        render.document(
            {"volumes": [each.model_dump(mode="json", by_alias=True) for each in found], "simulated": where.simulated}
        )
        return
    render.table(
        ["ID", "NAME", ">SIZE", "DATA CENTER"],
        [[each.id, each.name, f"{each.size} GB", each.data_center] for each in found],
    )


@volumes.command("create")
@click.argument("name")
@click.option("--size", type=click.IntRange(10, 4096), required=True, help="GB.")
@click.option("--data-center", required=True, help="Where; pods that use it must be there too.")
@cloud_option
@json_option
def create_volume(name: str, size: int, data_center: str, cloud: str | None, as_json: bool) -> None:
    """Create a network volume; it is billed until it is deleted."""
    from devpod_rp.runpod.model import CreateNetworkVolumeRequest

    _, client = _client(cloud)
    with client:
        made = client.create_network_volume(CreateNetworkVolumeRequest(name=name, size=size, data_center=data_center))
    _one(
        made.model_dump(mode="json", by_alias=True), as_json, f"Created {made.name} ({made.id}) in {made.data_center}."
    )


@volumes.command("delete")
@click.argument("volume")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@cloud_option
@json_option
def delete_volume(volume: str, yes: bool, cloud: str | None, as_json: bool) -> None:
    """Delete a network volume, by id or name, and everything on it."""
    from devpod_rp.errors import InterruptedByUserError, UsageError

    _, client = _client(cloud)
    with client:
        found = [each for each in client.network_volumes() if volume in (each.id, each.name)]
        if len(found) != 1:
            what = "no" if not found else f"{len(found)}"
            raise UsageError(f"There are {what} network volumes {volume!r}.", hint="devpod-rp volumes list")
        if not yes:
            if not ui.interactive(as_json):
                raise ui.need_terminal(f"this would delete {found[0].name} and all its data", "--yes")
            if not ui.confirm(f"Delete {found[0].name} ({found[0].size} GB) and everything on it?", default=False):
                raise InterruptedByUserError("Nothing was deleted.")
        client.delete_network_volume(found[0].id)
    _one({"id": found[0].id, "deleted": True}, as_json, f"Deleted {found[0].name}.")


@click.group()
def templates() -> None:
    """Templates: named starting points."""


@templates.command("list")
@json_option
def list_templates(as_json: bool) -> None:
    """Ours and your own."""
    from devpod_rp.spec.templates import list_templates as found

    everything = found()
    if as_json:
        render.document(
            {
                "templates": [
                    {"name": each.name, "description": each.description, "builtin": each.builtin} for each in everything
                ]
            }
        )
        return
    render.table(
        ["NAME", "FROM", "DESCRIPTION"],
        [[each.name, "devpod-rp" if each.builtin else "you", each.description] for each in everything],
    )


@templates.command("new")
@click.argument("name")
@click.option("--from", "base", metavar="TEMPLATE", shell_complete=template_names, help="Instead of what counts here.")
@click.option("--description", default="", help="One line for the list.")
@click.option("--force", is_flag=True, help="Write over the template that is there.")
@json_option
def new_template(name: str, base: str | None, description: str, force: bool, as_json: bool) -> None:
    """A template of your own, from what this folder's pod looks like or from another template."""
    from pathlib import Path

    from devpod_rp.spec.sources import load
    from devpod_rp.spec.starter import of_any_project, write_template
    from devpod_rp.spec.templates import load_template

    if base is None:
        values = of_any_project(load(Path.cwd(), {}))
    else:
        template = load_template(base)
        values, description = template.values, description or template.description
    path = write_template(name, description, values, overwrite=force)
    _one({"name": name, "path": str(path)}, as_json, f"Wrote {path}. Edit it; devpod-rp up --template {name} uses it.")


@templates.command("show")
@click.argument("name", shell_complete=template_names)
@json_option
def show_template(name: str, as_json: bool) -> None:
    """One template's file."""
    from devpod_rp.spec.templates import load_template

    template = load_template(name)
    if as_json:
        render.document({"name": template.name, "description": template.description, "values": template.values})
    else:
        click.echo(template.path.read_text(encoding="utf-8"), nl=False)


def _client(cloud: str | None) -> tuple[Cloud, RunPod]:
    from devpod_rp.lifecycle.account import clouds

    where = clouds.choose(cloud)
    return where, clouds.client(where)


def _one(document: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        render.document(document)
    else:
        click.echo(sentence)
