"""What ``up`` is about to do and what it will cost, before anything is billed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devpod_rp.environments import Environment
from devpod_rp.errors import ConfigurationError, NoCapacityError
from devpod_rp.lifecycle import address, placement, provision
from devpod_rp.lifecycle.clouds import Cloud
from devpod_rp.lifecycle.placement import Candidate
from devpod_rp.progress import Progress, silent

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod
    from devpod_rp.spec.model import EnvironmentSpec

Action = Literal["create", "start", "resume"]

# USD per GB and month (docs.runpod.io, pods/pricing and storage/types).
CONTAINER_DISK_PRICE = 0.10
VOLUME_DISK_STOPPED_PRICE = 0.20
NETWORK_VOLUME_PRICE = 0.07
_HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Plan:
    """Everything ``up`` needs to know, and everything a person wants to know before saying yes.

    *action* is ``create`` (a new pod), ``start`` (a stopped pod runs again) or ``resume`` (it runs already).
    *replaces* says why a new pod is needed for an environment that had one.
    """

    name: str
    cloud: Cloud
    action: Action
    spec: EnvironmentSpec
    folder: Path
    workspace: str
    environment: Environment | None
    candidates: tuple[Candidate, ...]
    price_per_hour: float
    replaces: str | None = None

    @property
    def parked_per_month(self) -> float:
        """USD for a month in which the pod is stopped: only the volume is billed."""
        volume = self.spec.volume
        price = {"disk": VOLUME_DISK_STOPPED_PRICE, "network": NETWORK_VOLUME_PRICE, "none": 0.0}[volume.kind]
        return round(price * (volume.size_gb or 0), 2)

    @property
    def running_per_month(self) -> float:
        return round(self.price_per_hour * _HOURS_PER_MONTH, 2)

    @property
    def machine(self) -> str:
        if self.candidates:
            return self.candidates[0].machine
        return (self.environment.gpu if self.environment else None) or "the same machine"

    @property
    def keeps(self) -> str:
        """What survives a stop, in words."""
        path = self.spec.volume.path
        return {
            "disk": f"{path} survives a stop, dies with the pod; everything else is wiped at every stop",
            "network": f"{path} survives the pod; everything else is wiped at every stop",
            "none": "nothing survives a stop",
        }[self.spec.volume.kind]

    def as_json(self) -> dict[str, Any]:
        volume = self.spec.volume
        return {
            "name": self.name,
            "cloud": self.cloud.name,
            "simulated": self.cloud.simulated,
            "action": self.action,
            "replaces": self.replaces,
            "machine": self.machine,
            "image": self.spec.image,
            "cost_per_hour": self.price_per_hour,
            "cost_per_month_running": self.running_per_month,
            "cost_per_month_parked": self.parked_per_month,
            "container_disk_gb": self.spec.container_disk_gb,
            "volume": {"kind": volume.kind, "size_gb": volume.size_gb, "path": volume.path, "name": volume.name},
            "keeps": self.keeps,
            "folder": str(self.folder),
            "workspace": self.workspace,
            "candidates": [
                {
                    "machine": each.machine,
                    "id": each.id,
                    "tier": each.tier,
                    "cost_per_hour": each.price_per_hour,
                    "stock": each.stock,
                    "data_centers": list(each.data_centers),
                }
                for each in self.candidates
            ],
        }


def make_plan(
    folder: Path,
    spec: EnvironmentSpec,
    name: str,
    environment: Environment | None,
    cloud: Cloud,
    client: RunPod,
    progress: Progress = silent,
) -> Plan:
    """Look at the cloud and decide what ``up`` has to do. Bills nothing, creates nothing.

    Raises:
        ConfigurationError: the spec asks for something no offer fulfils.
        NoCapacityError: the spec's network volume cannot be placed.
    """
    pod, replaces = None, None
    if environment is not None:
        environment = provision.settle(environment, client, progress)
        pod = _live_pod(environment, client)
        if pod is None and environment.pod_id is not None:
            replaces = _why_new(environment)
    workspace = spec.workspace or f"{spec.volume.path.rstrip('/')}/{folder.name}"
    if environment is not None:
        workspace = environment.workspace
    if pod is not None:
        assert environment is not None
        running = str(pod.status.value) in ("RUNNING", "PROVISIONING", "STARTING")
        environment = address.observe(environment, client)
        price = pod.cost if running else _price_when_running(pod, client)
        action: Action = "resume" if running else "start"
        return Plan(name, cloud, action, spec, folder, workspace, environment, (), price)
    data_center = _data_center_of_volume(spec, name, client)
    if spec.cpu:
        candidates = placement.rank_cpus(spec, client.cpu_types(), data_center)
    else:
        candidates = placement.rank_gpus(spec, client.gpu_types(count=spec.gpu_count), data_center)
    if data_center is None and spec.volume.kind == "network":
        centers = [center.id for center in client.data_centers() if center.network_volume_types]
        data_center = placement.home_of_new_volume(candidates, centers)
        candidates = tuple(_moved(each, data_center) for each in candidates)
    return Plan(
        name, cloud, "create", spec, folder, workspace, environment, candidates, candidates[0].price_per_hour, replaces
    )


def volume_name(spec: EnvironmentSpec, name: str) -> str:
    """The name by which the environment's network volume is found again."""
    return spec.volume.name or f"devpod-{name}"


def _live_pod(environment: Environment, client: RunPod) -> Pod | None:
    from devpod_rp.runpod.errors import NotFound

    if environment.pod_id is None:
        return None
    try:
        pod = client.get_pod(environment.pod_id)
    except NotFound:
        return None
    return pod if provision.is_live(pod) else None


def _why_new(environment: Environment) -> str:
    if environment.status == "HIBERNATED":
        return "the environment hibernates; its network volume is attached to a new pod"
    lost = " and its volume disk died with it" if environment.volume.kind == "disk" else ""
    return f"pod {environment.pod_id} no longer exists{lost}"


def _price_when_running(pod: Pod, client: RunPod) -> float:
    """USD per hour once a stopped pod runs again, by the catalog of today; 0 if its machine is no longer listed."""
    if pod.cpu is not None:
        flavor = next((each for each in client.cpu_types() if pod.cpu and each.id == pod.cpu.id), None)
        return round(flavor.price.secure_per_vcpu * pod.cpu.vcpu_count, 4) if flavor else 0.0
    gpu = next((each for each in client.gpu_types() if pod.gpu and each.id == pod.gpu.id), None)
    if gpu is None or pod.gpu is None:
        return 0.0
    return round((gpu.price.community if pod.cloud == "COMMUNITY" else gpu.price.secure) * pod.gpu.count, 4)


def _data_center_of_volume(spec: EnvironmentSpec, name: str, client: RunPod) -> str | None:
    if spec.volume.kind != "network":
        return None
    wanted = volume_name(spec, name)
    found = [volume for volume in client.network_volumes() if volume.name == wanted]
    if len(found) > 1:
        raise ConfigurationError(
            f"There are {len(found)} network volumes named {wanted!r}.",
            hint="rename all but one: devpod-rp volumes list.",
        )
    if found and spec.data_centers and found[0].data_center not in spec.data_centers:
        raise NoCapacityError(
            f"The network volume {wanted!r} is in {found[0].data_center}, which data_centers leaves out.",
            hint=f"add {found[0].data_center} to data_centers; a pod must be where its network volume is.",
        )
    return found[0].data_center if found else None


def _moved(candidate: Candidate, data_center: str) -> Candidate:
    import dataclasses

    return dataclasses.replace(candidate, data_centers=(data_center,))
