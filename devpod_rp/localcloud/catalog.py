"""What the local cloud sells: GPU types, CPU flavors, data centers, templates, read from TOML.

The built-in ``catalog.toml`` is laid under the user's ``local-cloud.toml`` (configuration directory), so that a user
can rehearse prices and shortages of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from devpod_rp.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BUILT_IN = Path(__file__).with_name("catalog.toml")


class Level(IntEnum):
    """Stock levels, ordered; the value is how many GPUs (or CPU pods) the level stands for."""

    NONE = 0
    LOW = 2
    MEDIUM = 8
    HIGH = 32

    @classmethod
    def of(cls, units: int) -> Level:
        """The level that *units* free units are shown as."""
        return next(level for level in (cls.NONE, cls.LOW, cls.MEDIUM, cls.HIGH) if units <= level or level is cls.HIGH)


Stock = Mapping[str, Level]


@dataclass(frozen=True)
class DataCenter:
    id: str
    name: str
    region: str
    country: str
    global_network: bool
    network_volume_types: tuple[str, ...]
    compliance: tuple[str, ...]


@dataclass(frozen=True)
class Gpu:
    """A GPU type. Prices are USD per hour for one GPU; *vcpus* and *ram_gb* are what its host gives per GPU.

    *spot_share* is the part of the price that the lowest bid must reach.
    """

    id: str
    name: str
    memory_gb: int
    secure_usd: float
    community_usd: float
    max_secure: int
    max_community: int
    vcpus: int
    ram_gb: int
    cuda: tuple[str, ...]
    stock: Stock
    manufacturer: str = "NVIDIA"
    pool: str | None = None
    serverless_usd: float | None = None
    spot_share: float = 0.5

    def price_usd(self, cloud: str) -> float:
        return self.secure_usd if cloud == "SECURE" else self.community_usd

    def max_count(self, cloud: str) -> int:
        return self.max_secure if cloud == "SECURE" else self.max_community


@dataclass(frozen=True)
class Cpu:
    """A CPU flavor. Prices are USD per hour for one vCPU."""

    id: str
    name: str
    group: str
    vcpu_min: int
    vcpu_max: int
    ram_gb_per_vcpu: float
    secure_usd_per_vcpu: float
    serverless_usd_per_vcpu: float
    stock: Stock


@dataclass(frozen=True)
class PublicTemplate:
    """A template of the public catalog; *source* is official, verified or community."""

    id: str
    source: str
    name: str
    image: str
    disk: int
    ports: tuple[str, ...]
    category: str
    persistent: Mapping[str, Any] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    args: str = ""
    allowed_cuda: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    data_centers: Mapping[str, DataCenter]
    gpus: Mapping[str, Gpu]
    cpus: Mapping[str, Cpu]
    templates: Mapping[str, PublicTemplate]
    balance_usd: float
    rate_limits: Mapping[str, int]


def load(user_file: Path | None = None) -> Catalog:
    """The built-in catalog with *user_file*, if it exists, laid over it.

    Raises:
        ConfigurationError: the user's file is not TOML, or an entry has a wrong, missing or unknown key.
    """
    document = tomllib.loads(_BUILT_IN.read_text(encoding="utf-8"))
    source = str(_BUILT_IN)
    if user_file is not None and user_file.exists():
        source = str(user_file)
        try:
            document = _overlay(document, tomllib.loads(user_file.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{user_file} is not valid TOML: {error}.", hint="fix or delete it.") from error
    try:
        return _parse(document)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{source} describes no usable catalog: {error}.",
            hint="each entry takes the same keys as in the built-in catalog.toml.",
        ) from error


def _parse(document: Mapping[str, Any]) -> Catalog:
    return Catalog(
        data_centers={key: DataCenter(id=key, **_frozen(entry)) for key, entry in document["data_centers"].items()},
        gpus={key: Gpu(id=key, **_frozen(entry)) for key, entry in document["gpus"].items()},
        cpus={key: Cpu(id=key, **_frozen(entry)) for key, entry in document["cpus"].items()},
        templates={key: PublicTemplate(id=key, **_frozen(entry)) for key, entry in document["templates"].items()},
        balance_usd=float(document["account"]["balance_usd"]),
        rate_limits={window: int(document["rate_limits"][window]) for window in ("minute", "hour", "day")},
    )


def _frozen(entry: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    if "stock" in values:
        values["stock"] = {center: Level[level] for center, level in values["stock"].items()}
    return values


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
