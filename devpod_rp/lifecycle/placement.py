"""Which machines fulfil a wish, best first. Pure: the live catalog comes in, candidates go out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from devpod_rp.errors import ConfigurationError, NoCapacityError

if TYPE_CHECKING:
    from devpod_rp.runpod.model import CpuType, GpuType
    from devpod_rp.spec.model import EnvironmentSpec

Tier = Literal["SECURE", "COMMUNITY"]
_STOCK_ORDER = {"HIGH": 0, "MEDIUM": 1, "LOW": 2, "NONE": 3}


@dataclass(frozen=True)
class Candidate:
    """One kind of machine to ask the cloud for.

    *count* is the number of GPUs, or of vCPUs for a CPU machine; *price_per_hour* is USD for the whole pod.
    """

    kind: Literal["gpu", "cpu"]
    id: str
    label: str
    count: int
    tier: Tier
    price_per_hour: float
    stock: str
    data_centers: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        """What a person calls it: ``2 x RTX 4090`` or ``cpu3c, 2 vCPU``."""
        if self.kind == "cpu":
            return f"{self.label}, {self.count} vCPU"
        return self.label if self.count == 1 else f"{self.count} x {self.label}"


def rank_gpus(spec: EnvironmentSpec, gpus: Sequence[GpuType], data_center: str | None = None) -> tuple[Candidate, ...]:
    """Every GPU offer that fulfils *spec*: what is in stock first, then in the order wished for, then by price.

    *data_center* keeps only the one that holds the network volume, because RunPod refuses the pod elsewhere
    (POST /v2/pods, "dataCenterIds is enforced").

    Raises:
        UnknownGpu: a name matches no GPU type.
        ConfigurationError: the names exist but no offer fits the tier, the count or the price.
    """
    from devpod_rp.spec.gpu_names import match_gpu

    by_id = {gpu.id: gpu for gpu in gpus}
    names = [(gpu.id, gpu.name) for gpu in gpus]
    offers: list[tuple[int, int, float, Candidate]] = []
    refused: list[str] = []
    for position, wish in enumerate(spec.gpu):
        gpu = by_id[match_gpu(wish, names)]
        for tier in _tiers(spec.tier):
            offer = _gpu_offer(spec, gpu, tier, data_center)
            if isinstance(offer, str):
                refused.append(offer)
            else:
                offers.append((_STOCK_ORDER.get(offer.stock, 3), position, offer.price_per_hour, offer))
    if not offers:
        raise ConfigurationError(
            "No GPU offer fits: " + "; ".join(refused) + ".", hint="devpod-rp gpus lists prices, tiers and stock."
        )
    offers.sort(key=lambda each: each[:3])
    return tuple(offer for *_, offer in offers)


def _gpu_offer(spec: EnvironmentSpec, gpu: GpuType, tier: Tier, data_center: str | None) -> Candidate | str:
    secure = tier == "SECURE"
    count = spec.gpu_count
    if not (gpu.secure if secure else gpu.community):
        return f"{gpu.name} is not offered in the {tier.lower()} cloud"
    most = gpu.max_count.secure if secure else gpu.max_count.community
    if count > most:
        return f"{gpu.name} comes {most} to a machine at most in the {tier.lower()} cloud"
    price = (gpu.price.secure if secure else gpu.price.community) * count
    if spec.max_price is not None and price > spec.max_price:
        return f"{gpu.name} costs ${price:.2f}/h, above max_price ${spec.max_price:.2f}/h"
    centers = (data_center,) if data_center else tuple(spec.data_centers)
    stock = _stock(gpu.availability, gpu.data_centers, centers)
    return Candidate("gpu", gpu.id, gpu.name, count, tier, round(price, 4), stock, centers)


def rank_cpus(spec: EnvironmentSpec, cpus: Sequence[CpuType], data_center: str | None = None) -> tuple[Candidate, ...]:
    """The CPU flavor that *spec* names, as the one candidate.

    Raises:
        ConfigurationError: the flavor does not exist, or not with that many vCPUs, or costs too much.
    """
    flavor = next((cpu for cpu in cpus if cpu.id == spec.cpu), None)
    if flavor is None:
        known = ", ".join(cpu.id for cpu in cpus)
        raise ConfigurationError(f"There is no CPU flavor {spec.cpu!r}.", hint=f"choose one of {known}.")
    if not flavor.vcpu.min <= spec.vcpu <= flavor.vcpu.max:
        raise ConfigurationError(
            f"{flavor.id} comes with {flavor.vcpu.min} to {flavor.vcpu.max} vCPUs, not {spec.vcpu}.",
            hint="change vcpu in devpod-rp.toml, or --vcpu.",
        )
    price = flavor.price.secure_per_vcpu * spec.vcpu
    if spec.max_price is not None and price > spec.max_price:
        raise ConfigurationError(
            f"{flavor.id} costs ${price:.2f}/h, above max_price ${spec.max_price:.2f}/h.", hint="raise max_price."
        )
    centers = (data_center,) if data_center else tuple(spec.data_centers)
    stock = _stock(flavor.availability, flavor.data_centers, centers)
    return (Candidate("cpu", flavor.id, flavor.name, spec.vcpu, "SECURE", round(price, 4), stock, centers),)


def home_of_new_volume(candidates: Iterable[Candidate], volume_centers: Sequence[str]) -> str:
    """The data center for a network volume that does not exist yet: one the best candidate can be placed in.

    Raises:
        NoCapacityError: none of the wished data centers has network volumes.
    """
    for candidate in candidates:
        for center in candidate.data_centers or volume_centers:
            if center in volume_centers:
                return center
    raise NoCapacityError(
        "No data center that fits has network volumes.", hint="drop data_centers, or use a volume of kind disk."
    )


def _tiers(tier: str) -> tuple[Tier, ...]:
    choices: dict[str, tuple[Tier, ...]] = {
        "secure": ("SECURE",),
        "community": ("COMMUNITY",),
        "any": ("SECURE", "COMMUNITY"),
    }
    return choices[tier]


def _stock(overall: object, by_center: Iterable[object] | None, centers: Sequence[str]) -> str:
    """The best stock level in *centers*, or anywhere if the wish names none."""
    if centers and by_center is not None:
        levels = [_level(getattr(each, "availability", None)) for each in by_center if _identity(each) in centers]
        return min(levels, key=lambda level: _STOCK_ORDER.get(level, 3), default="NONE")
    return _level(overall)


def _identity(center: object) -> str:
    return str(getattr(center, "id", ""))


def _level(availability: object) -> str:
    return str(getattr(availability, "value", availability) or "NONE")
