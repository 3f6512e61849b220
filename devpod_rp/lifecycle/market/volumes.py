"""The network volume of an environment: found by name, made where its machines are, grown, never shrunk or shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import environments
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.errors import ConfigurationError, DevpodError, NoCapacityError, UsageError
from devpod_rp.lifecycle.account import provision
from devpod_rp.lifecycle.market.placement import Candidate, CenterChoice, homes_of_new_volume
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import NetworkVolume
    from devpod_rp.spec.model import EnvironmentSpec


@dataclass(frozen=True)
class VolumePlan:
    """What will be done about a network volume. *existing* is its id if there is one already.

    *size_gb* is what it will have, *before_gb* what it has; *choices* are the places a new one could be made in, best
    first, of which *data_center* is the one taken.
    """

    name: str
    data_center: str
    size_gb: int
    existing: str | None = None
    before_gb: int | None = None
    choices: tuple[CenterChoice, ...] = ()

    @property
    def grows(self) -> bool:
        return self.before_gb is not None and self.size_gb > self.before_gb

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "choices": [each.as_json() for each in self.choices]}


def volume_name(spec: EnvironmentSpec, name: str) -> str:
    """The name by which the environment's network volume is found again."""
    return spec.volume.name or f"devpod-{name}"


def find(spec: EnvironmentSpec, name: str, environment: Environment | None, client: RunPod) -> NetworkVolume | None:
    """The network volume that *spec* means, if it exists: the recorded one, else the one of that name.

    Raises:
        ConfigurationError: there are several of that name.
        NoCapacityError: it is in a data center that the spec leaves out.
    """
    wanted = volume_name(spec, name)
    volumes = client.network_volumes()
    found = [volume for volume in volumes if volume.name == wanted]
    recorded = environment.volume.id if environment and environment.volume.kind == "network" else None
    if recorded is not None and spec.volume.name is None:
        found = [volume for volume in volumes if volume.id == recorded] or found
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
    return found[0] if found else None


def plan_existing(volume: NetworkVolume, spec: EnvironmentSpec, *, grow: bool) -> VolumePlan:
    """Use *volume*; it grows to the spec's size only with *grow*, that is if somebody asked for that size."""
    size = max(volume.size, spec.volume.size_gb) if grow else volume.size
    return VolumePlan(volume.name, volume.data_center, size, existing=volume.id, before_gb=volume.size)


def plan_new(spec: EnvironmentSpec, name: str, candidates: Sequence[Candidate], client: RunPod) -> VolumePlan:
    """A new volume in the data center with the best stock over the whole wish list.

    Raises:
        NoCapacityError: no data center that fits has network volumes.
    """
    centers = {center.id for center in client.data_centers() if center.network_volume_types}
    choices = homes_of_new_volume(candidates, centers)
    return VolumePlan(volume_name(spec, name), choices[0].data_center, spec.volume.size_gb, choices=choices)


def refuse_second_writer(
    plan: VolumePlan, spec: EnvironmentSpec, environment: Environment | None, client: RunPod
) -> None:
    """Two pods that write to one network volume may corrupt it (RunPod's storage documentation).

    Raises:
        UsageError: another live pod has the volume attached, and the spec does not allow sharing.
    """
    if plan.existing is None or spec.volume.shared:
        return
    own = environment.pod_id if environment else None
    for pod in client.list_pods():
        attached = (pod.mounts.network or []) if pod.mounts else []
        if pod.id != own and provision.is_live(pod) and any(each.volume_id == plan.existing for each in attached):
            raise UsageError(
                f"The network volume {plan.name!r} is attached to the pod {pod.name} ({pod.id}) already.",
                hint="stop that one first, or add --shared if only one of them writes at a time.",
            )


def ensure(plan: VolumePlan, environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """The record with its network volume, which exists and is large enough now; the intent names it before it is made.

    Raises:
        DevpodError: the cloud refuses to make or grow it.
    """
    from devpod_rp.runpod.model import CreateNetworkVolumeRequest, UpdateNetworkVolumeRequest

    if plan.existing is None:
        progress(Event("place", f"Creating the network volume {plan.name} ({plan.size_gb} GB) in {plan.data_center}"))
        provision.announce(environment, "create-volume", {"volume": plan.name})
        request = CreateNetworkVolumeRequest(name=plan.name, size=plan.size_gb, data_center=plan.data_center)
        try:
            volume = client.create_network_volume(request)
        except DevpodError as error:
            if not provision.may_have_happened(error):
                environments.clear_intent(environment.name)
                raise
            made = next((each for each in client.network_volumes() if each.name == plan.name), None)
            if made is None:
                raise
            volume = made
    elif plan.grows:
        progress(Event("place", f"Growing the network volume {plan.name} to {plan.size_gb} GB"))
        volume = client.update_network_volume(plan.existing, UpdateNetworkVolumeRequest(size=plan.size_gb))
    else:
        volume = client.get_network_volume(plan.existing)
    record = VolumeRecord(kind="network", id=volume.id, size_gb=volume.size, path=environment.volume.path)
    saved = environments.save(dataclasses.replace(environment, volume=record))
    environments.clear_intent(environment.name)
    return saved
