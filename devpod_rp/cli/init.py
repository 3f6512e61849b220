"""``devpod-rp init``: a commented ``devpod-rp.toml`` for this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import cloud_option, json_option, template_names, yes_option
from devpod_rp.errors import InterruptedByUserError

_SIZES = (20, 50, 100, 200)
_IDLE = ("30m", "2h", "8h")
_MODES = ("one-way-safe", "two-way-safe")


@click.command()
@click.option("--template", help="Instead of what fits the folder; see templates list.", shell_complete=template_names)
@click.option("--gpu", multiple=True, help="GPU types in the order you like them.")
@click.option("--volume-size", type=int, help="Volume size in GB.")
@click.option("--sync", "mode", type=click.Choice(_MODES), help="Which way files are synchronised.")
@click.option("--force", is_flag=True, help="Write over the file that is there.")
@cloud_option
@yes_option
@json_option
def init(
    template: str | None,
    gpu: tuple[str, ...],
    volume_size: int | None,
    mode: str | None,
    force: bool,
    cloud: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Write a commented devpod-rp.toml: asks on a terminal, takes what fits the folder elsewhere."""
    from devpod_rp import paths
    from devpod_rp.spec.names import slug
    from devpod_rp.spec.project import detect
    from devpod_rp.spec.sources import load
    from devpod_rp.spec.starter import write_starter
    from devpod_rp.spec.templates import DEFAULT, load_template

    folder = Path.cwd()
    ask = ui.interactive(as_json) and not yes
    own = folder / paths.project_config_name()
    if ask and own.exists() and not force:
        force = ui.confirm(f"{own} exists already. Write it anew?", default=False)
        if not force:
            raise InterruptedByUserError("Nothing was written.")
    project = detect(folder)
    if project.signs and not as_json:
        ui.note(f"Found {', '.join(project.signs)}.")
    if template is None and ask and project.template is not None:
        template = _chosen_template(project.template)
    chosen = load_template(template or project.template or DEFAULT)
    values: dict[str, Any] = {"name": slug(folder.name)}
    if template is not None or project.template is not None:
        values["template"] = chosen.name
    if gpu:
        values["gpu"] = list(gpu)
    elif "gpu" in chosen.values and (ask or "template" in values):
        values["gpu"] = [_chosen_gpu(cloud)] if ask else list(chosen.values["gpu"])
    volume = dict(chosen.values.get("volume", {}))
    if volume_size is not None:
        volume["size_gb"] = volume_size
    elif ask:
        volume["size_gb"] = _chosen_size(volume)
    if "template" in values:
        values["container_disk_gb"] = chosen.values.get("container_disk_gb", 50)
    values["volume"] = volume
    if mode is None:
        mode = ui.choose("Which way are files synchronised?", _spoken_modes()) if ask else _MODES[0]
    values["sync"] = {"mode": mode, "ignore": []}
    if ask:
        idle = ui.choose("Stop the pod by itself when nothing has used it for so long?", _spoken_idle())
        if idle is not None:
            values["idle_stop"] = idle
    commands = "; ".join(project.install)
    question = f"Run `{commands}` on the pod at every start? (A stop wipes what it installs.)"
    if project.install and ask and ui.confirm(question, default=True):
        values["hooks"] = {"update_content": list(project.install)}
    path = write_starter(folder, values, overwrite=force)
    load(folder, {})
    if as_json:
        found = {"signs": list(project.signs), "install": list(project.install)}
        render.document({"path": str(path), "values": values, "found": found})
    else:
        click.echo(f"Wrote {path}; edit it as you like. Next: devpod-rp up")


def _chosen_template(fitting: str) -> str:
    from devpod_rp.spec.templates import list_templates

    found = sorted(list_templates(), key=lambda each: each.name != fitting)
    return ui.choose("Which template?", [(f"{each.name:<10} {each.description}", each.name) for each in found])


def _chosen_size(volume: Mapping[str, Any]) -> int:
    from devpod_rp.lifecycle.money.prices import volume_per_month

    kind = str(volume.get("kind", "disk"))
    choices = [
        (f"{size:>3} GB  ${volume_per_month(kind, size, running=False):.2f} a month while stopped", size)
        for size in _SIZES
    ]
    question = "How large is the volume at /workspace, which survives a stop?"
    size: int = ui.choose(question, choices, default=volume.get("size_gb"))
    return size


def _spoken_idle() -> list[tuple[str, str | None]]:
    return [*((each, each) for each in _IDLE), ("never: it bills until somebody stops it", None)]


def _spoken_modes() -> list[tuple[str, str]]:
    return [
        ("one-way-safe  from here to the pod; what the pod changed is never touched", "one-way-safe"),
        ("two-way-safe  both ways; what changed on both sides is a conflict", "two-way-safe"),
    ]


def _chosen_gpu(cloud: str | None) -> str:
    from devpod_rp.lifecycle.account import clouds

    where = clouds.choose(cloud)
    with clouds.client(where) as client:
        offers = sorted(
            (each for each in client.gpu_types() if each.secure),
            key=lambda each: (each.availability.value == "NONE", each.price.secure),
        )
    simulated = "  (simulated)" if where.simulated else ""
    choices = [
        (f"{e.name:<16} {e.memory:>4} GB  ${e.price.secure:.2f}/h  stock {e.availability.value}{simulated}", e.name)
        for e in offers
    ]
    return ui.choose("Which GPU?", choices)
