"""Bringing rescued files back to the container disk of a later pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import UsageError
from devpod_rp.lifecycle.reach import connect
from devpod_rp.progress import Progress, silent

if TYPE_CHECKING:
    from devpod_rp.guard.rescue import PastRescue, Restore


def rescues(environment: Environment) -> list[PastRescue]:
    """What rescues left on the environment's volume, oldest first.

    Raises:
        UnreachableError: the pod cannot be reached.
        UsageError: the environment has no volume.
    """
    from devpod_rp.guard.rescue import list_rescues

    volume = _volume(environment)
    link = connect.open_link(environment)
    try:
        return list_rescues(link, volume)
    finally:
        link.close()


def restore(
    environment: Environment,
    *,
    moment: str | None = None,
    every: bool = False,
    only: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> Restore:
    """Put back what was rescued from the container that was rescued last, of each path its newest state.

    With *moment* only the rescue of that name, with *every* those of all containers.

    Raises:
        UnreachableError: the pod cannot be reached.
        UsageError: there is no such finished rescue.
        RestoreRefused: it cannot be put back.
    """
    from devpod_rp.guard.rescue import list_rescues
    from devpod_rp.guard.rescue import restore as put_back

    volume = _volume(environment)
    link = connect.open_link(environment)
    try:
        finished = [one for one in reversed(list_rescues(link, volume)) if one.complete]
        if moment is not None:
            finished = [one for one in finished if moment == one.destination.rsplit("/", 1)[-1]]
        if not finished:
            named = "a rescue named " + moment if moment is not None else "a finished rescue"
            raise UsageError(
                f"There is not {named} on the volume of {environment.name}.",
                hint=f"devpod-rp rescue list {environment.name}",
            )
        newest = finished[0]
        chosen = [
            one for one in finished if every or one is newest or (one.container and one.container == newest.container)
        ]
        return put_back(link, [one.destination for one in chosen], only=only, overwrite=overwrite, progress=progress)
    finally:
        link.close()


def _volume(environment: Environment) -> str:
    if environment.volume.kind == "none":
        raise UsageError(f"{environment.name} has no volume, so nothing could be rescued to it.")
    return environment.volume.path
