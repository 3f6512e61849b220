"""What the ledger remembers of pods, network volumes and templates, as plain frozen data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar


class Status(str, Enum):
    """Pod statuses of REST v2. TERMINATED pods stay in the ledger, unseen, until their disks are gone."""

    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"

    @property
    def active(self) -> bool:
        """Holds a machine: a container runs or is about to, and compute is billed."""
        return self in (Status.PROVISIONING, Status.STARTING, Status.RUNNING)

    @property
    def gone(self) -> bool:
        return self is Status.TERMINATED


@dataclass(frozen=True)
class Pod:
    """One pod. Times are epoch seconds.

    *generation* counts the orders given (start, stop, restart, edit, terminate): a container that runs under an older
    generation is not the one that was asked for. *wipe* is True from the moment an order dooms the container disk until
    the disk is really empty, so that a crash in between cannot resurrect it. *bid_per_gpu* (USD per hour) makes it a
    spot pod; *preempted* says that the market ended it; *without_gpu* that it was started to fetch data only.
    """

    id: str
    name: str
    created_at: float
    status: Status
    image: str
    disk: int
    ports: tuple[str, ...]
    cloud: str
    data_center: str
    price_per_hour: float
    billed_until: float
    api_key: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    injected_env: Mapping[str, str] = field(repr=False, default_factory=dict)
    args: str = ""
    registry: str | None = None
    gpu: Mapping[str, Any] | None = None
    cpu: Mapping[str, Any] | None = None
    cuda_version: str | None = None
    persistent: Mapping[str, Any] | None = None
    network: Mapping[str, Any] | None = None
    global_networking: bool = False
    locked: bool = False
    generation: int = 0
    wipe: bool = False
    external_ports: Mapping[str, int] = field(default_factory=dict)
    former_ports: Mapping[str, int] = field(default_factory=dict)
    hostname: str = ""
    started_at: float | None = None
    failure: str | None = None
    bid_per_gpu: float | None = None
    preempted: bool = False
    without_gpu: bool = False
    purged: bool = False

    @property
    def gpu_count(self) -> int:
        return int(self.gpu["count"]) if self.gpu and not self.without_gpu else 0


@dataclass(frozen=True)
class NetworkVolume:
    """One network volume; *deleted* ones stay until their directory is gone. *size* is GB."""

    id: str
    name: str
    size: int
    data_center: str
    type: str
    created_at: float
    billed_until: float
    deleted: bool = False


@dataclass(frozen=True)
class Template:
    """A template of the account, in the API's own form except for its id."""

    id: str
    created_at: float
    document: Mapping[str, Any]


Record = TypeVar("Record", Pod, NetworkVolume, Template)


def to_json(record: Pod | NetworkVolume | Template) -> str:
    return json.dumps(dataclasses.asdict(record))


def from_json(kind: type[Record], text: str) -> Record:
    values = json.loads(text)
    if "status" in values:
        values["status"] = Status(values["status"])
    if "ports" in values:
        values["ports"] = tuple(values["ports"])
    return kind(**values)
