"""``keep_disk``: a stop leaves the container disk as one archive on the volume, and the next start puts it back."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devpod_rp import environments, paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments import Environment
from devpod_rp.errors import UsageError, printable
from devpod_rp.lifecycle.reach import connect
from devpod_rp.lifecycle.risk import look
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from pathlib import Path

    from devpod_rp.guard.kept_disk import KeptDisk, Order, PutBack
    from devpod_rp.pod.link import AgentLink

_NAMED = 3


def is_wanted(spec: Mapping[str, Any]) -> bool:
    """Whether anything of the container disk is to be archived at a stop."""
    persist = spec.get("persist", {})
    return bool(spec.get("keep_disk") or persist.get("archive") or persist.get("venvs"))


def remember_wish(environment: Environment) -> Environment:
    """The record, saved, of an environment whose disk is kept from now on, as after ``up --keep-disk``."""
    spec, flags = {**environment.spec, "keep_disk": True}, {**environment.flags, "keep_disk": True}
    return environments.save(dataclasses.replace(environment, spec=spec, flags=flags))


def order_of(environment: Environment) -> Order | None:
    """What is to be kept at a stop; None where nothing is, or nowhere."""
    from devpod_rp.guard.kept_disk import Order

    spec, volume = environment.spec, environment.volume
    if not is_wanted(spec) or volume.kind == "none":
        return None
    persist = spec.get("persist", {})
    return Order(
        volume_path=volume.path,
        environment=environment.name,
        image=str(spec["image"]),
        everything=bool(spec.get("keep_disk")),
        below=tuple(persist.get("archive", ())),
        venvs=bool(persist.get("venvs")),
        volume_bytes=volume.size_gb * 10**9 if volume.size_gb else None,
    )


def wire_order(environment: Environment) -> dict[str, Any] | None:
    """The order as plain data, for the watchdog, which stops the pod without us."""
    from devpod_rp.guard import rules

    order = order_of(environment)
    return None if order is None else order.as_wire(rules.of_spec(environment.spec))


def keep(environment: Environment, progress: Progress = silent) -> KeptDisk | None:
    """Archive the container disk as the spec wishes; None where it does not.

    Raises:
        KeepingFailed: it could not be, and no earlier archive was touched.
        UnreachableError: the pod cannot be reached.
    """
    from devpod_rp.guard import kept_disk, rules

    order = order_of(environment)
    if order is None:
        return None
    link = connect.open_link(environment)
    try:
        kept = kept_disk.keep(link, order, rules.of_spec(environment.spec), progress)
    finally:
        link.close()
    write_atomically(_last_file(environment.name), json.dumps(kept.as_json(), indent=2).encode("utf-8"))
    return kept


def last_kept(environment: Environment) -> dict[str, Any] | None:
    """What the last stop from this machine kept, as plain data; *wanted* is whether the next one will.

    None if nothing was kept and nothing is to be.
    """
    file, wanted = _last_file(environment.name), is_wanted(environment.spec)
    known: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    if not known and not wanted:
        return None
    keys = ("name", "created_at", "files", "size", "stored", "deleted", "image")
    return {**{key: known.get(key) for key in keys}, "wanted": wanted}


def come_back(
    environment: Environment, spec: Mapping[str, Any], link: AgentLink, progress: Progress, *, fresh: bool
) -> PutBack | None:
    """Note what the image brought, and put the newest kept disk back where *spec* keeps disks.

    On a pod that was handed over before (not *fresh*) only what was begun there is gone on with: an old disk does not
    mix with present work. What cannot be put back is said and keeps nobody from working; it stays on the volume.

    Raises:
        LinkLost: the connection died.
    """
    from devpod_rp.guard import kept_disk
    from devpod_rp.pod.link import AgentRefused

    if not is_wanted(spec) or environment.volume.kind == "none":
        return None
    volume, began = environment.volume.path, time.monotonic()
    try:
        kept_disk.note_image(link, volume, fresh=fresh)
        done = kept_disk.put_back(
            link,
            volume,
            environment.name,
            str(spec["image"]),
            unless_done=True,
            if_begun=not fresh,
            progress=progress,
        )
    except AgentRefused as refused:
        progress(Event("restore", f"The disk cannot be kept on this pod: {refused.message}", warning=True))
        return None
    except kept_disk.NotPutBack as error:
        progress(Event("restore", f"{error.message} {error.hint}", warning=True))
        return None
    if done is not None:
        _tell(environment, done, time.monotonic() - began, progress)
    return done


def kept(environment: Environment) -> list[KeptDisk]:
    """The archives on the environment's volume, oldest first.

    Raises:
        UnreachableError: the pod cannot be reached.
        UsageError: the environment has no volume.
    """
    from devpod_rp.guard.kept_disk import kept_disks

    link = connect.open_link(environment)
    try:
        return kept_disks(link, _volume(environment), environment.name)
    finally:
        link.close()


def restore(
    environment: Environment,
    *,
    name: str | None = None,
    only: tuple[str, ...] = (),
    everything: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PutBack:
    """Put a kept disk, the newest without *name*, back on the pod as it is now.

    Raises:
        UnreachableError: the pod cannot be reached.
        UsageError: there is no such kept disk.
        NotPutBack: it is damaged, or the container disk is full.
    """
    from devpod_rp.guard import kept_disk

    volume = _volume(environment)
    link = connect.open_link(environment)
    try:
        known = [each.name for each in kept_disk.kept_disks(link, volume, environment.name)]
        if not known or (name is not None and name not in known):
            wanted = f"kept disk named {name}" if name else "kept disk"
            raise UsageError(
                f"There is no {wanted} on the volume of {environment.name}.",
                hint=f"devpod-rp disk list {environment.name}",
            )
        kept_disk.note_image(link, volume, fresh=False)
        done = kept_disk.put_back(
            link,
            volume,
            environment.name,
            str(environment.spec["image"]),
            name=name,
            only=only,
            everything=everything,
            overwrite=overwrite,
            progress=progress,
        )
    finally:
        link.close()
    assert done is not None
    return done


def _tell(environment: Environment, done: PutBack, seconds: float, progress: Progress) -> None:
    amount = f"{done.files} files, {done.bytes / 1e6:.1f} MB"
    progress(Event("restored", f"The disk of {done.disk.created_at} is back: {amount} in {seconds:.1f} s"))
    if done.left:
        progress(
            Event(
                "restored",
                f"The kept disk is one of {done.disk.image}, not of this image: {done.left} names of its system stay "
                f"in the archive. Bring the pod up with that image, or devpod-rp disk restore --everything "
                f"{environment.name} puts them over this one.",
                warning=True,
            )
        )
    if done.conflicts:
        first = "; ".join(f"{printable(path)}: {why}" for path, why in list(done.conflicts.items())[:_NAMED])
        more = f" and {len(done.conflicts) - _NAMED} more" if len(done.conflicts) > _NAMED else ""
        progress(Event("restored", f"Not all of the kept disk has its place: {first}{more}", warning=True))


def _volume(environment: Environment) -> str:
    volume = look.volume_path(environment)
    if volume is None:
        raise UsageError(f"{environment.name} has no volume, so nothing could be kept on it.")
    return volume


def _last_file(name: str) -> Path:
    return paths.environment_dir(name) / "kept-disk.json"
