"""``devpod-rp init``: a commented ``devpod-rp.toml`` for this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import cloud_option, json_option, yes_option

_SIZES = (20, 50, 100, 200)


@click.command()
@click.option("--template", help="The template to start from; see devpod-rp templates list.")
@click.option("--gpu", multiple=True, help="GPU types in the order you like them.")
@click.option("--volume-size", type=int, help="Volume size in GB.")
@click.option("--force", is_flag=True, help="Write over the file that is there.")
@cloud_option
@yes_option
@json_option
def init(
    template: str | None,
    gpu: tuple[str, ...],
    volume_size: int | None,
    force: bool,
    cloud: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Write a commented devpod-rp.toml: asks on a terminal, takes the template's values elsewhere."""
    from devpod_rp.spec.names import slug
    from devpod_rp.spec.sources import load
    from devpod_rp.spec.starter import write_starter
    from devpod_rp.spec.templates import list_templates, load_template

    folder = Path.cwd()
    ask = ui.interactive(as_json) and not yes
    if template is None and ask:
        template = ui.choose("Which template?", [(f"{t.name:<10} {t.description}", t.name) for t in list_templates()])
    chosen = load_template(template or "pytorch")
    values: dict[str, Any] = {"name": slug(folder.name), "template": chosen.name}
    if gpu:
        values["gpu"] = list(gpu)
    elif "gpu" in chosen.values:
        values["gpu"] = [_chosen_gpu(cloud)] if ask else list(chosen.values["gpu"])
    volume = dict(chosen.values.get("volume", {}))
    if volume_size is not None:
        volume["size_gb"] = volume_size
    elif ask:
        volume["size_gb"] = ui.choose("How large a volume?", [(f"{size} GB", size) for size in _SIZES])
    values["container_disk_gb"] = chosen.values.get("container_disk_gb", 50)
    values["volume"] = volume
    values["sync"] = {"mode": "one-way-safe", "ignore": []}
    path = write_starter(folder, values, overwrite=force)
    load(folder, {})
    if as_json:
        render.document({"path": str(path), "values": values})
    else:
        click.echo(f"Wrote {path}. Next: devpod-rp up")


def _chosen_gpu(cloud: str | None) -> str:
    from devpod_rp.lifecycle import clouds

    where = clouds.choose(cloud)
    with clouds.client(where) as client:
        offers = sorted((each for each in client.gpu_types() if each.secure), key=lambda each: each.price.secure)
    simulated = "  (simulated)" if where.simulated else ""
    choices = [
        (f"{e.name:<16} {e.memory:>4} GB  ${e.price.secure:.2f}/h  stock {e.availability.value}{simulated}", e.name)
        for e in offers
    ]
    return ui.choose("Which GPU?", choices)
