"""A spot pod that was outbid: telling it from a pod that somebody stopped, and bringing it back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devpod_rp import environments
from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle.account import clouds
from devpod_rp.lifecycle.furnishing import hooks, replay
from devpod_rp.lifecycle.making import boot
from devpod_rp.lifecycle.reach import hosts
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod


class Outbid(UnreachableError):
    """The market ended the pod, and nothing is free on its terms yet."""

    kind = "outbid"


def revive(environment: Environment, progress: Progress = silent) -> Environment:
    """Bring a spot pod back that the market ended, at its bid, or on demand if the spec says so; the saved record.

    A pod that its user stopped stays stopped, and so does one on demand. The caller holds the environment's lock.

    Raises:
        Outbid: nothing is free on those terms; asking again later is worth it.
        UnreachableError: it was started and does not come up.
    """
    if environment.bid_per_gpu is None or environment.pod_id is None or environment.status != "EXITED":
        return environment
    with clouds.client_of(environment) as client:
        if not client.spot.preempted(environment.pod_id):
            return environment
        return _up_again(_started(environment, client), client, progress)


def _started(environment: Environment, client: RunPod) -> Environment:
    from devpod_rp.runpod.errors import NoCapacity

    assert environment.pod_id is not None
    assert environment.bid_per_gpu is not None
    count = int(environment.spec["gpu_count"])
    try:
        client.spot.resume(environment.pod_id, environment.bid_per_gpu, count)
        return environment
    except NoCapacity as error:
        if environment.spec["spot"]["on_preempt"] == "wait":
            raise Outbid(
                f"the pod was outbid; waiting for a GPU at ${environment.bid_per_gpu:.3f} per hour ({error.detail})",
                hint=f"devpod-rp up {environment.name} asks at once; devpod-rp stop {environment.name} gives up.",
            ) from error
    price, limit = _price_on_demand(environment, client), environment.spec["max_price"]
    if limit is not None and (price is None or price > limit):
        shown = "unknown" if price is None else f"${price:.2f}/h"
        raise Outbid(f"the pod was outbid, and on demand it is {shown}, above max_price ${limit:.2f}/h")
    try:
        client.spot.resume_on_demand(environment.pod_id, count)
    except NoCapacity as error:
        raise Outbid(f"the pod was outbid, and its host has no GPU on demand either ({error.detail})") from error
    return environments.save(dataclasses.replace(environment, bid_per_gpu=None))


def _price_on_demand(environment: Environment, client: RunPod) -> float | None:
    """USD per hour for the whole pod on demand, by the catalog of today; None if its GPU is no longer listed."""
    assert environment.pod_id is not None
    pod = client.get_pod(environment.pod_id)
    gpu = next((each for each in client.gpu_types() if pod.gpu and each.id == pod.gpu.id), None)
    if gpu is None:
        return None
    return (gpu.price.community if pod.cloud == "COMMUNITY" else gpu.price.secure) * int(environment.spec["gpu_count"])


def _up_again(environment: Environment, client: RunPod, progress: Progress) -> Environment:
    from devpod_rp.spec.model import EnvironmentSpec

    spec = EnvironmentSpec.model_validate(environment.spec)
    starting = environments.save(dataclasses.replace(environment, status="STARTING", host_key=None))
    running = boot.wait_until_running(starting, client, progress)
    known = boot.hand_over(running, spec, client, progress)
    saved = environments.save(dataclasses.replace(known, status="RUNNING"))
    hosts.write_ssh_config()
    if spec.persist.replay is True:
        replay.bring_back(saved, spec.persist, replay.nobody, progress)
    # The new container has nothing of what they installed.
    try:
        hooks.run(saved, spec.hooks, progress, waiting=False)
    except UnreachableError as error:
        progress(Event("hooks", f"The hooks were not run again: {error.message}", warning=True))
    return saved
