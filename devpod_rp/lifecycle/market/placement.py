"""Which machines fulfil a wish, best first. Pure: the live catalog comes in, candidates go out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from devpod_rp.errors import ConfigurationError, NoCapacityError

if TYPE_CHECKING:
    from devpod_rp.runpod.model import CpuType, GpuType
    from devpod_rp.spec.model import EnvironmentSpec

Tier = Literal["SECURE", "COMMUNITY"]
TIERS: tuple[Tier, ...] = ("SECURE", "COMMUNITY")
_ABOVE_LOWEST = 1.1
# RunPod's four levels (GET /v2/catalog/gpus, availability), as points: what they add up to ranks data centers.
POINTS: Mapping[str, int] = {"HIGH": 3, "MEDIUM": 2, "LOW": 1, "NONE": 0}


@dataclass(frozen=True)
class Candidate:
    """One kind of machine to ask the cloud for.

    *count* is the number of GPUs, or of vCPUs for a CPU machine; *price_per_hour* is USD for the whole pod. *stock* is
    the best level in *data_centers* (empty: anywhere); *stock_by_center* is the level in each that offers it. With
    *bid_per_gpu* (USD per hour) it is asked for as a spot pod, which costs its bid.
    """

    kind: Literal["gpu", "cpu"]
    id: str
    label: str
    count: int
    tier: Tier
    price_per_hour: float
    stock: str
    data_centers: tuple[str, ...] = ()
    stock_by_center: Mapping[str, str] = field(default_factory=dict)
    bid_per_gpu: float | None = None

    @property
    def machine(self) -> str:
        """What a person calls it: ``2 x RTX 4090`` or ``cpu3c, 2 vCPU``."""
        if self.kind == "cpu":
            return f"{self.label}, {self.count} vCPU"
        return self.label if self.count == 1 else f"{self.count} x {self.label}"

    def placed_in(self, centers: Sequence[str]) -> Candidate:
        """The same machine, asked for in *centers* only, with the stock it has there."""
        stock = max((self.stock_by_center.get(each, "NONE") for each in centers), key=_points, default="NONE")
        return dataclasses.replace(self, data_centers=tuple(centers), stock=stock)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "id": self.id,
            "tier": self.tier,
            "cost_per_hour": self.price_per_hour,
            "bid_per_gpu": self.bid_per_gpu,
            "stock": self.stock,
            "data_centers": list(self.data_centers),
        }


@dataclass(frozen=True)
class RuledOut:
    """An offer that the wish names and that does not fit it."""

    machine: str
    reason: str


@dataclass(frozen=True)
class Ranking:
    """What can be asked for, best first and never empty, and what was ruled out before asking."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[RuledOut, ...] = ()


@dataclass(frozen=True)
class BadHost:
    """Where a pod did not come up: the machine *candidate_id* in *data_center*; *address* is its public IP if known."""

    candidate_id: str
    data_center: str | None
    address: str | None
    reason: str


def rank_gpus(spec: EnvironmentSpec, gpus: Sequence[GpuType]) -> Ranking:
    """Every GPU offer that fulfils *spec*: what has stock first, then in the order wished for, then by price and stock.

    What has no stock stays, at the end: the catalog lags behind, and a wait for capacity needs something to ask for.

    Raises:
        UnknownGpu: a name matches no GPU type.
        NoCapacityError: the names exist but no offer fits the tier, the count or the price.
    """
    from devpod_rp.spec.wishes import KnownGpu, granted

    by_id = {gpu.id: gpu for gpu in gpus}
    known = [KnownGpu(gpu.id, gpu.name, gpu.memory) for gpu in gpus]
    wished: dict[str, int] = {}
    for position, wish in enumerate(spec.gpu):
        for gpu in granted(wish, known):
            wished.setdefault(gpu.id, position)
    offers: list[tuple[int, Candidate]] = []
    ruled_out: list[RuledOut] = []
    for gpu_id, position in wished.items():
        for tier in _tiers(spec.tier):
            offer = _gpu_offer(spec, by_id[gpu_id], tier)
            if isinstance(offer, RuledOut):
                ruled_out.append(offer)
            else:
                offers.append((position, offer))
    offers.sort(
        key=lambda each: (each[1].stock == "NONE", each[0], each[1].price_per_hour, -_points(each[1].stock), each[1].id)
    )
    return _ranking([offer for _, offer in offers], ruled_out)


