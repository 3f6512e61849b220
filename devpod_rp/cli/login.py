"""``login`` and ``logout``: RunPod's API key."""

from __future__ import annotations

import os
import sys

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import json_option
from devpod_rp.errors import AuthenticationError, UsageError

_WHERE = "console.runpod.io, Settings, API keys"


@click.command()
@click.option("--with-token", is_flag=True, help="Read the key from standard input.")
@json_option
def login(with_token: bool, as_json: bool) -> None:
    """Store RunPod's API key in the system's keyring, once RunPod has accepted it.

    Without a keyring it goes into a file that only you can read. A key is looked for in RUNPOD_API_KEY, then in what
    login stored, then in runpodctl's ~/.runpod/config.toml.
    """
    from devpod_rp.lifecycle.account import api_key, clouds
    from devpod_rp.runpod.errors import Unauthorized

    key = _typed(with_token, as_json)
    asked = clouds.Cloud("runpod", clouds.url_of_runpod(), key, "login")
    try:
        with clouds.client(asked) as client:
            pods = len(client.list_pods())
    except Unauthorized as error:
        raise AuthenticationError(
            "RunPod does not accept this key, so it was not stored.",
            hint=f"copy it whole, or make a new one: {_WHERE}; RunPod shows a key only once.",
        ) from error
    stored = api_key.store(key)
    shadowed = bool(os.environ.get(api_key.VARIABLE, "").strip())
    if as_json:
        render.document({**vars(stored), "pods": pods, "shadowed": shadowed})
    else:
        place = f"the keyring ({stored.where})" if stored.store == "keyring" else stored.where
        click.echo(f"RunPod accepted the key ({pods} pods in the account); it is in {place}.")
    if stored.warning:
        ui.note(f"warning: {stored.warning}.")
    if shadowed:
        ui.note(f"{api_key.VARIABLE} is set, and goes before the stored key.")


@click.command()
@json_option
def logout(as_json: bool) -> None:
    """Remove the API key that login stored; pods and environments stay as they are."""
    from devpod_rp.lifecycle.account import api_key

    removed = api_key.forget()
    left = api_key.find()
    if as_json:
        render.document({"removed": removed, "left": left.source if left else None})
        return
    click.echo(f"The key is gone from the {removed}." if removed else "No key was stored.")
    if left:
        ui.note(f"There is another one: {left.source}.")


def _typed(with_token: bool, as_json: bool) -> str:
    if with_token:
        key = sys.stdin.readline().strip()
        if not key:
            raise UsageError("There is no key on standard input.", hint="devpod-rp login --with-token < FILE")
        return key
    if not ui.interactive(as_json):
        raise UsageError(
            "There is no terminal to ask for the key on.", hint="devpod-rp login --with-token reads it from stdin."
        )
    return ui.ask_secret(f"RunPod API key ({_WHERE}):")
