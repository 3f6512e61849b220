"""Asking whether what the last container had installed is to be brought back on this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devpod_rp.cli import render, ui
from devpod_rp.errors import printable

if TYPE_CHECKING:
    from devpod_rp.guard.replay import Offer, Replayed
    from devpod_rp.lifecycle.furnishing.replay import Decide, Reply

_COMMANDS = 12
_COMMAND = 140
_NAMES = 5


def decider(as_json: bool) -> Decide:
    """Shows the commands and asks, where there is a terminal."""

    def decide(offer: Offer) -> Reply | None:
        from devpod_rp.lifecycle.furnishing.replay import Reply

        if not ui.interactive(as_json):
            return None
        with ui.undisturbed():
            many = f"{len(offer.packages)} packages" if len(offer.packages) != 1 else "1 package"
            weight = sum(each.size for each in offer.packages)
            ui.note(f"The last container had {many} that this one lacks{f' ({ui.size(weight)})' if weight else ''}:")
            for command in offer.commands[:_COMMANDS]:
                shown = printable(command)
                ui.note(f"  {shown if len(shown) <= _COMMAND else shown[: _COMMAND - 1] + '…'}")
            if len(offer.commands) > _COMMANDS:
                ui.note(f"  and {len(offer.commands) - _COMMANDS} more commands")
            choices = [
                ("yes: run these commands on the pod", Reply.YES),
                ("not now: devpod-rp up --replay does it later", Reply.NOT_NOW),
                ("no, and forget them", Reply.FORGET),
            ]
            return ui.choose("Bring it back?", choices)

    return decide


def tell(replayed: Replayed, name: str) -> None:
    """Say what came back and what did not."""
    if replayed.state == "done" and replayed.done:
        click.echo(f"  Brought back: {render.named(replayed.done, _NAMES)}")
    if replayed.failed:
        failed = render.named(list(replayed.failed), _NAMES)
        click.echo(f"  Did not come back: {failed}; devpod-rp up --replay {name} tries again")
    if replayed.state == "offered":
        names = render.named([f"{each.kind} {each.name}" for each in replayed.offered], _NAMES)
        click.echo(f"  Not on this container yet: {names}; devpod-rp up --replay {name} brings it back")
