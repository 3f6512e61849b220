"""``gc``: what our own interrupted commands left in the cloud, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from devpod_rp import control, environments
from devpod_rp.environments import Environment
from devpod_rp.lifecycle import track
from devpod_rp.lifecycle.account import clouds, ownership, provision
from devpod_rp.lifecycle.reach import hosts
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import NetworkVolume, Pod

Remedy = Literal["adopt", "terminate"]


@dataclass(frozen=True)
class Leftover:
    """A pod that this installation made and that no finished ``up`` owns.

    *remedy* is "terminate" for one that was never handed over, so that nothing can be on it, and "adopt" for one whose
    record is lost: it may hold work, so it becomes an environment again for the guard to look at.
    """

    pod_id: str
    name: str
    status: str
    cost_per_hour: float
    remedy: Remedy
    environment: str | None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class IdleVolume:
    """A network volume that no environment here uses; it bills, and only a person can say whether it may go."""

    id: str
    name: str
    size_gb: int
    data_center: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Survey:
    """Everything found; foreign pods are no leftovers and not in here."""

    leftovers: tuple[Leftover, ...]
    idle_volumes: tuple[IdleVolume, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "leftovers": [each.as_json() for each in self.leftovers],
            "idle_volumes": [each.as_json() for each in self.idle_volumes],
        }


def survey(cloud: clouds.Cloud, client: RunPod, progress: Progress) -> Survey:
    """What is ours in the account and unfinished. Adopts what an intent announced, changes nothing else."""
    mine = []
    for environment in environments.all_environments():
        if environment.cloud == cloud.name and environments.holder_of(environment.name) is None:
            with environments.locked(environment.name):
                environment = provision.settle(environments.load(environment.name), client, progress)
        if environment.cloud == cloud.name:
            mine.append(environment)
    pods = [pod for pod in client.list_pods() if provision.is_live(pod)]
    return Survey(
        tuple(each for pod in pods if (each := _leftover(pod, mine)) is not None),
        tuple(_idle(volume) for volume in client.network_volumes() if not _used(volume, mine, pods)),
    )


def clear(leftover: Leftover, cloud: clouds.Cloud, client: RunPod, progress: Progress) -> Environment | None:
    """Carry out the remedy; the environment that came of it, if one did."""
    if leftover.remedy == "adopt":
        progress(Event("gc", f"Taking pod {leftover.pod_id} up as an environment again"))
        return track.track(leftover.pod_id, cloud, client, name=leftover.environment, progress=progress)
    progress(Event("gc", f"Terminating pod {leftover.pod_id}, which was never handed over"))
    name = leftover.environment
    if name is None:
        client.delete_pod(leftover.pod_id)
        return None
    with environments.locked(name):
        environment = environments.load(name)
        if environment.pod_id == leftover.pod_id and environment.half_made:
            control.stop_keeper(name)
            client.delete_pod(leftover.pod_id)
            provision.forget_pod(environment)
    hosts.write_ssh_config()
    return None


def _leftover(pod: Pod, mine: list[Environment]) -> Leftover | None:
    owner = next((each for each in mine if each.pod_id == pod.id), None)
    if owner is not None:
        busy = environments.holder_of(owner.name) is not None
        return _found(pod, "terminate", owner.name) if owner.half_made and not busy else None
    if not ownership.made_here(pod):
        return None
    stamp = ownership.stamp_of(pod)
    assert stamp is not None
    sibling = next((each for each in mine if each.id == stamp.environment_id), None)
    if sibling is not None:
        # A double of a lost answer: the environment's record names another pod, so this one was never anybody's.
        return _found(pod, "terminate", None) if environments.holder_of(sibling.name) is None else None
    taken = environments.find(stamp.name) is not None
    return _found(pod, "adopt", None if taken else stamp.name)


def _found(pod: Pod, remedy: Remedy, environment: str | None) -> Leftover:
    return Leftover(pod.id, pod.name, str(pod.status.value), pod.cost, remedy, environment)


def _used(volume: NetworkVolume, mine: list[Environment], pods: list[Pod]) -> bool:
    attached = {each.volume_id for pod in pods if pod.mounts for each in pod.mounts.network or []}
    return volume.id in attached or any(each.volume.id == volume.id for each in mine)


def _idle(volume: NetworkVolume) -> IdleVolume:
    return IdleVolume(volume.id, volume.name, volume.size, volume.data_center)
