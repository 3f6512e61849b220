"""Keeping the records: one directory per environment below ``paths.environments_dir()``."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments import history, intents
from devpod_rp.environments.record import Environment, VolumeRecord, decode, encode, is_possible_name
from devpod_rp.errors import DevpodError, UsageError

log = logging.getLogger(__name__)

_TRASH = ".removed-"


class NoEnvironment(UsageError):
    """There is no environment of this name, or none at all."""

    kind = "no-environment"


class IntentPending(DevpodError):
    """The environment cannot be forgotten yet: a call whose outcome is unknown may have created something billable."""

    kind = "intent-pending"


def create(
    *,
    name: str,
    cloud: str,
    api_url: str,
    folder: str,
    workspace: str,
    spec: Mapping[str, Any],
    volume: VolumeRecord,
    status: str = "NEW",
    flags: Mapping[str, Any] | None = None,
) -> Environment:
    """A new record with an id of its own, saved; callers hold the environment's lock.

    Raises:
        UsageError: an environment of this name exists, or the name cannot be one.
    """
    if not is_possible_name(name):
        raise UsageError(f"{name!r} cannot be the name of an environment.", hint="use letters, digits and dashes.")
    if record_file(name).exists():
        raise UsageError(f"The environment {name} exists already.", hint="choose another name with --name.")
    now = _now()
    environment = Environment(
        name=name,
        id=secrets.token_hex(4),
        cloud=cloud,
        api_url=api_url,
        folder=folder,
        workspace=workspace,
        spec=spec,
        status=status,
        pod_id=None,
        ssh=None,
        host_key=None,
        gpu=None,
        cost_per_hour=None,
        volume=volume,
        created_at=now,
        updated_at=now,
        flags=flags or {},
    )
    return save(environment)


def save(environment: Environment) -> Environment:
    """Write the record, whole, readable by the user alone; returns it with the new *updated_at*."""
    written = dataclasses.replace(environment, updated_at=_now())
    write_atomically(record_file(environment.name), encode(written))
    history.note(written)
    return written


def load(name: str) -> Environment:
    """The record of *name*.

    Raises:
        NoEnvironment: there is none.
        CorruptRecord: there is one and it cannot be read.
    """
    environment = find(name)
    if environment is None:
        known = ", ".join(_names())
        raise NoEnvironment(
            f"There is no environment named {name}.",
            hint=f"there are: {known}" if known else "devpod-rp up makes one for this folder.",
        )
    return environment


def find(name: str) -> Environment | None:
    """The record of *name*, or None if there is no such environment."""
    if not is_possible_name(name):
        return None
    path = record_file(name)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return decode(data, path)


def stamp(name: str) -> tuple[int, int] | None:
    """What another save of *name*'s record changes; None if there is none."""
    try:
        status = record_file(name).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


def all_environments() -> list[Environment]:
    """Every record, by name.

    Raises:
        CorruptRecord: one of them cannot be read; leaving it out would make its pod invisible.
    """
    found = [find(name) for name in _names()]
    return [environment for environment in found if environment is not None]


def for_folder(folder: Path) -> list[Environment]:
    """The environments made for *folder* itself, by name."""
    wanted = folder.resolve()
    return [environment for environment in all_environments() if Path(environment.folder).resolve() == wanted]


def remove(name: str) -> None:
    """Forget an environment: its record, journals and logs are gone at once, or all still there.

    Raises:
        IntentPending: an intent is still written; settling it first is what keeps a pod from being orphaned.
    """
    if intents.read_intent(name) is not None:
        raise IntentPending(
            f"It is not yet known whether the last request for {name} created a pod.",
            hint="run the command again in a minute; it looks for the pod by its name.",
        )
    directory = paths.environment_dir(name)
    forgotten = find(name)
    if forgotten is not None:
        history.note(forgotten, status=history.REMOVED)
    if directory.exists():
        directory.rename(paths.environments_dir() / f"{_TRASH}{name}-{secrets.token_hex(4)}")
    _sweep()


def record_file(name: str) -> Path:
    return paths.environment_dir(name) / "environment.json"


def _names() -> list[str]:
    root = paths.environments_dir()
    if not root.is_dir():
        return []
    return sorted(each.name for each in root.iterdir() if each.name[0] != "." and record_file(each.name).exists())


def _sweep() -> None:
    """Delete what is removed already, also what a crash left half deleted."""
    for trash in paths.environments_dir().glob(f"{_TRASH}*"):
        shutil.rmtree(trash, onerror=_note)


def _note(_function: object, path: str, error: Any) -> None:
    # Another command may be sweeping the same directory, or Windows still holds a log open: the next sweep retries.
    log.info("sweep=left path=%s error=%s", path, error[1])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
