"""``stop``: save what matters, then stop the pod, or hibernate it where its volume lives on without it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp import control, environments
from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError, UnreachableError, UsageError
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.furnishing import disks
from devpod_rp.lifecycle.reach import address, hosts
from devpod_rp.lifecycle.risk import look
from devpod_rp.lifecycle.risk.decision import Decide
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.guard.kept_disk import KeptDisk
    from devpod_rp.runpod.client import RunPod

ENDED = ("EXITED", "HIBERNATED", "TERMINATED")
_STOP_SECONDS = 120.0


@dataclass(frozen=True)
class Stopped:
    """How a stop went; the report of *guarded* is None when nothing was there to look at, or it was forced away.

    *kept* is the archive of the container disk, None where it is not kept or could not be.
    """

    environment: Environment
    guarded: look.Guarded
    was_running: bool
    kept: KeptDisk | None = None


def stop(
    name: str, decide: Decide, progress: Progress, *, force: bool = False, keep_disk: bool | None = None
) -> Stopped:
    """Flush the synchronisation, keep the disk if that is wished, let the guard look, then stop the pod.

    *keep_disk* True: from now on; False: not this time; None: as the spec says. A disk that should be kept and cannot
    be is something that would be lost: without *force* or a decision the pod runs on.

    An environment on a network volume hibernates: its pod is terminated, because the volume can be attached to a new
    pod on any host of the data center, while a stopped pod waits for a GPU on its one host.

    Raises:
        WouldLoseDataError: something exists only on the container disk and *decide* did not settle it; the pod runs on.
        UnreachableError: the cloud does not confirm the stop.
    """
    with environments.locked(name):
        environment = environments.load(name)
        with clouds.client_of(environment) as client:
            environment = address.observe(environment, client)
            if environment.pod_id is None or environment.status in ENDED:
                control.stop_keeper(name)
                return Stopped(environment, look.Guarded(), was_running=False)
            guarded, kept = look.Guarded(), None
            if not environment.half_made:
                flush(environment, progress)
                environment, kept, unkept = _kept(environment, keep_disk, progress)
                guarded = look.guarded(environment, decide, force=force, progress=progress, unkept=unkept)
            progress(Event("stop", f"Stopping pod {environment.pod_id}"))
            assert environment.pod_id is not None
            # At once: what is written after the look is lost. The keeper leaves the record to us, and goes on if the
            # cloud does not take the order.
            if environment.volume.kind == "disk":
                client.stop_pod(environment.pod_id)
                control.stop_keeper(name)
                ended = _wait_until_stopped(environment, client)
            else:
                ended = terminate(environment, client)
                control.stop_keeper(name)
                if environment.volume.kind == "network":
                    ended = dataclasses.replace(ended, status="HIBERNATED")
            environments.save(ended)
        hosts.refresh_hosts()
    return Stopped(ended, guarded, was_running=True, kept=kept)


def _kept(
    environment: Environment, keep_disk: bool | None, progress: Progress
) -> tuple[Environment, KeptDisk | None, str | None]:
    """The record, the archive of the disk, and why there is none although there should be."""
    if keep_disk is False:
        return environment, None, None
    if keep_disk:
        if environment.volume.kind == "none":
            raise UsageError(f"{environment.name} has no volume to keep its disk on.")
        environment = disks.remember_wish(environment)
    try:
        return environment, disks.keep(environment, progress), None
    except DevpodError as error:
        progress(Event("keep", error.message, warning=True))
        return environment, None, error.message


def flush(environment: Environment, progress: Progress) -> None:
    """Bring the pod's side up to date if a keeper runs; nothing is lost if it cannot, so a failure only warns."""
    if not control.keeper_running(environment.name):
        return
    progress(Event("sync", "Flushing the synchronisation"))
    try:
        control.keeper_request(environment.name, "flush", timeout=120.0, everything=True)
    except DevpodError as error:
        progress(Event("sync", f"The last local changes are not on the pod: {error.message}", warning=True))


def terminate(environment: Environment, client: RunPod) -> Environment:
    """Terminate the pod; the record (not saved) then has none."""
    assert environment.pod_id is not None
    client.delete_pod(environment.pod_id)
    return provision.without_pod(environment)


def _wait_until_stopped(
    environment: Environment,
    client: RunPod,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Environment:
    deadline = clock() + _STOP_SECONDS
    while True:
        observed = address.observe(environment, client)
        if observed.status in ENDED:
            return dataclasses.replace(observed, host_key=None, cost_per_hour=0.0)
        if clock() > deadline:
            raise UnreachableError(
                f"Pod {environment.pod_id} is still {observed.status} and may still bill.",
                hint=f"devpod-rp status {environment.name}; run stop again.",
            )
        sleep(0.2)
