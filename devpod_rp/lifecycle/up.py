"""``up``: from a folder to a machine that feels like the laptop. Running it twice is harmless."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import control, environments
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle import address, clouds, connect, hosts, look, provision, syncing
from devpod_rp.lifecycle.plan import Plan, make_plan, volume_name
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod

_SSH_SECONDS = 600.0
_KEEPER_SECONDS = 120.0


@dataclass(frozen=True)
class Ready:
    """What ``up`` leaves behind: a running pod, a record of it, and what the first synchronisation did."""

    environment: Environment
    sync: dict[str, Any]
    created: bool


def up(plan: Plan, progress: Progress) -> Ready:
    """Carry out *plan*: provision, connect, write the SSH configuration, synchronise, hand over to the keeper.

    A pod that this call created and could not hand over is terminated again: nobody has had a chance to put anything
    on it, and it would bill. A pod that existed before is never ended here.

    Raises:
        DevpodError: whatever stood in the way; the environment's record is valid at every moment.
    """
    with environments.locked(plan.name), clouds.client(plan.cloud) as client:
        plan = _still_true(plan, client, progress)
        environment = plan.environment or _new_record(plan)
        created = plan.action == "create"
        try:
            environment = _bring_up(plan, environment, client, progress)
        except BaseException:
            if created:
                _undo(environment.name, client, progress)
            raise
    sync = _synchronise(environment, progress)
    return Ready(environment, sync, created)


def _still_true(plan: Plan, client: RunPod, progress: Progress) -> Plan:
    """The plan, made again if another command changed the environment before we held its lock."""
    current = environments.find(plan.name)
    if current == plan.environment:
        return plan
    return make_plan(plan.folder, plan.spec, plan.name, current, plan.cloud, client, progress)


def _bring_up(plan: Plan, environment: Environment, client: RunPod, progress: Progress) -> Environment:
    from devpod_rp.ssh.keys import ensure_identity

    identity = ensure_identity()
    if plan.action == "create":
        environment = _with_volume(plan, environment, client, progress)
        # A keeper still waits for a pod that ended by itself, and holds the journal.
        control.stop_keeper(environment.name)
        if environment.volume.kind != "network":
            syncing.forget_ancestor(environment)
        environment = _status(environment, "PROVISIONING", host_key=None)
        environment = provision.create_pod(environment, plan.spec, plan.candidates, identity.public, client, progress)
    elif plan.action == "start":
        assert environment.pod_id is not None
        progress(Event("boot", f"Starting pod {environment.pod_id}"))
        pod_id = environment.pod_id
        environment = _status(environment, "STARTING", host_key=None)
        client.start_pod(pod_id)
    handed_over = environment.host_key is not None
    environment = provision.wait_until_running(environment, client, progress)
    environment = _verified(environment, client, progress)
    if not handed_over:
        _remember_baseline(environment, progress)
    environment = _status(environment, "RUNNING")
    hosts.write_ssh_config()
    return environment


def _verified(environment: Environment, client: RunPod, progress: Progress) -> Environment:
    from devpod_rp.pod.readiness import wait_for_ssh
    from devpod_rp.ssh.connection import Address

    def current() -> Address | None:
        ssh = environment.ssh
        return Address(ssh.host, ssh.port, ssh.user) if ssh else None

    wait_for_ssh(current, timeout=_SSH_SECONDS, progress=progress)
    return address.pin_host_key(environment, client, progress)


def _remember_baseline(environment: Environment, progress: Progress) -> None:
    """Note what the image's own start produced, before the user can reach the pod: none of it is the user's."""
    from devpod_rp.guard.report import record_baseline

    progress(Event("connect", "Starting the agent"))
    link = connect.open_link(environment)
    try:
        record_baseline(link, volume_path=look.volume_path(environment))
    finally:
        link.close()


def _synchronise(environment: Environment, progress: Progress) -> dict[str, Any]:
    if not environment.spec["sync"]["enabled"]:
        return {"state": "disabled", "mode": environment.spec["sync"]["mode"]}
    if control.keeper_running(environment.name):
        progress(Event("sync", "Flushing the running synchronisation"))
        return control.keeper_request(environment.name, "flush", timeout=600.0)
    session = syncing.open_session(environment, progress)
    try:
        link = connect.open_link(environment)
        try:
            session.attach(link)
            session.synchronise()
        finally:
            session.detach()
            link.close()
    finally:
        session.close()
    progress(Event("keeper", "Starting the keeper"))
    control.start_keeper(environment.name)
    # A flush answers when the keeper has connected and watches, so "up" leaves nothing half started.
    return control.keeper_request(environment.name, "flush", timeout=_KEEPER_SECONDS)


def _new_record(plan: Plan) -> Environment:
    volume = plan.spec.volume
    return environments.create(
        name=plan.name,
        cloud=plan.cloud.name,
        api_url=plan.cloud.url,
        folder=str(plan.folder),
        workspace=plan.workspace,
        spec=plan.spec.model_dump(mode="json"),
        volume=VolumeRecord(kind=volume.kind, id=None, size_gb=volume.size_gb, path=volume.path),
    )


def _with_volume(plan: Plan, environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """The record with its network volume found by name, or created; the name makes a repeated attempt harmless."""
    from devpod_rp.runpod.model import CreateNetworkVolumeRequest

    spec = plan.spec
    record = VolumeRecord(kind=spec.volume.kind, id=None, size_gb=spec.volume.size_gb, path=spec.volume.path)
    if spec.volume.kind == "network":
        wanted = volume_name(spec, plan.name)
        volume = next((each for each in client.network_volumes() if each.name == wanted), None)
        if volume is None:
            center = plan.candidates[0].data_centers[0]
            progress(Event("place", f"Creating the network volume {wanted} ({spec.volume.size_gb} GB) in {center}"))
            volume = client.create_network_volume(
                CreateNetworkVolumeRequest(name=wanted, size=spec.volume.size_gb, data_center=center)
            )
        record = dataclasses.replace(record, id=volume.id, size_gb=volume.size)
    updated = dataclasses.replace(
        environment, volume=record, spec={**plan.spec.model_dump(mode="json")}, folder=str(plan.folder)
    )
    environments.save(updated)
    return updated


def _status(environment: Environment, status: str, **changes: Any) -> Environment:
    updated = dataclasses.replace(environment, status=status, **changes)
    environments.save(updated)
    return updated


def _undo(name: str, client: RunPod, progress: Progress) -> None:
    """Terminate the pod that was created a moment ago and never handed over, so that nothing is left billing."""
    environment = provision.settle(environments.load(name), client, progress)
    if environment.pod_id is None:
        return
    try:
        client.delete_pod(environment.pod_id)
    except DevpodError as error:
        progress(
            Event(
                "undo",
                f"Pod {environment.pod_id} could not be terminated and still bills: {error.message} "
                f"devpod-rp delete {name} tries again.",
                warning=True,
            )
        )
        return
    environments.save(dataclasses.replace(environment, pod_id=None, status="TERMINATED", cost_per_hour=0.0))
    message = f"Terminated the half-made pod {environment.pod_id}; nothing is left billing."
    progress(Event("undo", message, warning=True))
