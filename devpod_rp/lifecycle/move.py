"""Moving an environment to another host: a new pod, the volume disk's files copied and compared, then the old pod ends.

RunPod binds a stopped pod to its host, GPU free or not. The new pod is brought up first, as an environment of its own
(``NAME-moving``), so that every way of being interrupted leaves two whole pods that a record names, and only a finished
comparison ends the old one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from typing import TYPE_CHECKING

from devpod_rp import control, environments
from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError, UnreachableError, UsageError
from devpod_rp.lifecycle.account import clouds, provision
from devpod_rp.lifecycle.furnishing import disks
from devpod_rp.lifecycle.making import boot
from devpod_rp.lifecycle.making.request import caches
from devpod_rp.lifecycle.market.plan import make_plan
from devpod_rp.lifecycle.reach import address, connect, hosts, syncing
from devpod_rp.lifecycle.up import up
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from devpod_rp.runpod.client import RunPod
    from devpod_rp.spec.model import EnvironmentSpec
    from devpod_rp.ssh.connection import Connection

_LONGEST_STEM = 31
_CHUNK = 1 << 20
# Our own scratch on the volume belongs to the folder's identity there; what users keep (trash, rescues) goes along.
_LEFT_BEHIND = ("./.devpod_rp/stage", "./.devpod_rp/roots")


def move(name: str, spec: EnvironmentSpec, folder: Path, progress: Progress, *, wait_seconds: float = 0.0) -> None:
    """Give the stopped environment *name* a new pod that fulfils *spec*, with the files of its volume disk.

    Its name, Host and folder stay. When this raises, the old pod is stopped and whole, and the new one is gone.

    Raises:
        UsageError: it is not a stopped pod with a volume disk, or an earlier move was not finished.
        NoCapacityError: there is no machine for the new pod.
        UnreachableError: a pod cannot be reached, or the copy differs from the original.
    """
    from devpod_rp.spec.parts import DotfilesSpec, HooksSpec, PersistSpec

    old, moving = _movable(name), f"{name[:_LONGEST_STEM]}-moving"
    if environments.find(moving) is not None:
        raise UsageError(
            f"An earlier move of {name} was not finished: {moving} exists.",
            hint=f"devpod-rp delete {moving} ends it; the files of {name} are untouched.",
        )
    size = max(spec.volume.size_gb, old.volume.size_gb or 0)
    # Nothing may touch the new volume before the old one's files are there; the next up sees to all of this.
    bare = spec.model_copy(
        update={
            "sync": spec.sync.model_copy(update={"enabled": False}),
            "volume": spec.volume.model_copy(update={"kind": "disk", "size_gb": size}),
            "persist": PersistSpec(defaults=False),
            "keep_disk": False,
            "hooks": HooksSpec(),
            "dotfiles": DotfilesSpec(),
            "git_credentials": (),
            "env": {**caches(old, spec), **spec.env},
            "git_identity": False,
        }
    )
    cloud = clouds.of_environment(old)
    with clouds.client(cloud) as client:
        plan = make_plan(folder, bare, moving, None, cloud, client, progress)
        try:
            up(plan, progress, wait_seconds=wait_seconds)
        except BaseException:
            _forget_unless_it_has_a_pod(moving)
            raise
        with environments.locked(name, progress=progress), environments.locked(moving, progress=progress):
            try:
                _carry_over(old, environments.load(moving), spec, client, progress)
            except BaseException:
                _give_up(old, moving, client, progress)
                raise
            _exchange(old, spec, moving, client, progress)
    hosts.write_ssh_config()


def _movable(name: str) -> Environment:
    environment = environments.load(name)
    if environment.volume.kind == "network":
        raise UsageError(
            f"{name} keeps its files on a network volume, which any pod of its data center can attach.",
            hint=f"devpod-rp up {name} brings it up on whatever is free there.",
        )
    if environment.volume.kind != "disk" or environment.pod_id is None:
        raise UsageError(f"{name} has no volume disk to move.", hint=f"devpod-rp up {name} makes a new pod.")
    with clouds.client_of(environment) as client:
        environment = address.observe(environment, client)
    if environment.status != "EXITED":
        raise UsageError(
            f"{name} is {environment.status}; only a stopped pod can be moved.", hint=f"devpod-rp stop {name} first."
        )
    return environment


def _carry_over(old: Environment, new: Environment, spec: EnvironmentSpec, client: RunPod, progress: Progress) -> None:
    """Copy the volume's files from the old pod, started for it without a GPU, and compare both sides."""
    assert old.pod_id is not None
    progress(Event("move", f"Starting pod {old.pod_id} without a GPU, to read its volume"))
    client.spot.resume_on_demand(old.pod_id, 0)
    starting = environments.save(dataclasses.replace(old, status="STARTING", host_key=None))
    source = boot.reach(boot.wait_until_running(starting, client, progress), spec, client, progress)
    with connect.open_connection(source) as here, connect.open_connection(new) as there:
        path = shlex.quote(old.volume.path)
        _copy(here, there, path, progress)
        progress(Event("compare", "Comparing both volumes"))
        if _digest(here, path) != _digest(there, path):
            raise UnreachableError("The copy differs from the original.", hint="try again; nothing was changed.")


