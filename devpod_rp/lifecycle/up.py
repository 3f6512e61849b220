"""``up``: from a folder to a machine that feels like the laptop. Running it twice is harmless."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import control, environments
from devpod_rp.environments import Environment, VolumeRecord, pauses
from devpod_rp.errors import DevpodError, NoCapacityError, UsageError
from devpod_rp.lifecycle import limits
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.furnishing import disks, git_identity, hooks, hostkeys, persist, replay, sessions
from devpod_rp.lifecycle.furnishing.furnish import furnish
from devpod_rp.lifecycle.making import boot
from devpod_rp.lifecycle.making.acquire import Search
from devpod_rp.lifecycle.market import placement, volumes
from devpod_rp.lifecycle.market.placement import Ranking
from devpod_rp.lifecycle.market.plan import Plan, make_plan, rank
from devpod_rp.lifecycle.reach import connect, hosts, syncing
from devpod_rp.lifecycle.refused import StartRefused, choices
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.guard.replay import Replayed
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.spec.model import EnvironmentSpec

_KEEPER_SECONDS = 120.0
_START_PAUSE_SECONDS = 10.0


@dataclass(frozen=True)
class Ready:
    """What ``up`` leaves behind: a running pod, a record of it, and what the first synchronisation did."""

    environment: Environment
    sync: dict[str, Any]
    created: bool
    watch: limits.Watch
    replayed: Replayed


def up(
    plan: Plan,
    progress: Progress,
    *,
    wait_seconds: float = 0.0,
    without_gpu: bool = False,
    wanted_back: bool | None = None,
    decide_replay: replay.Decide = replay.nobody,
) -> Ready:
    """Carry out *plan*: provision, connect, write the SSH configuration, synchronise, hand over to the keeper.

    With *wait_seconds* it keeps asking for so long while nothing is free. A pod or network volume that this call
    created and could not hand over is deleted again: nobody has had a chance to put anything on it, and it would bill.
    What existed before is never ended here. *without_gpu* starts a stopped GPU pod without one, to get at its files.
    *wanted_back* and *decide_replay* say whether what the last container had installed comes back (`lifecycle.replay`).

    Raises:
        StartRefused: the pod's host has no free GPU; the error holds the ways on.
        DevpodError: whatever stood in the way; the environment's record is valid at every moment.
    """
    # A record that cannot be read would fail the SSH configuration after the pod is paid for.
    environments.all_environments()
    with environments.locked(plan.name, progress=progress), clouds.client(plan.cloud) as client:
        plan = _still_true(plan, client, progress)
        environment = plan.environment or _new_record(plan)
        created = plan.action == "create"
        if without_gpu:
            plan = _without_gpu(plan)
        try:
            environment = _bring_up(plan, environment, client, progress, wait_seconds)
        except BaseException:
            if created:
                _undo(plan, client, progress)
            raise
    environment = _with_wishes(environment, plan)
    sync = _synchronise(environment, progress)
    if plan.spec.git_identity:
        git_identity.share(environment, progress)
    hooks.run(environment, plan.spec.hooks, progress)
    watch = _watched(environment, progress)
    # After the hooks: they are written for a fresh container, and what they installed is not missing any more.
    replayed = replay.bring_back(environment, plan.spec.persist, decide_replay, progress, wanted=wanted_back)
    return Ready(environment, sync, created, watch, replayed)


def _with_wishes(environment: Environment, plan: Plan) -> Environment:
    """The record with what is asked now of those who look after a pod that runs already.

    A keeper that synchronises, or lends credentials, by older wishes is ended.
    """
    asked = plan.spec.model_dump(mode="json")
    keys = (
        "sync",
        "spot",
        "forward_ports",
        "extensions",
        "settings",
        "persist",
        "keep_disk",
        "hooks",
        "dotfiles",
        "git_credentials",
        "workspace_alias",
        "session_env",
        "notify_after",
        "code_server",
    )
    wishes = {key: asked[key] for key in keys}
    restart = ("sync", "git_credentials")
    if any(environment.spec.get(key) != wishes[key] for key in restart):
        control.stop_keeper(environment.name)
    return environments.save(dataclasses.replace(environment, spec={**environment.spec, **wishes}))


def _still_true(plan: Plan, client: RunPod, progress: Progress) -> Plan:
    """The plan, made again if another command changed the environment before we held its lock."""
    current = environments.find(plan.name)
    if current == plan.environment:
        return plan
    return make_plan(
        plan.folder, plan.spec, plan.name, current, plan.cloud, client, progress, grow=plan.grow, flags=plan.flags
    )


def _bring_up(
    plan: Plan, environment: Environment, client: RunPod, progress: Progress, wait_seconds: float
) -> Environment:
    from devpod_rp.ssh.keys import ensure_identity

    identity = ensure_identity()
    if plan.action == "create":
        environment = _prepared(plan, environment, client, progress)

        def finish(made: Environment) -> Environment:
            running = boot.wait_until_running(made, client, progress)
            return boot.hand_over(running, plan.spec, client, progress)

        search = Search(plan.spec, _offers(plan, client), identity.public, client, finish, progress)
        environment = search.run(environment, wait_seconds=wait_seconds)
    else:
        if plan.action == "start":
            environment = _status(environment, "STARTING", host_key=None)
            try:
                _start(environment, plan.spec, client, progress, wait_seconds)
            except NoCapacityError as error:
                ways = choices(environment, plan.spec, plan.price_per_hour, client)
                raise StartRefused(environment, error.message.rstrip("."), tuple(ways)) from error
        handed_over = environment.host_key is not None
        environment = boot.wait_until_running(environment, client, progress)
        arrive = boot.reach if handed_over else boot.hand_over
        environment = arrive(environment, plan.spec, client, progress)
        if handed_over:
            with contextlib.closing(connect.open_link(environment)) as link:
                persist.carry_out(environment, plan.spec, link, progress, fresh=False)
                disks.come_back(environment, plan.spec.model_dump(mode="json"), link, progress, fresh=False)
                hostkeys.keep(environment, link, progress)
                sessions.prepare(link, plan.spec.session_env, progress)
                if control.keeper_running(environment.name):  # else a new link is made below, and asked
                    sessions.warn_of_noise(link, progress)
            furnish(environment, plan.spec, progress)
    environment = limits.with_limits(environment, plan.spec.model_dump(mode="json"))
    # Like the limits, these count from the next up on, whatever the pod was made with.
    ssh = {"auto_start": plan.spec.auto_start, "forward_agent": plan.spec.forward_agent}
    environment = dataclasses.replace(environment, spec={**environment.spec, **ssh})
    environment = _status(environment, "RUNNING", used_pod=environment.pod_id)
    hosts.write_ssh_config()
    return environment


def _offers(plan: Plan, client: RunPod) -> Callable[[], Ranking]:
    """What to ask for: first what the plan showed, in its order; what the market offers then in later rounds."""
    shown = [Ranking(plan.candidates, plan.ruled_out)]

    def ranked() -> Ranking:
        if shown:
            return shown.pop()
        fresh = rank(plan.spec, client)
        return placement.in_center(fresh, plan.network.data_center) if plan.network else fresh

    return ranked


def _without_gpu(plan: Plan) -> Plan:
    if plan.action != "start" or plan.spec.cpu:
        raise UsageError(
            f"{plan.name} is not a stopped GPU pod, so it cannot start without a GPU.",
            hint="--without-gpu is for a pod whose host has no free GPU; --cpu asks for a CPU pod.",
        )
    return dataclasses.replace(plan, spec=plan.spec.model_copy(update={"gpu_count": 0}))


def _start(
    environment: Environment,
    spec: EnvironmentSpec,
    client: RunPod,
    progress: Progress,
    wait_seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Start the stopped pod on its host, asking again for *wait_seconds* while that has no free GPU."""
    from devpod_rp.runpod.errors import NoCapacity

    assert environment.pod_id is not None
    deadline = clock() + wait_seconds
    while True:
        progress(Event("boot", f"Starting pod {environment.pod_id}"))
        try:
            _order_start(environment, spec, client)
            return
        except NoCapacity as error:
            left = deadline - clock()
            if left <= 0:
                _status(environment, "EXITED")
                raise
            pause = min(_START_PAUSE_SECONDS, left)
            progress(Event("boot", f"{error.detail}; asking again in {pause:.0f} s, for {left / 60:.0f} minutes"))
            sleep(pause)


