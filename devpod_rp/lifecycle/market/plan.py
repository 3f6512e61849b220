"""What ``up`` is about to do and what it will cost, before anything is billed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devpod_rp.environments import Environment
from devpod_rp.errors import ConfigurationError
from devpod_rp.lifecycle.account import provision
from devpod_rp.lifecycle.account.clouds import Cloud
from devpod_rp.lifecycle.market import placement, volumes
from devpod_rp.lifecycle.market.placement import Candidate, Ranking, RuledOut
from devpod_rp.lifecycle.market.volumes import VolumePlan
from devpod_rp.lifecycle.money import prices
from devpod_rp.lifecycle.reach import address, localcloud
from devpod_rp.progress import Progress, silent

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod
    from devpod_rp.spec.model import EnvironmentSpec

Action = Literal["create", "start", "resume"]


@dataclass(frozen=True)
class Plan:
    """Everything ``up`` needs to know, and everything a person wants to know before saying yes.

    *action* is ``create`` (a new pod), ``start`` (a stopped pod runs again) or ``resume`` (it runs already).
    *replaces* says why a new pod is needed for an environment that had one. *ruled_out* are offers that the wish names
    and that do not fit it; *network* is what will be done about a network volume, which grows only with *grow*.
    *flags* are what to remember of the command line.
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
    ruled_out: tuple[RuledOut, ...] = ()
    network: VolumePlan | None = None
    grow: bool = False
    flags: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def highest_price(self) -> float:
        """USD per hour of the dearest candidate: what it may come to if the better ones cannot be had."""
        return max((each.price_per_hour for each in self.candidates), default=self.price_per_hour)

    @property
    def volume_gb(self) -> int:
        """The size that the volume will have, in GB."""
        return self.network.size_gb if self.network else self.spec.volume.size_gb

    @property
    def parked_per_month(self) -> float:
        """USD for a month in which the pod is stopped: only the volume is billed."""
        return round(prices.volume_per_month(self.spec.volume.kind, self.volume_gb, running=False), 2)

    @property
    def running_per_month(self) -> float:
        return round(self.price_per_hour * prices.HOURS_PER_MONTH, 2)

    @property
    def spot(self) -> bool:
        """Whether it is about a spot pod, which the market may end at any moment."""
        if self.candidates:
            return self.candidates[0].bid_per_gpu is not None
        return self.environment is not None and self.environment.bid_per_gpu is not None

    @property
    def machine(self) -> str:
        if self.candidates:
            return self.candidates[0].machine
        return (self.environment.gpu if self.environment else None) or "the same machine"

    @property
    def keeps(self) -> str:
        """What survives a stop, in words."""
        path = self.spec.volume.path
        rest = "everything else is archived there and put back" if self.spec.keep_disk else ""
        rest = rest or "everything else is wiped at every stop"
        return {
            "disk": f"{path} survives a stop, dies with the pod; {rest}",
            "network": f"{path} survives the pod; {rest}",
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
            "volume": {"kind": volume.kind, "size_gb": self.volume_gb, "path": volume.path, "name": volume.name},
            "keeps": self.keeps,
            "folder": str(self.folder),
            "workspace": self.workspace,
            "spot": self.spot,
            "candidates": [each.as_json() for each in self.candidates],
            "ruled_out": [dict(vars(each)) for each in self.ruled_out],
            "highest_cost_per_hour": self.highest_price,
            "network_volume": self.network.as_json() if self.network else None,
        }


