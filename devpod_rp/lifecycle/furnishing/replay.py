"""Bringing back on a new container what the one before had installed, if that is wanted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Literal

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.reach import connect
from devpod_rp.lifecycle.risk import look
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.guard.replay import Offer, Replayed
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.spec.parts import PersistSpec

LOG = "/run/devpod_rp/replay.log"


class Reply(Enum):
    YES = "yes"
    NOT_NOW = "not now"
    FORGET = "forget"


Decide = Callable[["Offer"], Reply | None]
"""What to do about an offer; None where nobody can be asked."""


def nobody(_offer: Offer) -> Reply | None:
    return None


def bring_back(
    environment: Environment, persist: PersistSpec, decide: Decide, progress: Progress, *, wanted: bool | None = None
) -> Replayed:
    """Bring back what is missing if *wanted*, else as ``[persist] replay`` says, else as *decide* says.

    Asked once for each container; *wanted* is carried out in any case. A note that cannot be read is told, and keeps
    nobody from working.

    Raises:
        LinkLost: the connection died; what ran then comes to its own end, and the next call goes on.
    """
    from devpod_rp.guard.replay import Replayed, ReplayRefused

    volume = look.volume_path(environment)
    choice = persist.replay if wanted is None else wanted
    if volume is None or choice is False:
        return Replayed()
    with contextlib.closing(connect.open_link(environment)) as link:
        try:
            return _carried_out(link, volume, environment.name, decide, progress, choice, again=wanted is True)
        except ReplayRefused as refused:
            progress(Event("replay", refused.message, warning=True))
            return Replayed()


def _carried_out(
    link: AgentLink,
    volume: str,
    name: str,
    decide: Decide,
    progress: Progress,
    choice: bool | Literal["ask"],
    *,
    again: bool,
) -> Replayed:
    from devpod_rp.guard import replay
    from devpod_rp.guard.replay import Replayed

    offer = replay.offer(link, volume, name)
    if not offer.packages:
        return Replayed()
    if offer.answer is not None and not again:
        return Replayed("declined" if offer.answer == "declined" else "offered", offer.packages)
    reply = Reply.YES if choice is True else decide(offer)
    if reply is None:
        return Replayed("offered", offer.packages)
    if reply is not Reply.YES:
        replay.decline(link, volume, name, forget=reply is Reply.FORGET)
        return Replayed("declined", offer.packages)
    progress(Event("replay", f"Bringing back {len(offer.packages)} of what was installed", 0, len(offer.commands)))
    replayed = replay.run(link, volume, name, progress)
    for package, reason in replayed.failed.items():
        progress(Event("replay", f"{package} did not come back: {reason}; {LOG} on the pod has all", warning=True))
    return dataclasses.replace(replayed, offered=offer.packages)
