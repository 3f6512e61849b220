"""``snooze`` and ``stop --in``, ``--at``: what the pod will do by itself, and when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument
from devpod_rp.errors import UsageError

if TYPE_CHECKING:
    from devpod_rp.environments import Environment

_OFF = "off"


@click.command()
@click.argument("duration", metavar="TIME|off")
@name_argument
@json_option
def snooze(duration: str, name: str | None, as_json: bool) -> None:
    """Let the pod run on for TIME (2h), used or not; "off" ends a snooze.

    Neither idle_stop nor lid_stop nor max_runtime stops it meanwhile; max_cost and a planned stop still do.
    """
    from devpod_rp.lifecycle import limits
    from devpod_rp.spec import durations

    try:
        seconds = 0.0 if duration == _OFF else durations.seconds(duration)
    except ValueError as error:
        raise UsageError(f"{error}.", hint="devpod-rp snooze 2h [NAME]") from error
    environment = _running(pick.environment(name, as_json=as_json))
    limits.snooze(environment, seconds)
    _deliver(environment, as_json)


def plan_stop(environment: Environment, *, after: str | None, at: str | None, as_json: bool) -> None:
    """Let the pod stop itself after a while or at a time; with neither, take that back.

    Raises:
        UsageError: both are given, one is no time, or there is no pod that runs.
    """
    from datetime import datetime

    from devpod_rp.lifecycle import limits
    from devpod_rp.spec import durations, moments

    if after and at:
        raise UsageError("--in and --at are two times for one stop.", hint="give one of them.")
    try:
        moment = None
        if after:
            moment = time.time() + durations.seconds(after)
        elif at:
            moment = moments.next_moment(at, datetime.now().astimezone()).timestamp()
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    limits.stop_at(_running(environment), moment)
    _deliver(environment, as_json)


def _running(environment: Environment) -> Environment:
    if environment.status != "RUNNING":
        raise UsageError(f"{environment.name} does not run ({environment.status}).")
    return environment


def _deliver(environment: Environment, as_json: bool) -> None:
    """Bring the plan to the pod; it is on disk already, so a pod that is out of reach gets it from the keeper."""
    from devpod_rp import control
    from devpod_rp.errors import UnreachableError
    from devpod_rp.lifecycle import limits

    try:
        watch = limits.deliver_again(environment.name)
    except UnreachableError as error:
        if not control.keeper_running(environment.name):
            raise
        watch = limits.Watch(limits.limits_of(environment), in_pod=False, refusal=error.message)
    if as_json:
        render.document({"name": environment.name, "limits": watch.as_json()})
        return
    snoozed = watch.limits.snooze_until
    if snoozed is not None and snoozed > time.time():
        click.echo(f"{environment.name} is snoozed until {time.strftime('%Y-%m-%d %H:%M', time.localtime(snoozed))}.")
    click.echo(f"{environment.name} stops by itself: {watch.spoken}.")
    if watch.limits.any and not watch.in_pod:
        ui.note(f"warning: only the keeper on this machine enforces that: {watch.refusal}")
