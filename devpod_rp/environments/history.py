"""What every environment was and when: our own ledger of what costs money, kept also for those that are deleted.

One file per environment, one JSON line for each change of a fact that costs money. Cloud bills come late and name pods,
not environments; these lines say at once what ran, and whose it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devpod_rp import paths
from devpod_rp.environments.record import Environment

REMOVED = "REMOVED"
"""The status after an environment was forgotten."""

_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Moment:
    """From *at* (Unix time) on, the environment was this; *cost_per_hour* is the machine's price alone."""

    at: float
    name: str
    id: str
    cloud: str
    status: str
    pod_id: str | None
    cost_per_hour: float
    container_disk_gb: float
    volume_kind: str
    volume_id: str | None
    volume_gb: float


def note(environment: Environment, *, clock: Callable[[], float] = time.time, status: str | None = None) -> None:
    """Write down what *environment* is now, unless that is what the last line says already."""
    moment = Moment(
        at=clock(),
        name=environment.name,
        id=environment.id,
        cloud=environment.cloud,
        status=status or environment.status,
        pod_id=environment.pod_id,
        cost_per_hour=environment.cost_per_hour or 0.0,
        container_disk_gb=float(environment.spec.get("container_disk_gb") or 0.0),
        volume_kind=environment.volume.kind,
        volume_id=environment.volume.id,
        volume_gb=float(environment.volume.size_gb or 0.0),
    )
    facts = vars(moment)
    if _facts(_last(environment.id)) == _facts(facts):
        return
    file = paths.history_dir() / f"{environment.id}.jsonl"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Appended in one write, so that lines of two processes never mix.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb", buffering=0) as stream:
        stream.write(json.dumps(facts).encode("ascii") + b"\n")


def read(environment_id: str) -> list[Moment]:
    """Everything that was noted of one environment, oldest first; a line that a crash cut short is left out."""
    file = paths.history_dir() / f"{environment_id}.jsonl"
    if not file.exists():
        return []
    moments = []
    for line in file.read_bytes().splitlines():
        fields = _parsed(line)
        if fields is not None:
            moments.append(Moment(**fields))
    return sorted(moments, key=lambda moment: moment.at)


def read_all() -> dict[str, list[Moment]]:
    """The history of every environment that ever was, by its id."""
    directory = paths.history_dir()
    names = sorted(each.stem for each in directory.glob("*.jsonl")) if directory.is_dir() else []
    return {name: moments for name in names if (moments := read(name))}


def _last(environment_id: str) -> dict[str, Any] | None:
    file = paths.history_dir() / f"{environment_id}.jsonl"
    if not file.exists():
        return None
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        lines = stream.read().splitlines()
    return _parsed(lines[-1]) if lines else None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    known = Moment.__dataclass_fields__
    return fields if isinstance(fields, dict) and fields.keys() == known.keys() else None


def _facts(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {name: value for name, value in fields.items() if name != "at"}