def make_plan(
    folder: Path,
    spec: EnvironmentSpec,
    name: str,
    environment: Environment | None,
    cloud: Cloud,
    client: RunPod,
    progress: Progress = silent,
    *,
    grow: bool = False,
    flags: Mapping[str, Any] | None = None,
) -> Plan:
    """Look at the cloud and decide what ``up`` has to do. Bills nothing, creates nothing.

    An existing network volume grows to the spec's size only with *grow*, that is if somebody asked for that size.

    Raises:
        NoCapacityError: no offer fits the spec, or its network volume cannot be placed.
        UsageError: another pod has the network volume attached.
        ConfigurationError: the environment keeps its files on a network volume and the spec asks for other storage,
            or this machine cannot run pods of the local cloud.
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
        if cloud.simulated and not running:
            localcloud.require_pods()
        price = pod.cost if running else _price_when_running(environment, pod, client)
        action: Action = "resume" if running else "start"
        return Plan(name, cloud, action, spec, folder, workspace, environment, (), price, flags=flags or {})
    if environment is not None:
        _refuse_other_storage(environment, spec)
    if cloud.simulated:
        localcloud.require_pods()
    network: VolumePlan | None = None
    ranking = rank(spec, client)
    if spec.volume.kind == "network":
        existing = volumes.find(spec, name, environment, client)
        if existing is not None:
            network = volumes.plan_existing(existing, spec, grow=grow)
            volumes.refuse_second_writer(network, spec, environment, client)
        else:
            network = volumes.plan_new(spec, name, ranking.candidates, client)
        ranking = placement.in_center(ranking, network.data_center)
    best = ranking.candidates[0]
    return Plan(
        name=name,
        cloud=cloud,
        action="create",
        spec=spec,
        folder=folder,
        workspace=workspace,
        environment=environment,
        candidates=ranking.candidates,
        price_per_hour=best.price_per_hour,
        replaces=replaces,
        ruled_out=ranking.ruled_out,
        network=network,
        grow=grow,
        flags=flags or {},
    )


def _refuse_other_storage(environment: Environment, spec: EnvironmentSpec) -> None:
    """A network volume that an environment keeps is not traded for other storage by the way."""
    kept = environment.volume
    if kept.kind == "network" and kept.id is not None and spec.volume.kind != "network":
        raise ConfigurationError(
            f"{environment.name} keeps its files on the network volume {kept.id}, and now asks for "
            f"volume.kind {spec.volume.kind!r}.",
            hint=f"give another NAME for a second environment, or devpod-rp delete {environment.name} first "
            "(its network volume is kept).",
        )


def rank(spec: EnvironmentSpec, client: RunPod) -> Ranking:
    """The offers of this moment that fulfil *spec*, best first.

    Raises:
        NoCapacityError: there are none.
    """
    if spec.cpu:
        if spec.spot.enabled:
            raise ConfigurationError("Spot pods have GPUs.", hint="drop --spot, or name a GPU instead of a CPU.")
        return placement.rank_cpus(spec, client.cpu_types())
    gpus = client.gpu_types(count=spec.gpu_count, min_cuda=spec.cuda_floor)
    if not spec.spot.enabled:
        return placement.rank_gpus(spec, gpus)
    # What counts is the bid, not the price on demand.
    ranking = placement.rank_gpus(spec.model_copy(update={"max_price": None}), gpus)
    lowest = {
        (gpu, tier): floor
        for gpu, price in client.spot.prices().items()
        for tier in placement.TIERS
        if (floor := price.of(tier)) is not None
    }
    return placement.by_bid(ranking, lowest, spec.spot.bid, spec.max_price)


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


def _price_when_running(environment: Environment, pod: Pod, client: RunPod) -> float:
    """USD per hour once a stopped pod runs again: its bid, or by the catalog of today; 0 if that no longer lists it."""
    if environment.bid_per_gpu is not None:
        return round(environment.bid_per_gpu * int(environment.spec["gpu_count"]), 4)
    if pod.cpu is not None:
        flavor = next((each for each in client.cpu_types() if pod.cpu and each.id == pod.cpu.id), None)
        return round(flavor.price.secure_per_vcpu * pod.cpu.vcpu_count, 4) if flavor else 0.0
    gpu = next((each for each in client.gpu_types() if pod.gpu and each.id == pod.gpu.id), None)
    if gpu is None or pod.gpu is None:
        return 0.0
    return round((gpu.price.community if pod.cloud == "COMMUNITY" else gpu.price.secure) * pod.gpu.count, 4)
