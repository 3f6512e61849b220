"""The record of one environment, and its form on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from devpod_rp.errors import ConfigurationError

FORMAT = 1
"""The version of ``environment.json`` and ``intent.json`` that this code writes, and the newest it reads."""
# Directories of ours carry the name with a prefix and a suffix, and 255 bytes is what file systems take.
_LONGEST_NAME_BYTES = 200


class CorruptRecord(ConfigurationError):
    """A record on disk cannot be read; the message names the file, because dropping it could orphan a pod."""


@dataclass(frozen=True)
class SshEndpoint:
    """Where the pod's SSH server answers; the port changes at every start."""

    host: str
    port: int
    user: str


@dataclass(frozen=True)
class VolumeRecord:
    """The storage that outlives the container: *kind* is "disk", "network" or "none"; *path* is on the pod."""

    kind: str
    id: str | None
    size_gb: int | None
    path: str


@dataclass(frozen=True)
class Environment:
    """What a user calls by one name: a folder here, a pod there, and all that has to be remembered of them.

    *status* is a pod status of RunPod's REST v2 (RUNNING, EXITED, …) or HIBERNATED: no pod, the volume lives on.
    *spec* is what was asked for, as plain JSON; its ``env`` values are secrets and therefore not in the repr. *flags*
    are the flags among it, by dotted key: who asked once with ``--gpu`` means it the next time, too. *used_pod* is the
    pod that was handed over last: only what is on that one can be anybody's work. *bid_per_gpu* (USD per hour) is what
    a spot pod was rented for, None for one on demand. *run* is another word for each start of a pod.
    Times are ISO 8601 in UTC. Two records are equal if they differ in nothing but *updated_at*.
    """

    name: str
    id: str
    cloud: str
    api_url: str
    folder: str
    workspace: str
    spec: Mapping[str, Any] = field(repr=False)
    status: str
    pod_id: str | None
    ssh: SshEndpoint | None
    host_key: str | None
    gpu: str | None
    cost_per_hour: float | None
    volume: VolumeRecord
    created_at: str
    updated_at: str = field(compare=False)
    flags: Mapping[str, Any] = field(default_factory=dict, repr=False)
    used_pod: str | None = None
    bid_per_gpu: float | None = None
    run: str | None = None

    @property
    def half_made(self) -> bool:
        """Whether there is a pod that was never handed over, so that nothing on it can be lost."""
        return self.pod_id is not None and self.pod_id != self.used_pod

    @property
    def host_alias(self) -> str:
        """The ``Host`` of the SSH configuration."""
        return f"{self.name}.devpod"

    @property
    def pod_name(self) -> str:
        """The pod's name in the cloud; the id makes it unique, so that a pod can be found again by it."""
        return f"devpod-{self.name}-{self.id}"


def is_possible_name(name: str) -> bool:
    """Whether *name* is safe as a directory of ours; which names are good ones is said elsewhere."""
    fits = len(name.encode("utf-8", "surrogateescape")) <= _LONGEST_NAME_BYTES
    return bool(name) and fits and name[0] != "." and not set(name) & set("/\\:\0")


def encode(environment: Environment) -> bytes:
    """The bytes of ``environment.json``."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "name": environment.name,
        "id": environment.id,
        "cloud": environment.cloud,
        "api_url": environment.api_url,
        "folder": environment.folder,
        "workspace": environment.workspace,
        "status": environment.status,
        "pod_id": environment.pod_id,
        "ssh": vars(environment.ssh) if environment.ssh else None,
        "host_key": environment.host_key,
        "gpu": environment.gpu,
        "cost_per_hour": environment.cost_per_hour,
        "volume": vars(environment.volume),
        "created_at": environment.created_at,
        "updated_at": environment.updated_at,
        "flags": dict(environment.flags),
        "used_pod": environment.used_pod,
        "bid_per_gpu": environment.bid_per_gpu,
        "run": environment.run,
        "spec": dict(environment.spec),
    }
    return json.dumps(fields, indent=2).encode("utf-8") + b"\n"


def decode(data: bytes, path: Path) -> Environment:
    """The record in *data*, which was read from *path*.

    Raises:
        CorruptRecord: it is not a record, or one of a version that this code does not know.
    """
    fields = Fields.parse(data, path)
    ssh = fields.optional_part("ssh")
    volume = fields.part("volume")
    return Environment(
        name=fields.get("name", str),
        id=fields.get("id", str),
        cloud=fields.get("cloud", str),
        api_url=fields.get("api_url", str),
        folder=fields.get("folder", str),
        workspace=fields.get("workspace", str),
        spec=fields.get("spec", dict),
        status=fields.get("status", str),
        pod_id=fields.optional("pod_id", str),
        ssh=SshEndpoint(ssh.get("host", str), ssh.get("port", int), ssh.get("user", str)) if ssh else None,
        host_key=fields.optional("host_key", str),
        gpu=fields.optional("gpu", str),
        cost_per_hour=fields.number("cost_per_hour"),
        volume=VolumeRecord(
            kind=volume.get("kind", str),
            id=volume.optional("id", str),
            size_gb=volume.optional("size_gb", int),
            path=volume.get("path", str),
        ),
        created_at=fields.get("created_at", str),
        updated_at=fields.get("updated_at", str),
        flags=fields.optional("flags", dict) or {},
        # A record from before this key may belong to a pod in use.
        used_pod=fields.optional("used_pod" if fields.has("used_pod") else "pod_id", str),
        bid_per_gpu=fields.number("bid_per_gpu") if fields.has("bid_per_gpu") else None,
        run=fields.optional("run", str) if fields.has("run") else None,
    )


Value = TypeVar("Value")


class Fields:
    """Typed reading of one JSON object; every complaint names the file and the key."""

    def __init__(self, values: Mapping[str, Any], path: Path, prefix: str = "") -> None:
        self._values = values
        self._path = path
        self._prefix = prefix

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Fields:
        try:
            values = json.loads(data)
        except ValueError as error:
            raise _corrupt(path, str(error)) from error
        if not isinstance(values, dict):
            raise _corrupt(path, "it holds no JSON object")
        version = values.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise CorruptRecord(
                f"{path} has format {version}; this devpod-rp reads formats up to {FORMAT}.",
                hint="a newer devpod-rp wrote it: upgrade this one.",
            )
        if version != FORMAT:
            raise _corrupt(path, f'"format" is {version!r}')
        return cls(values, path)

    def has(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, kind: type[Value]) -> Value:
        value = self._values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _corrupt(self._path, f'"{self._prefix}{key}" is {type(value).__name__}, not {kind.__name__}')
        return value

    def optional(self, key: str, kind: type[Value]) -> Value | None:
        return None if self._values.get(key) is None else self.get(key, kind)

    def number(self, key: str) -> float | None:
        value = self._values.get(key)
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else self.optional(key, float)

    def part(self, key: str) -> Fields:
        return Fields(self.get(key, dict), self._path, f"{self._prefix}{key}.")

    def optional_part(self, key: str) -> Fields | None:
        return None if self._values.get(key) is None else self.part(key)


def _corrupt(path: Path, what: str) -> CorruptRecord:
    return CorruptRecord(
        f"{path} cannot be read: {what}.",
        hint="restore it from a backup, or move its folder away; a pod of this environment still exists in the cloud "
        f"under a name that begins with devpod-{path.parent.name}-.",
    )
