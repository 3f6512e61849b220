"""``[persist]`` carried out: at every start of a pod, what is to be kept is linked to its place on the volume."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.risk import look
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.spec.model import EnvironmentSpec

_START_SECONDS = 30.0


def carry_out(
    environment: Environment, spec: EnvironmentSpec, link: AgentLink, progress: Progress, *, fresh: bool
) -> None:
    """Link what *spec* wants to be kept into ``<volume>/.devpod/persist/<environment>``; harmless when repeated.

    *fresh*: nobody could reach the container yet, so nothing in it is the user's.

    What cannot be kept is said and keeps nobody from working: the guard still sees it.

    Raises:
        UnreachableError: the connection died.
    """
    from devpod_rp.pod.link import AgentRefused
    from devpod_rp.spec.persist import FOLDER, without_servers

    volume = look.volume_path(environment)
    paths = spec.persist.wanted
    if volume is None:
        if spec.persist.paths:
            _warn(progress, "[persist] keeps nothing: this pod has no volume (volume.kind none)")
        return
    if not paths:
        return
    store = f"{volume}/.devpod/persist/{environment.name}"
    try:
        archived = _archived(environment, spec, link, progress, fresh=fresh)
        linked = without_servers(paths) if archived else paths
        wishes = [[path.rstrip(FOLDER), path.endswith(FOLDER)] for path in linked]
        answer = link.call("persist.link", json.dumps(wishes).encode("ascii"), volume=volume, store=store, fresh=fresh)
    except AgentRefused as refusal:
        _warn(progress, f"[persist] keeps nothing: {refusal.message}")
        return
    for path, reason in json.loads(answer.body).items():
        _warn(progress, f"{path} stays on the container disk, which a stop wipes: {reason}")
    try:
        left = link.call("servers.settle", store=store).header["left"] if fresh else {}
    except AgentRefused as refusal:
        left = {"": refusal.message}
    for server, reason in left.items():
        _warn(progress, f"~/{server or '…'} of an editor is not there and will be downloaded again: {reason}")
    if archived:
        _keep_archives(store, link, progress)


def _archived(
    environment: Environment, spec: EnvironmentSpec, link: AgentLink, progress: Progress, *, fresh: bool
) -> bool:
    """Whether editor servers live on the container disk, with archives of them on the volume."""
    wanted = spec.persist.editors
    if wanted == "auto" and environment.volume.kind != "network":
        wanted = "linked"  # a disk of the pod's own host
    chosen = link.call("servers.choose", volume=environment.volume.path, wanted=wanted, fresh=fresh).header
    if chosen["why"] and fresh:
        progress(Event("persist", f"Editor servers are kept as archives on the volume: {chosen['why']}"))
    return bool(chosen["how"] == "archived")


def _keep_archives(store: str, link: AgentLink, progress: Progress) -> None:
    """Have a program in the pod that makes an archive of each server that an editor brings."""
    from devpod_rp.pod import bootstrap

    command, payload = bootstrap.program("servers.archiving", f"{json.dumps({'store': store})}\n".encode())
    done = link.connection.run(command, input=payload, timeout=_START_SECONDS)
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        _warn(progress, f"new editor servers will be downloaded again: {words[-1] if words else 'no reason given'}")


def _warn(progress: Progress, message: str) -> None:
    progress(Event("persist", message, warning=True))
