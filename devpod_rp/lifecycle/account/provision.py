"""The books of what is made in the cloud: what was about to happen, what did, and what an interruption left.

Before every call that creates something billable an intent is on disk. A crash, or a connection that broke before the
answer came, is settled by looking for the unique name.
"""

from __future__ import annotations

import dataclasses
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from devpod_rp import environments
from devpod_rp.environments import Environment, Intent, SshEndpoint
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod

# How long a POST whose answer was lost may still turn into a pod.
SETTLING_SECONDS = 60.0


def announce(environment: Environment, action: str, details: dict[str, str]) -> None:
    """Write down that something billable is about to be made for *environment*."""
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


def may_have_happened(error: Exception) -> bool:
    """Whether a request that ended in *error* may have made something after all; its intent must then stay."""
    from devpod_rp.runpod.errors import Ambiguous

    return isinstance(error, Ambiguous)


def find_pods(environment: Environment, client: RunPod) -> list[Pod]:
    """The live pods that carry the environment's unique name, oldest first: none, one, or doubles of a lost answer."""
    found = [pod for pod in client.list_pods() if pod.name == environment.pod_name and is_live(pod)]
    return sorted(found, key=lambda pod: (pod.created_at or "", pod.id))


def sole_pod(environment: Environment, client: RunPod, progress: Progress) -> Pod | None:
    """The environment's pod as the cloud has it; doubles are terminated, since nobody was ever handed one.

    The one that the record names is kept, else the oldest.
    """
    pods = find_pods(environment, client)
    if not pods:
        return None
    kept = next((pod for pod in pods if pod.id == environment.pod_id), pods[0])
    for double in pods:
        if double.id != kept.id:
            client.delete_pod(double.id)
            progress(Event("recover", f"Terminated {double.id}, a double of {kept.id}.", warning=True))
    return kept


def is_live(pod: Pod) -> bool:
    """Whether the pod exists in the sense of money: anything but TERMINATED."""
    return str(pod.status.value) != "TERMINATED"


def settle(environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """Finish what an interrupted command began: adopt the pod and the volume that its intent announced, if there are.

    An intent without a pod is kept while the lost request may still be under way, and cleared afterwards.
    """
    intent = environments.read_intent(environment.name)
    if intent is None:
        return environment
    if intent.action == "create-volume" and environment.volume.id is None:
        volume = next((each for each in client.network_volumes() if each.name == intent.details["volume"]), None)
        if volume is not None:
            progress(Event("recover", f"Found the volume that an interrupted command made: {volume.id}."))
            record = dataclasses.replace(environment.volume, id=volume.id, size_gb=volume.size)
            environment = environments.save(dataclasses.replace(environment, volume=record))
    if intent.action == "create":
        pod = sole_pod(environment, client, progress)
        if pod is None and _age_seconds(intent) <= SETTLING_SECONDS:
            return environment
        # The record may still name a pod that ended before this one was asked for.
        if pod is not None and environment.pod_id != pod.id:
            environment = remember(environment, pod, gpu=environment.gpu or intent.details.get("candidate"))
            progress(Event("recover", f"Found the pod that an interrupted command made: {pod.id}, now recorded."))
    environments.clear_intent(environment.name)
    return environment


def remember(environment: Environment, pod: Pod, *, gpu: str | None) -> Environment:
    """Save what the cloud says of the pod."""
    updated = with_pod(environment, pod, gpu=gpu)
    environments.save(updated)
    return updated


def with_pod(environment: Environment, pod: Pod, *, gpu: str | None) -> Environment:
    """The record with what the cloud says of *pod*; an old SSH address is kept while there is no new one.

    A pod gets another port at every start, whoever starts it.
    """
    direct = pod.ssh.direct
    address = SshEndpoint(direct.host, direct.port, direct.username) if direct else environment.ssh
    run = environment.run if address == environment.ssh else new_run()
    return dataclasses.replace(environment, pod_id=pod.id, ssh=address, gpu=gpu, cost_per_hour=pod.cost, run=run)


def new_run() -> str:
    """What tells a run of a pod from every other."""
    return secrets.token_hex(4)


def forget_pod(environment: Environment) -> Environment:
    """Save that the pod is terminated; nothing of it was handed over."""
    return environments.save(without_pod(environment))


def without_pod(environment: Environment) -> Environment:
    """The record (not saved) of an environment whose pod is terminated."""
    return dataclasses.replace(environment, pod_id=None, status="TERMINATED", cost_per_hour=0.0, host_key=None)


def data_center_of(environment: Environment, client: RunPod) -> str | None:
    """Where the pod is, as far as the cloud still knows."""
    from devpod_rp.runpod.errors import NotFound

    assert environment.pod_id is not None
    try:
        return client.get_pod(environment.pod_id).data_center_id
    except NotFound:
        return None


def _age_seconds(intent: Intent) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(intent.written_at)).total_seconds()
