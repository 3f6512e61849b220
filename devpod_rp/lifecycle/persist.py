"""``[persist]`` carried out: at every start of a pod, what is to be kept is linked to its place on the volume."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.lifecycle import look
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.spec.model import EnvironmentSpec


def carry_out(
    environment: Environment, spec: EnvironmentSpec, link: AgentLink, progress: Progress, *, fresh: bool
) -> None:
    """Link what *spec* wants to be kept into ``<volume>/.devpod/persist/<environment>``; harmless when repeated.

    *fresh*: nobody could reach the container yet, so nothing in it is the user's.

    What cannot be kept is said and keeps nobody from working: the guard still sees it.

    Raises:
        LinkLost: the connection died.
    """
    from devpod_rp.pod.link import AgentRefused
    from devpod_rp.spec.persist import FOLDER

    volume = look.volume_path(environment)
    wishes = [[path.rstrip(FOLDER), path.endswith(FOLDER)] for path in spec.persist.wanted]
    if volume is None:
        if spec.persist.paths:
            _warn(progress, "[persist] keeps nothing: this pod has no volume (volume.kind none)")
        return
    if not wishes:
        return
    store = f"{volume}/.devpod/persist/{environment.name}"
    try:
        answer = link.call("persist.link", json.dumps(wishes).encode("ascii"), volume=volume, store=store, fresh=fresh)
    except AgentRefused as refusal:
        _warn(progress, f"[persist] keeps nothing: {refusal.message}")
        return
    for path, reason in json.loads(answer.body).items():
        _warn(progress, f"{path} stays on the container disk, which a stop wipes: {reason}")


def _warn(progress: Progress, message: str) -> None:
    progress(Event("persist", message, warning=True))
