"""``delete``: save what matters, terminate the pod, forget the environment."""

from __future__ import annotations

from dataclasses import dataclass

from devpod_rp import control, environments
from devpod_rp.environments import Environment
from devpod_rp.errors import WouldLoseDataError
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.reach import address, hosts
from devpod_rp.lifecycle.risk import look
from devpod_rp.lifecycle.risk.decision import Decide
from devpod_rp.lifecycle.stop import flush, terminate
from devpod_rp.progress import Event, Progress


@dataclass(frozen=True)
class Deleted:
    """*kept_volume* is the id of the network volume that lives on and is still billed, if there is one."""

    environment: Environment
    kept_volume: str | None


def delete(name: str, decide: Decide, decide_volume: Decide, progress: Progress, *, force: bool = False) -> Deleted:
    """Terminate the pod and remove every trace of the environment here; a network volume is never deleted.

    *decide* is asked about the container disk, *decide_volume* about a volume disk, which dies with the pod.

    Raises:
        WouldLoseDataError: the pod holds something that exists nowhere else, or is stopped so that nobody can look.
    """
    with environments.locked(name):
        environment = environments.load(name)
        with clouds.client_of(environment) as client:
            environment = address.observe(provision.settle(environment, client, progress), client)
            if environment.pod_id is not None and environment.status != "TERMINATED":
                _guard(environment, decide, decide_volume, progress, force=force)
                progress(Event("delete", f"Terminating pod {environment.pod_id}"))
                control.stop_keeper(name)
                environments.save(terminate(environment, client))
        control.stop_keeper(name)
        environments.remove(name)
        hosts.forget(name)
    return Deleted(environment, environment.volume.id if environment.volume.kind == "network" else None)


def _guard(environment: Environment, decide: Decide, decide_volume: Decide, progress: Progress, *, force: bool) -> None:
    if environment.half_made:
        return
    if environment.status == "RUNNING":
        flush(environment, progress)
        look.guarded(environment, decide, force=force, progress=progress)
        if environment.volume.kind == "disk":
            look.guard_volume(environment, decide_volume, force=force, progress=progress)
        return
    # A stopped pod has an empty container disk already; only a volume disk can still be lost.
    if environment.volume.kind == "disk" and not force:
        raise WouldLoseDataError(
            f"{environment.name} is {environment.status}: nobody can look at its volume disk, which dies with the pod.",
            hint=f"devpod-rp up {environment.name} first, or give the volume up with --force.",
        )
