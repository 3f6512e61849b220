"""``config``: what counts for a folder and where each value comes from; the schema of the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import json_option, name_argument

if TYPE_CHECKING:
    from devpod_rp.environments import Environment
    from devpod_rp.spec.sources import Loaded

_HIDDEN = "(set, not shown)"


@click.group()
def config() -> None:
    """What is configured here, and from where."""


@config.command()
@name_argument
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Instead of this one.")
@json_option
def show(name: str | None, folder: Path | None, as_json: bool) -> None:
    """Each effective value with its source: flag, variable, file and line, template or built-in default.

    The flags are those of an earlier up, which the environment remembers. Values of env are not shown.
    """
    from devpod_rp import environments
    from devpod_rp.spec.sources import load

    known = environments.load(name) if name else None
    place = folder or (Path(known.folder) if known else Path.cwd())
    here = environments.for_folder(place.resolve())
    known = known or (here[0] if len(here) == 1 else None)
    loaded = load(place, {}, earlier=known.flags if known else None)
    rows = _rows(loaded, known)
    if loaded.warning:
        ui.note(loaded.warning)
    if as_json:
        values = {key: {"value": value, "source": kind, "where": where} for key, value, kind, where in rows}
        render.document({"folder": str(place.resolve()), "values": values})
        return
    render.table(
        ["KEY", "VALUE", "SOURCE"], [[key, _spoken(value), _source(kind, where)] for key, value, kind, where in rows]
    )


@config.command()
@click.option("--json", is_flag=True, expose_value=False, help="It is one JSON document either way.")
def schema() -> None:
    """The JSON Schema of devpod-rp.toml, for editors."""
    from devpod_rp.spec.schema import document

    render.document(document())


def _rows(loaded: Loaded, known: Environment | None) -> list[tuple[str, Any, str, str | None]]:
    """Key, value, kind of source and place of every value."""
    from devpod_rp.lifecycle.account.clouds import default_name

    spec = loaded.spec.model_dump(mode="json")
    rows: list[tuple[str, Any, str, str | None]] = []

    def add(key: str, value: Any, default: str = "built-in default") -> None:
        rows.append((key, value, loaded.kinds.get(key, default), loaded.provenance.get(key)))

    if known is None:
        add("name", loaded.name, "the folder's name")
    else:
        rows.append(("name", known.name, "the environment of this folder", None))
    if known is not None:
        rows.append(("cloud", known.cloud, "the environment of this folder", None))
    elif os.environ.get("DEVPOD_RP_CLOUD"):
        rows.append(("cloud", os.environ["DEVPOD_RP_CLOUD"], "environment variable", "DEVPOD_RP_CLOUD"))
    else:
        add("cloud", loaded.cloud or default_name(), "whether there is an API key")
    for key, value in spec.items():
        if key in ("env", "session_env"):
            for variable in value:
                add(f"{key}.{variable}", _HIDDEN)
        elif isinstance(value, dict):
            for inner, each in value.items():
                add(f"{key}.{inner}", each)
        else:
            add(key, value)
    return rows


def _spoken(value: object) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(each).strip().partition("\n")[0] for each in value)
    return str(value)


def _source(kind: str, where: str | None) -> str:
    return f"{kind}  {where}" if where else kind
