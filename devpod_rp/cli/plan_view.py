"""The plan of ``up`` as a person reads it before saying yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devpod_rp.cli import first_upload, render, ui

if TYPE_CHECKING:
    from devpod_rp.lifecycle.market.placement import Candidate
    from devpod_rp.lifecycle.market.plan import Plan
    from devpod_rp.lifecycle.market.volumes import VolumePlan
    from devpod_rp.sync.preview import Preview

_SHOWN_CANDIDATES = 8
_SHOWN_MACHINES = 6


def show(plan: Plan, uploads: Preview | None) -> None:
    """Write *plan*, and what its first upload carries, on stderr."""
    volume = plan.spec.volume
    simulated = "  (simulated)" if plan.cloud.simulated else ""
    verb = {"create": "New pod", "start": "Start pod", "resume": "Running pod"}[plan.action]
    kind = "spot, ended whenever somebody pays more" if plan.spot else "on demand, never interrupted"
    rows = [
        (verb, f"{plan.name}: {plan.machine}"),
        ("Image", plan.spec.image),
        ("Price", f"{_price(plan)}{simulated}, ${plan.parked_per_month:.2f} a month while stopped"),
        ("Kind", kind),
        ("Container disk", f"{plan.spec.container_disk_gb} GB, {_disk(plan)}"),
        ("Volume", "none" if volume.kind == "none" else f"{plan.volume_gb} GB {volume.kind} at {volume.path}"),
        ("A stop keeps", plan.keeps),
        ("Sync", f"{plan.folder} -> {plan.workspace} ({plan.spec.sync.mode})"),
    ]
    if uploads is not None:
        rows += first_upload.rows(uploads)
    if plan.replaces:
        rows.insert(1, ("Why new", plan.replaces))
    if plan.network is not None:
        rows.append(("Network volume", _network(plan.network)))
    ui.facts(rows)
    if len(plan.candidates) > 1:
        ui.note("  If it cannot be had, in this order:")
        render.table(
            ["    MACHINE", "TIER", ">PRICE", "STOCK", "WHERE"],
            [
                [f"    {each.machine}", each.tier.lower(), f"${each.price_per_hour:.2f}/h", each.stock, _where(each)]
                for each in plan.candidates[1:_SHOWN_CANDIDATES]
            ],
            err=True,
        )
    if plan.network is not None and plan.network.choices:
        machines = list(plan.network.choices[0].stock)[:_SHOWN_MACHINES]
        ui.note("  Where the new volume could be; it stays where it is put:")
        render.table(
            ["    DATA CENTER", *machines],
            [
                [f"    {each.data_center}", *(each.stock[machine] for machine in machines)]
                for each in plan.network.choices[:_SHOWN_CANDIDATES]
            ],
            err=True,
        )


def _disk(plan: Plan) -> str:
    return "kept on the volume at every stop" if plan.spec.keep_disk else "wiped at every stop"


def _price(plan: Plan) -> str:
    dearest = f" (up to ${plan.highest_price:.2f}/h)" if plan.highest_price > plan.price_per_hour else ""
    return f"${plan.price_per_hour:.2f}/h{dearest}"


def _network(network: VolumePlan) -> str:
    if network.existing is None:
        return f"{network.name}, new, in {network.data_center}"
    size = f", grows from {network.before_gb} to {network.size_gb} GB" if network.grows else ""
    return f"{network.name} ({network.existing}) in {network.data_center}{size}"


def _where(candidate: Candidate) -> str:
    return ", ".join(candidate.data_centers) or "anywhere"


def with_chosen_machine(plan: Plan) -> Plan:
    """Let the person pick among the candidates, with price and stock in the choices."""
    import dataclasses

    if len(plan.candidates) < 2:
        return plan
    simulated = "  (simulated)" if plan.cloud.simulated else ""
    choices = [
        (f"{each.machine:<20} ${each.price_per_hour:.2f}/h  stock {each.stock}, {each.tier.lower()}{simulated}", each)
        for each in plan.candidates
    ]
    first = ui.choose("Which machine?", choices)
    rest = tuple(each for each in plan.candidates if each != first)
    return dataclasses.replace(plan, candidates=(first, *rest), price_per_hour=first.price_per_hour)
