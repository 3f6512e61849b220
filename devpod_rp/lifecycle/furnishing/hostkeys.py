"""Host keys that outlive the container disk: on the volume, for the first process of ours that restores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink


def folder(environment: Environment) -> str | None:
    """Where the volume keeps the host keys of *environment*; None without a volume.

    A volume disk has one pod in all its life. A network volume may be attached to several: each environment has a
    folder there, which only root can read. Root of another pod of the account can, as it can read everything else.
    """
    volume = environment.volume
    if volume.kind == "none":
        return None
    owner = environment.id if volume.kind == "network" else "pod"
    return f"{volume.path}/.devpod_rp/host-keys/{owner}"


def keep(environment: Environment, link: AgentLink, progress: Progress) -> None:
    """Have the pod's present host keys on its volume; without them the next start only makes new ones.

    Raises:
        LinkLost: the connection died.
    """
    from devpod_rp.agent.sessions.hostkeys import DAMAGED
    from devpod_rp.pod.link import AgentRefused

    place = folder(environment)
    if place is None:
        return
    try:
        answer = link.call("hostkeys.keep", volume=environment.volume.path, folder=place)
    except AgentRefused as refusal:
        progress(Event("connect", f"The pod's host keys are not kept: {refusal.message}", warning=True))
        return
    if answer.header["restored"] == DAMAGED:
        message = "The host keys on the volume were damaged, so the pod made new ones; its log vouches for them"
        progress(Event("connect", message, warning=True))
