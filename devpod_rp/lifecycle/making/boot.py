"""From a pod that the cloud just made to one that can be handed to its user, or the reason why its host is no good."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle.account import provision
from devpod_rp.lifecycle.furnishing import disks, hostkeys, persist, sessions
from devpod_rp.lifecycle.furnishing.furnish import furnish
from devpod_rp.lifecycle.reach import address, connect
from devpod_rp.lifecycle.risk import look
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.spec.model import EnvironmentSpec

# 20 GB images take 10 to 15 minutes to pull on a host that has never seen them.
BOOT_SECONDS = 20 * 60.0


class UnfitHost(UnreachableError):
    """The host the pod landed on does not bring it up, or is not the machine that was asked for."""

    kind = "unfit-host"


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
        UnfitHost: the pod failed, vanished, lacks its GPUs, or took longer than any image takes to pull.
    """
    from devpod_rp.runpod.errors import NotFound

    assert environment.pod_id is not None
    deadline = clock() + BOOT_SECONDS
    while True:
        try:
            pod = client.get_pod(environment.pod_id)
        except NotFound as error:
            raise UnfitHost(f"Pod {environment.pod_id} vanished while it started.") from error
        status = str(pod.status.value)
        progress(Event("boot", f"Pod {pod.id} is {status}"))
        if status in ("ERROR", "TERMINATED", "EXITED"):
            raise UnfitHost(
                f"Pod {pod.id} went to {status} instead of running.",
                hint=f"devpod-rp logs {environment.name} shows its log.",
            )
        if status == "RUNNING" and pod.ssh.direct is not None:
            return provision.remember(environment, pod, gpu=environment.gpu)
        if clock() > deadline:
            raise UnfitHost(
                f"Pod {pod.id} is still {status} after {BOOT_SECONDS / 60:.0f} minutes.",
                hint="a host that cannot pull the image stays like this; delete it and run up again.",
            )
        sleep(0.2 if environment.cloud == "local" else 2.0)


def hand_over(environment: Environment, spec: EnvironmentSpec, client: RunPod, progress: Progress) -> Environment:
    """The record (not saved) of a pod that just booted: reached, its machine the one asked for.

    Notes what the image's own start produced, before the user can reach the pod: none of it is the user's.

    Raises:
        UnfitHost: no SSH server answers in time, or the machine has other GPUs or an older CUDA.
        UnreachableError: what answers is not the pod.
    """
    from devpod_rp.guard.report import record_baseline

    known = reach(environment, spec, client, progress)
    progress(Event("connect", "Starting the agent"))
    link = connect.open_link(known)
    try:
        check_gpus(known, spec, client, link)
        # Before the baseline: what these leave is the start's doing, and made again at the next one.
        persist.carry_out(known, spec, link, progress, fresh=True)
        hostkeys.keep(known, link, progress)
        began = time.monotonic()
        sessions.prepare(link, spec.session_env, progress)
        furnish(known, spec, progress)
        # The start script was waited for already, and one that never ends is not waited for twice.
        left = max(0.0, sessions.BOOT_SECONDS - (time.monotonic() - began))
        record_baseline(link, volume_path=look.volume_path(known), boot_seconds=left)
        # After the baseline: what comes back is the user's, not the start's.
        disks.come_back(known, spec.model_dump(mode="json"), link, progress, fresh=True)
        if known.bid_per_gpu is not None:
            _arm(known, link)
    finally:
        link.close()
    return dataclasses.replace(known, run=provision.new_run())


def _arm(environment: Environment, link: AgentLink) -> None:
    """Leave the rescue on a spot pod that its first process runs when the market ends it."""
    from devpod_rp.guard import rules
    from devpod_rp.pod import bootstrap

    table = rules.of_spec(environment.spec)
    orders = {
        "volume": look.volume_path(environment),
        "no_loss": rules.no_loss(table),
        "noting": rules.noting(environment.name, table),
    }
    link.call("emergency.arm", bootstrap.emergency_program(), orders=orders)


def reach(environment: Environment, spec: EnvironmentSpec, client: RunPod, progress: Progress) -> Environment:
    """The record (not saved) of a running pod with the address where its SSH server answers, and its host key pinned.

    Raises:
        UnfitHost: no SSH server answers in time, or the pod ends.
        UnreachableError: what answers is not the pod.
    """
    from devpod_rp.pod.readiness import wait_for_ssh
    from devpod_rp.ssh.address import Address
    from devpod_rp.ssh.errors import Unreachable

    known = environment

    def current() -> Address | None:
        # Asked anew each time: the address shown right after a start may be that of the run before.
        nonlocal known
        known = address.observe(known, client)
        if known.status in ("EXITED", "ERROR", "TERMINATED"):
            raise UnfitHost(f"Pod {known.pod_id} went to {known.status} while it started.")
        return Address(known.ssh.host, known.ssh.port, known.ssh.user) if known.ssh else None

    try:
        wait_for_ssh(current, timeout=spec.ssh_timeout_s, progress=progress)
    except Unreachable as error:
        raise UnfitHost(error.message, hint=error.hint) from error
    return address.pin_host_key(known, client, progress)


def check_gpus(environment: Environment, spec: EnvironmentSpec, client: RunPod, link: AgentLink) -> None:
    """See that the machine is what was paid for: RunPod is known to start pods without their GPUs.

    Raises:
        UnfitHost: fewer GPUs than asked for, by the API or by the driver, or a driver too old for the image's CUDA.
    """
    if environment.gpu is None or spec.cpu:
        return
    assert environment.pod_id is not None
    pod = client.get_pod(environment.pod_id)
    granted = pod.gpu.count if pod.gpu else 0
    if granted < spec.gpu_count:
        raise UnfitHost(f"Pod {pod.id} started with {granted} GPUs instead of {spec.gpu_count}.")
    seen = link.call("machine.gpus").header
    if seen["gpus"] is not None and len(seen["gpus"]) < spec.gpu_count:
        raise UnfitHost(f"The driver of pod {pod.id} shows {len(seen['gpus'])} GPUs instead of {spec.gpu_count}.")
    floor = spec.cuda_floor
    if floor and seen["cuda"] and _numeric(seen["cuda"]) < _numeric(floor):
        raise UnfitHost(f"The driver of pod {pod.id} supports CUDA {seen['cuda']}; the image needs {floor}.")


def _numeric(version: str) -> tuple[int, ...]:
    """12.11 is above 12.2."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