def _order_start(environment: Environment, spec: EnvironmentSpec, client: RunPod) -> None:
    """Start the stopped pod on the terms it was rented on, or without a GPU if none is asked for."""
    assert environment.pod_id is not None
    if spec.gpu_count == 0:
        client.spot.resume_on_demand(environment.pod_id, 0)
    elif environment.bid_per_gpu is None:
        client.start_pod(environment.pod_id)
    else:
        client.spot.resume(environment.pod_id, environment.bid_per_gpu, int(environment.spec["gpu_count"]))


def _synchronise(environment: Environment, progress: Progress) -> dict[str, Any]:
    if not environment.spec["sync"]["enabled"]:
        asked = environment.spec["forward_ports"] or environment.spec["git_credentials"]
        if asked or environments.read_forwards(environment.name):
            control.start_keeper(environment.name)
        return {"state": "disabled", "mode": environment.spec["sync"]["mode"]}
    if pauses.is_paused(environment.name):
        resume = f"devpod-rp sync resume {environment.name}"
        progress(Event("sync", f"The synchronisation is paused; {resume} goes on with it.", warning=True))
        control.start_keeper(environment.name)
        return control.keeper_request(environment.name, "status")
    if control.keeper_running(environment.name):
        progress(Event("sync", "Flushing the running synchronisation"))
        return control.keeper_request(environment.name, "flush", timeout=600.0)
    session = syncing.open_session(environment, progress)
    try:
        link = connect.open_link(environment)
        try:
            sessions.warn_of_noise(link, progress)
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


