"""Getting a pod: candidate by candidate, never two, never one that nobody remembers.

Before every call that creates something billable an intent is on disk. A crash, or a connection that broke before the
answer came, is settled by looking for the pod's unique name.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from devpod_rp import environments
from devpod_rp.environments import Environment, Intent, SshEndpoint
from devpod_rp.errors import DevpodError, NoCapacityError, UnreachableError
from devpod_rp.lifecycle.placement import Candidate
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import CreatePodRequest, Pod
    from devpod_rp.spec.model import EnvironmentSpec

# 20 GB images take 10 to 15 minutes to pull on a host that has never seen them.
BOOT_SECONDS = 20 * 60.0
# How long a POST whose answer was lost may still turn into a pod.
SETTLING_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One candidate that was asked for in vain, and why it was not to be had."""

    candidate: Candidate
    reason: str


def create_pod(
    environment: Environment,
    spec: EnvironmentSpec,
    candidates: Sequence[Candidate],
    public_key: str,
    client: RunPod,
    progress: Progress,
) -> Environment:
    """Create the pod of *environment* on the first candidate that can be had, and record it.

    Raises:
        NoCapacityError: none could be had; the message lists every attempt.
        DevpodError: whatever else the cloud refused (key, balance, request).
    """
    from devpod_rp.runpod.errors import Ambiguous, Forbidden, NoCapacity

    attempts: list[Attempt] = []
    for number, candidate in enumerate(candidates, 1):
        progress(
            Event(
                "place",
                f"Asking for {candidate.machine} in the {candidate.tier.lower()} cloud at "
                f"${candidate.price_per_hour:.2f}/h ({number} of {len(candidates)})",
            )
        )
        request = pod_request(environment, spec, candidate, public_key)
        _announce(environment, "create", {"candidate": candidate.machine})
        try:
            pod = client.create_pod(request)
        except (NoCapacity, Forbidden) as error:
            environments.clear_intent(environment.name)
            attempts.append(Attempt(candidate, error.message))
            continue
        except Ambiguous:
            found = find_pod(environment, client)
            if found is None:
                raise
            pod = found
        except DevpodError:
            environments.clear_intent(environment.name)
            raise
        created = remember(environment, pod, gpu=candidate.machine)
        environments.clear_intent(environment.name)
        return created
    raise NoCapacityError(
        "No machine could be had. " + " ".join(f"{each.candidate.machine}: {each.reason}" for each in attempts),
        hint="name more GPU types (--gpu A --gpu B), another tier (--tier any), or try again later.",
    )


def pod_request(
    environment: Environment, spec: EnvironmentSpec, candidate: Candidate, public_key: str
) -> CreatePodRequest:
    """The body of POST /v2/pods. REST v2 has no defaults worth relying on, so everything is said."""
    from devpod_rp.runpod import model

    mounts = None
    if environment.volume.kind == "network":
        assert environment.volume.id is not None
        mounts = model.Mounts(
            network=[model.NetworkMount(volume_id=environment.volume.id, path=environment.volume.path)]
        )
    elif environment.volume.kind == "disk":
        assert environment.volume.size_gb is not None
        mounts = model.Mounts(
            persistent=model.PersistentMount(size=environment.volume.size_gb, path=environment.volume.path)
        )
    gpu, cpu = None, None
    if candidate.kind == "gpu":
        gpu = model.CreateGpuConfig(id=candidate.id, count=candidate.count, min_cuda_version=spec.min_cuda)
    else:
        cpu = model.CreateCpuConfig(id=candidate.id, vcpu_count=candidate.count)
    return model.CreatePodRequest(
        name=environment.pod_name,
        image=spec.image,
        disk=spec.container_disk_gb,
        gpu=gpu,
        cpu=cpu,
        cloud=model.Cloud(candidate.tier),
        mounts=mounts,
        ports=list(spec.ports),
        env={**spec.env, "PUBLIC_KEY": public_key},
        start_ssh=True,
        data_center_ids=list(candidate.data_centers) or None,
        cmd=list(spec.start_command) if spec.start_command else None,
    )


def find_pod(environment: Environment, client: RunPod) -> Pod | None:
    """The live pod that carries the environment's unique name, if the cloud has one."""
    return next((pod for pod in client.list_pods() if pod.name == environment.pod_name and is_live(pod)), None)


def is_live(pod: Pod) -> bool:
    """Whether the pod exists in the sense of money: anything but TERMINATED."""
    return str(pod.status.value) != "TERMINATED"


def settle(environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """Finish what an interrupted command began: adopt the pod that its intent announced, if there is one.

    An intent without a pod is kept while the lost request may still be under way, and cleared afterwards.
    """
    intent = environments.read_intent(environment.name)
    if intent is None:
        return environment
    if environment.pod_id is None:
        pod = find_pod(environment, client)
        if pod is None:
            if _age_seconds(intent) > SETTLING_SECONDS:
                environments.clear_intent(environment.name)
            return environment
        environment = remember(environment, pod, gpu=environment.gpu)
        progress(Event("recover", f"Found the pod that an interrupted command made: {pod.id}, now recorded."))
    environments.clear_intent(environment.name)
    return environment


def wait_until_running(
    environment: Environment,
    client: RunPod,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Environment:
    """Wait until the pod is RUNNING and has a public SSH address, and record both.

    Raises:
        UnreachableError: the pod failed, vanished, or took longer than any image takes to pull.
    """
    assert environment.pod_id is not None
    deadline = clock() + BOOT_SECONDS
    while True:
        pod = client.get_pod(environment.pod_id)
        status = str(pod.status.value)
        progress(Event("boot", f"Pod {pod.id} is {status}"))
        if status in ("ERROR", "TERMINATED", "EXITED"):
            raise UnreachableError(
                f"Pod {pod.id} went to {status} instead of running.",
                hint=f"devpod-rp logs {environment.name} shows its log.",
            )
        if status == "RUNNING" and pod.ssh.direct is not None:
            return remember(environment, pod, gpu=environment.gpu)
        if clock() > deadline:
            raise UnreachableError(
                f"Pod {pod.id} is still {status} after {BOOT_SECONDS / 60:.0f} minutes.",
                hint="a host that cannot pull the image stays like this; delete it and run up again.",
            )
        sleep(0.2 if environment.cloud == "local" else 2.0)


def remember(environment: Environment, pod: Pod, *, gpu: str | None) -> Environment:
    """Save what the cloud says of the pod."""
    updated = with_pod(environment, pod, gpu=gpu)
    environments.save(updated)
    return updated


def with_pod(environment: Environment, pod: Pod, *, gpu: str | None) -> Environment:
    """The record with what the cloud says of *pod*; an old SSH address is kept while there is no new one."""
    direct = pod.ssh.direct
    address = SshEndpoint(direct.host, direct.port, direct.username) if direct else environment.ssh
    return dataclasses.replace(environment, pod_id=pod.id, ssh=address, gpu=gpu, cost_per_hour=pod.cost)


def _announce(environment: Environment, action: str, details: dict[str, str]) -> None:
    environments.write_intent(
        environment.name,
        Intent(
            action=action,
            environment_id=environment.id,
            pod_name=environment.pod_name,
            details=details,
            written_at=datetime.now(timezone.utc).isoformat(),
        ),
    )


def _age_seconds(intent: Intent) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(intent.written_at)).total_seconds()
