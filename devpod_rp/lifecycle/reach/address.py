"""Where the pod is now, and whether it is really the pod that answers there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from devpod_rp import environments
from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.reach import hosts
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.ssh.known_hosts import HostKey

# The fingerprints are printed a moment before sshd starts, but the log service may lag behind the port.
_LOG_SECONDS = 30.0


def refresh(environment: Environment) -> Environment:
    """The record with the pod's present status and SSH address, its host key verified anew if the address changed.

    Called by the keeper whenever the connection is lost: the external port changes at every start. Never starts a pod.

    Raises:
        UnreachableError: the cloud does not answer, or what answers at the address is not the pod.
    """
    with clouds.client_of(environment) as client:
        known = observe(environment, client)
        if known.status != "RUNNING" or known.ssh == environment.ssh:
            if known.status != environment.status:
                hosts.refresh_hosts()
            return known
        verified = _save(pin_host_key(known, client, silent), known)
    hosts.refresh_hosts()
    return verified


def observe(environment: Environment, client: RunPod) -> Environment:
    """The record brought up to date with the cloud; a pod that is gone leaves the status TERMINATED."""
    from devpod_rp.runpod.errors import NotFound

    if environment.pod_id is None:
        return environment
    try:
        pod = client.get_pod(environment.pod_id)
    except NotFound:
        return _save(dataclasses.replace(environment, status="TERMINATED", cost_per_hour=0.0), environment)
    fresh = provision.with_pod(environment, pod, gpu=environment.gpu)
    return _save(dataclasses.replace(fresh, status=str(pod.status.value)), environment)


def pin_host_key(
    environment: Environment,
    client: RunPod,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Environment:
    """The record with the server's host key, trusted if it is pinned, or the pod's own log prints its fingerprint.

    RunPod's official start script prints the host keys at boot ("SSH host keys:"), so that log is the one channel a man
    in the middle of the SSH connection cannot write to. The known_hosts file is written here; the record is left to the
    caller to save, because a record with a host key means that the pod was handed over.

    Raises:
        UnreachableError: the log does not vouch for the key that the server shows.
    """
    from devpod_rp.ssh import known_hosts

    assert environment.ssh is not None
    progress(Event("connect", f"Verifying the host key of {environment.ssh.host}:{environment.ssh.port}"))
    offered = known_hosts.offered_host_key(environment.ssh.host, environment.ssh.port)
    deadline = clock() + _LOG_SECONDS
    while offered != known_hosts.pinned(environment.name) and not _vouched_for(offered, environment, client):
        if clock() > deadline:
            raise UnreachableError(
                f"{environment.ssh.host}:{environment.ssh.port} shows the host key {offered.fingerprint}, "
                "which the pod's log does not mention.",
                hint="either the image does not print its host keys, or somebody else answers at that address; "
                f"devpod-rp logs {environment.name} shows what the pod printed.",
            )
        sleep(0.5)
    known_hosts.pin(environment.name, offered)
    return dataclasses.replace(environment, host_key=f"{offered.kind} {offered.base64}")


def _vouched_for(offered: HostKey, environment: Environment, client: RunPod) -> bool:
    from devpod_rp.ssh import known_hosts

    assert environment.pod_id is not None
    printed = "\n".join(line.line for line in client.pod_logs(environment.pod_id, source="container"))
    return offered.fingerprint in known_hosts.fingerprints_in(printed)


def _save(updated: Environment, before: Environment) -> Environment:
    if updated != before:
        environments.save(updated)
    return updated