def _copy(here: Connection, there: Connection, path: str, progress: Progress) -> None:
    left_out = " ".join(f"--exclude={each}" for each in _LEFT_BEHIND)
    done = 0
    with (
        here.channel(f"tar -C {path} --numeric-owner -S {left_out} -cf - .") as source,
        there.channel(f"tar -C {path} --numeric-owner -xpf -") as target,
    ):
        while data := source.stdout.read(_CHUNK):
            target.stdin.write(data)
            done += len(data)
            progress(Event("copy", "Copying the volume", done=done, unit="bytes"))
        target.stdin.close()
        for side, channel in (("old", source), ("new", target)):
            code = channel.wait()
            if code:
                said = channel.stderr.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise UnreachableError(f"The copy failed on the {side} pod: {said or f'tar ended with {code}'}.")


def _digest(connection: Connection, path: str) -> bytes:
    """One digest over names, modes, link targets and contents of everything below *path* but our own scratch."""
    listed = "find . -path ./.devpod_rp -prune -o"
    done = connection.run(
        f"cd {path} && export LC_ALL=C && {{ {listed} -printf '%y %m %p %l\\0' | sort -z;"
        f" {listed} -type f -print0 | sort -z | xargs -0 -r sha256sum; }} | sha256sum"
    )
    if done.exit_code:
        raise UnreachableError(f"The volume cannot be read: {done.stderr.decode('utf-8', 'replace').strip()}.")
    return done.stdout


def _exchange(old: Environment, spec: EnvironmentSpec, moving: str, client: RunPod, progress: Progress) -> None:
    """Let the records change pods, then end the old pod, of which every byte is on the new one."""
    assert old.pod_id is not None
    new = environments.load(moving)
    assert new.pod_id is not None
    control.stop_keeper(old.name)
    syncing.forget_ancestor(old)
    taken = dataclasses.replace(
        old,
        pod_id=new.pod_id,
        used_pod=new.pod_id,
        status="RUNNING",
        ssh=new.ssh,
        host_key=None,
        gpu=new.gpu,
        cost_per_hour=new.cost_per_hour,
        bid_per_gpu=new.bid_per_gpu,
        volume=new.volume,
        spec=spec.model_dump(mode="json"),
    )
    environments.save(taken)
    environments.save(dataclasses.replace(new, pod_id=old.pod_id, used_pod=old.pod_id, status="RUNNING"))
    environments.save(boot.reach(taken, spec, client, progress))
    progress(Event("move", f"Terminating the old pod {old.pod_id}"))
    client.delete_pod(old.pod_id)
    _forget(moving)
    _rename(taken, client, progress)
    with contextlib.closing(connect.open_link(environments.load(old.name))) as link:
        disks.come_back(taken, spec.model_dump(mode="json"), link, progress, fresh=True)


def _rename(environment: Environment, client: RunPod, progress: Progress) -> None:
    from devpod_rp.runpod.model import UpdatePodRequest

    assert environment.pod_id is not None
    try:
        client.update_pod(environment.pod_id, UpdatePodRequest(name=environment.pod_name))
    except DevpodError as error:
        progress(Event("move", f"The new pod keeps its working name in the console: {error.message}", warning=True))


def _give_up(old: Environment, moving: str, client: RunPod, progress: Progress) -> None:
    """Terminate the new pod, which nobody has used, and stop the old one again."""
    new = environments.find(moving)
    try:
        if new is not None and new.pod_id is not None:
            client.delete_pod(new.pod_id)
            progress(Event("undo", f"Terminated the new pod {new.pod_id}; it bills no longer.", warning=True))
        _forget(moving)
        assert old.pod_id is not None
        if client.get_pod(old.pod_id).status.value != "EXITED":
            client.stop_pod(old.pod_id)
        environments.save(provision.with_pod(old, client.get_pod(old.pod_id), gpu=old.gpu))
    except DevpodError as error:
        progress(
            Event(
                "undo",
                f"Not everything could be undone: {error.message} devpod-rp list shows what still bills.",
                warning=True,
            )
        )


def _forget_unless_it_has_a_pod(moving: str) -> None:
    left = environments.find(moving)
    if left is not None and left.pod_id is None and environments.read_intent(moving) is None:
        with environments.locked(moving):
            _forget(moving)


def _forget(moving: str) -> None:
    environments.remove(moving)
    hosts.forget(moving)
