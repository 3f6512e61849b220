"""From a spec and a candidate to the body of POST /v2/pods. The pod carries our stamp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.account import ownership
from devpod_rp.lifecycle.furnishing import hostkeys
from devpod_rp.lifecycle.market.placement import Candidate
from devpod_rp.pod import first_process
from devpod_rp.spec import images

if TYPE_CHECKING:
    from devpod_rp.runpod.model import CreatePodRequest, Mounts
    from devpod_rp.spec.model import EnvironmentSpec


_OURS = 3
"""Variables of ours: the public key, the stamp, and a spot pod's hook."""


def pod_request(
    environment: Environment, spec: EnvironmentSpec, candidate: Candidate, public_key: str
) -> CreatePodRequest:
    """The body of POST /v2/pods. REST v2 has no defaults worth relying on, so everything is said."""
    from devpod_rp.runpod import model

    gpu, cpu = None, None
    if candidate.kind == "gpu":
        gpu = model.CreateGpuConfig(
            id=candidate.id,
            count=candidate.count,
            min_cuda_version=spec.cuda_floor,
            min_ram_per_gpu=spec.min_ram_per_gpu_gb,
            min_vcpu_count_per_gpu=spec.min_vcpu_per_gpu,
        )
    else:
        cpu = model.CreateCpuConfig(id=candidate.id, vcpu_count=candidate.count)
    return model.CreatePodRequest(
        name=environment.pod_name,
        image=spec.image,
        disk=spec.container_disk_gb,
        gpu=gpu,
        cpu=cpu,
        cloud=model.Cloud(candidate.tier),
        mounts=_mounts(environment),
        ports=list(spec.ports),
        env={
            **caches(environment, spec),
            **spec.env,
            **_hook(spec),
            "PUBLIC_KEY": public_key,
            ownership.VARIABLE: ownership.stamp(environment),
        },
        start_ssh=True,
        data_center_ids=list(candidate.data_centers) or None,
        cmd=_command(environment, spec, candidate),
    )


def _command(environment: Environment, spec: EnvironmentSpec, candidate: Candidate) -> list[str] | None:
    """The container's command, our first process before it where we know what it would be; None: the image's own."""
    spot, keys = candidate.bid_per_gpu is not None, hostkeys.folder(environment)
    known = spec.start_command is not None or images.has_start_script(spec.image)
    if spot or (keys is not None and known):
        return first_process.command(spec.start_command, host_keys=keys, spot=spot)
    return list(spec.start_command) if spec.start_command else None


def caches(environment: Environment, spec: EnvironmentSpec) -> dict[str, str]:
    """The variables that keep downloads on the pod's volume; none without one, or where *spec* wants none."""
    from devpod_rp.spec import persist
    from devpod_rp.spec.model import MOST_VARIABLES

    volume = environment.volume
    if not spec.persist.defaults or volume.kind == "none":
        return {}
    found = persist.caches(volume.path)
    # A convenience must not crowd out what the user asked for.
    return dict(found) if len({*found, *spec.env}) + _OURS <= MOST_VARIABLES else {}


def _hook(spec: EnvironmentSpec) -> dict[str, str]:
    return {first_process.HOOK_VARIABLE: spec.spot.hook} if spec.spot.enabled and spec.spot.hook else {}


def _mounts(environment: Environment) -> Mounts | None:
    from devpod_rp.runpod import model

    volume = environment.volume
    if volume.kind == "network":
        assert volume.id is not None
        return model.Mounts(network=[model.NetworkMount(volume_id=volume.id, path=volume.path)])
    if volume.kind == "disk":
        assert volume.size_gb is not None
        return model.Mounts(persistent=model.PersistentMount(size=volume.size_gb, path=volume.path))
    return None
