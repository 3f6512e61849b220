"""``track``: a pod that exists already becomes an environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp import environments
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.errors import UsageError
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.reach import address, connect
from devpod_rp.progress import Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod


def track(
    pod_id: str,
    cloud: clouds.Cloud,
    client: RunPod,
    *,
    name: str | None = None,
    folder: Path | None = None,
    progress: Progress,
) -> Environment:
    """Record the pod *pod_id* as an environment for *folder* (default: this one); ``up`` then connects and syncs.

    The pod is not changed. A running one is connected to once, to pin its host key and to see that our key opens it.
    Whatever is on it already counts as the user's, so the guard will name all of it.

    Raises:
        UsageError: there is no such pod, or an environment owns it.
        UnreachableError: it runs and does not let us in.
    """
    from devpod_rp.runpod.errors import NotFound
    from devpod_rp.spec.names import slug, validate_name
    from devpod_rp.ssh.errors import PermissionDenied
    from devpod_rp.ssh.keys import ensure_identity

    owner = next((each for each in environments.all_environments() if each.pod_id == pod_id), None)
    if owner is not None:
        raise UsageError(f"The environment {owner.name} owns the pod {pod_id} already.")
    try:
        pod = client.get_pod(pod_id)
    except NotFound:
        raise UsageError(f"There is no pod {pod_id}.", hint="devpod-rp list --all shows every pod.") from None
    if not provision.is_live(pod):
        raise UsageError(f"The pod {pod_id} is terminated.")
    folder = (folder or Path.cwd()).resolve()
    chosen = validate_name(name, "--name") if name else slug(pod.name)
    identity = ensure_identity()
    with environments.locked(chosen, progress=progress):
        environment = environments.create(
            name=chosen,
            cloud=cloud.name,
            api_url=cloud.url,
            folder=str(folder),
            workspace=f"{_volume(pod).path.rstrip('/')}/{folder.name}",
            spec=_spec(pod),
            volume=_volume(pod),
        )
        try:
            known = provision.with_pod(environment, pod, gpu=_machine(pod))
            known = dataclasses.replace(known, status=str(pod.status.value), used_pod=pod.id)
            if known.status == "RUNNING" and known.ssh is not None:
                known = address.pin_host_key(known, client, progress)
                connect.open_connection(known).close()
            return environments.save(known)
        except PermissionDenied as error:
            environments.remove(chosen)
            raise PermissionDenied(
                f"The pod {pod_id} does not accept our key.",
                hint=f"add this line to ~/.ssh/authorized_keys on the pod, then try again: {identity.public}",
            ) from error
        except BaseException:
            environments.remove(chosen)
            raise


def _volume(pod: Pod) -> VolumeRecord:
    mounts = pod.mounts
    if mounts and mounts.network:
        return VolumeRecord("network", mounts.network[0].volume_id, None, mounts.network[0].path)
    if mounts and mounts.persistent:
        return VolumeRecord("disk", None, mounts.persistent.size, mounts.persistent.path)
    return VolumeRecord("none", None, None, "/workspace")


def _machine(pod: Pod) -> str | None:
    if pod.gpu is not None:
        return pod.gpu.id if pod.gpu.count == 1 else f"{pod.gpu.count} x {pod.gpu.id}"
    return f"{pod.cpu.id}, {pod.cpu.vcpu_count} vCPU" if pod.cpu else None


def _spec(pod: Pod) -> dict[str, Any]:
    """What would have had to be asked for to get *pod*; its variables stay its own business."""
    from devpod_rp.spec.model import EnvironmentSpec

    volume = _volume(pod)
    wanted: dict[str, Any] = {
        "image": pod.image or "unknown",
        "tier": "community" if pod.cloud == "COMMUNITY" else "secure",
        "volume": {"kind": volume.kind, "path": volume.path, **({"size_gb": volume.size_gb} if volume.size_gb else {})},
    }
    if pod.disk:
        wanted["container_disk_gb"] = pod.disk
    if pod.cpu is not None:
        wanted.update(cpu=pod.cpu.id, vcpu=pod.cpu.vcpu_count)
    else:
        wanted.update(gpu=[pod.gpu.id if pod.gpu else "any"], gpu_count=max(1, pod.gpu.count if pod.gpu else 1))
    return EnvironmentSpec.model_validate(wanted).model_dump(mode="json")