def _gpu_offer(spec: EnvironmentSpec, gpu: GpuType, tier: Tier) -> Candidate | RuledOut:
    secure = tier == "SECURE"
    count = spec.gpu_count
    if not secure and spec.volume.kind == "network":
        return RuledOut(gpu.name, "the community cloud has no network volumes")
    if not (gpu.secure if secure else gpu.community):
        return RuledOut(gpu.name, f"not offered in the {tier.lower()} cloud")
    most = gpu.max_count.secure if secure else gpu.max_count.community
    if count > most:
        return RuledOut(gpu.name, f"{most} to a machine at most in the {tier.lower()} cloud, not {count}")
    price = (gpu.price.secure if secure else gpu.price.community) * count
    candidate = Candidate("gpu", gpu.id, gpu.name, count, tier, round(price, 4), _level(gpu.availability))
    return _within(spec, candidate, gpu.data_centers)


def rank_cpus(spec: EnvironmentSpec, cpus: Sequence[CpuType]) -> Ranking:
    """The CPU flavor that *spec* names, as the one candidate.

    Raises:
        ConfigurationError: the flavor does not exist, or not with that many vCPUs.
        NoCapacityError: it costs too much.
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
    price = round(flavor.price.secure_per_vcpu * spec.vcpu, 4)
    candidate = Candidate("cpu", flavor.id, flavor.name, spec.vcpu, "SECURE", price, _level(flavor.availability))
    offer = _within(spec, candidate, flavor.data_centers)
    return _ranking([offer], []) if isinstance(offer, Candidate) else _ranking([], [offer])


def _within(spec: EnvironmentSpec, candidate: Candidate, centers: Iterable[object]) -> Candidate | RuledOut:
    """*candidate* with its stock by data center, if the wish can pay for it and wants one of those places."""
    price = candidate.price_per_hour
    if spec.max_price is not None and price > spec.max_price:
        return RuledOut(candidate.machine, f"${price:.2f}/h is above max_price ${spec.max_price:.2f}/h")
    levels = {str(getattr(each, "id", "")): _level(getattr(each, "availability", None)) for each in centers}
    candidate = dataclasses.replace(candidate, stock_by_center=levels)
    return candidate.placed_in(spec.data_centers) if spec.data_centers else candidate


def _ranking(candidates: Sequence[Candidate], ruled_out: Sequence[RuledOut]) -> Ranking:
    if candidates:
        return Ranking(tuple(candidates), tuple(ruled_out))
    raise NoCapacityError(
        "No offer fits: " + "; ".join(f"{each.machine}: {each.reason}" for each in ruled_out) + ".",
        hint="widen the wish (--gpu 'any>=24GB', --tier any, --max-price); devpod-rp gpus lists prices and stock.",
    )


def by_bid(
    ranking: Ranking, lowest: Mapping[tuple[str, Tier], float], bid: float | None, max_price: float | None
) -> Ranking:
    """The same machines as spot pods, best first; *lowest* is the lowest bid (USD per hour and GPU) that each takes.

    Without *bid* a tenth more than the lowest is offered, so that the next small rise does not end the pod.

    Raises:
        NoCapacityError: no machine can be had for that bid or within *max_price* (USD per hour for the whole pod).
    """
    offers: list[Candidate] = []
    ruled_out = list(ranking.ruled_out)
    for each in ranking.candidates:
        floor = lowest.get((each.id, each.tier))
        on_demand = each.price_per_hour / each.count
        offered = bid if bid is not None else min(round(floor * _ABOVE_LOWEST, 3), on_demand) if floor else 0.0
        price = round(offered * each.count, 4)
        if floor is None:
            ruled_out.append(RuledOut(each.machine, f"not offered by bid in the {each.tier.lower()} cloud"))
        elif offered < floor:
            ruled_out.append(
                RuledOut(each.machine, f"takes ${floor:.3f} per GPU and hour at least, not ${offered:.3f}")
            )
        elif max_price is not None and price > max_price:
            ruled_out.append(RuledOut(each.machine, f"${price:.2f}/h is above max_price ${max_price:.2f}/h"))
        else:
            offers.append(dataclasses.replace(each, bid_per_gpu=offered, price_per_hour=price))
    return _ranking(offers, ruled_out)


def in_center(ranking: Ranking, center: str) -> Ranking:
    """The same wish where its network volume is, because RunPod refuses the pod elsewhere (POST /v2/pods, enforced)."""
    placed = [each.placed_in((center,)) for each in ranking.candidates]
    placed.sort(key=lambda each: each.stock == "NONE")
    return Ranking(tuple(placed), ranking.ruled_out)


def avoiding(candidates: Sequence[Candidate], bad: Collection[BadHost]) -> tuple[Candidate, ...]:
    """*candidates* away from hosts that failed: asked for elsewhere where there is stock elsewhere, else last."""
    kept: list[Candidate] = []
    last: list[Candidate] = []
    for candidate in candidates:
        shunned = {each.data_center for each in bad if each.candidate_id == candidate.id} - {None}
        if not shunned:
            kept.append(candidate)
            continue
        centers = candidate.data_centers or tuple(candidate.stock_by_center)
        elsewhere = candidate.placed_in([each for each in centers if each not in shunned])
        if elsewhere.stock == "NONE":
            last.append(candidate)
        else:
            kept.append(elsewhere)
    return (*kept, *last)


@dataclass(frozen=True)
class CenterChoice:
    """Where a new network volume could live: *stock* of each wished machine there, and what it adds up to."""

    data_center: str
    stock: Mapping[str, str]
    points: int

    def as_json(self) -> dict[str, Any]:
        return {"data_center": self.data_center, "stock": dict(self.stock), "points": self.points}


def homes_of_new_volume(candidates: Sequence[Candidate], volume_centers: Collection[str]) -> tuple[CenterChoice, ...]:
    """The data centers that could hold a new network volume, best first.

    Best is the most stock over the whole wish list: the volume stays where it is put, so what matters is to find a
    machine there tomorrow as well. Of equals, the one with more of what was wished for first.

    Raises:
        NoCapacityError: none of the wished data centers has network volumes and any of the machines.
    """
    secure = [each for each in candidates if each.tier == "SECURE"]
    asked = {center for each in secure for center in (each.data_centers or each.stock_by_center)}
    choices = []
    for center in sorted(asked & set(volume_centers)):
        stock = {each.machine: each.stock_by_center.get(center, "NONE") for each in secure}
        choices.append(CenterChoice(center, stock, sum(map(_points, stock.values()))))
    choices = [each for each in choices if each.points] or choices
    if not choices:
        raise NoCapacityError(
            "No data center that fits has network volumes.", hint="drop data_centers, or use a volume of kind disk."
        )
    choices.sort(key=lambda each: (-each.points, [-_points(level) for level in each.stock.values()], each.data_center))
    return tuple(choices)


def _tiers(tier: str) -> tuple[Tier, ...]:
    choices: dict[str, tuple[Tier, ...]] = {
        "secure": ("SECURE",),
        "community": ("COMMUNITY",),
        "any": ("SECURE", "COMMUNITY"),
    }
    return choices[tier]


def _points(level: str) -> int:
    return POINTS.get(level, 0)


def _level(availability: object) -> str:
    return str(getattr(availability, "value", availability) or "NONE")