def _watched(environment: Environment, progress: Progress) -> limits.Watch:
    """Who sees to it that the pod's limits hold; a pod that cannot stop itself is worth a warning, not a failure."""
    wanted = limits.limits_of(environment)
    if not wanted.any:
        return limits.Watch(wanted, in_pod=False)
    progress(Event("limits", "Starting the watchdog in the pod"))
    try:
        watch = limits.deliver_again(environment.name)
    except DevpodError as error:
        watch = limits.Watch(wanted, in_pod=False, refusal=error.message)
    if not watch.in_pod:
        progress(
            Event(
                "limits",
                f"The pod cannot stop itself ({watch.refusal}): only the keeper on this machine enforces its limits.",
                warning=True,
            )
        )
    return watch


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
        flags=plan.flags,
    )


def _prepared(plan: Plan, environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """The record, ready for a new pod: what is asked for now, with its network volume, and no trace of an old pod."""
    spec = plan.spec
    # What the record knows of a network volume stays there until the plan's is confirmed.
    known = plan.network.existing if plan.network else None
    volume = VolumeRecord(kind=spec.volume.kind, id=known, size_gb=plan.volume_gb, path=spec.volume.path)
    environment = _status(
        environment,
        "PROVISIONING",
        host_key=None,
        volume=volume,
        spec=spec.model_dump(mode="json"),
        folder=str(plan.folder),
        flags=plan.flags,
    )
    if plan.network is not None:
        environment = volumes.ensure(plan.network, environment, client, progress)
    # A keeper still waits for a pod that ended by itself, and holds the journal.
    control.stop_keeper(environment.name)
    if volume.kind != "network":
        syncing.forget_ancestor(environment)
    return environment


def _status(environment: Environment, status: str, **changes: Any) -> Environment:
    updated = dataclasses.replace(environment, status=status, **changes)
    environments.save(updated)
    return updated


def _undo(plan: Plan, client: RunPod, progress: Progress) -> None:
    """Delete what was created a moment ago and never handed over, so that nothing is left billing."""
    environment = provision.settle(environments.load(plan.name), client, progress)
    new_volume = environment.volume.id if plan.network and plan.network.existing is None else None
    try:
        if environment.pod_id is not None:
            client.delete_pod(environment.pod_id)
            made = f"the half-made pod {environment.pod_id}"
            environment = provision.forget_pod(environment)
            progress(Event("undo", f"Terminated {made}; it bills no longer.", warning=True))
        if new_volume is not None:
            client.delete_network_volume(new_volume)
            environment = dataclasses.replace(environment, volume=dataclasses.replace(environment.volume, id=None))
            progress(Event("undo", f"Deleted the new network volume {new_volume}; it bills no longer.", warning=True))
        _status(environment, plan.environment.status if plan.environment else "NEW")
    except DevpodError as error:
        left = environment.pod_id or f"the network volume {new_volume}"
        progress(
            Event(
                "undo",
                f"{left} could not be deleted and still bills: {error.message} "
                f"devpod-rp delete {plan.name} tries again.",
                warning=True,
            )
        )
