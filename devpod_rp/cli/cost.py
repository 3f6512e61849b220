"""``cost``: what was spent, per environment and day, and how long the money lasts."""

from __future__ import annotations

import click

from devpod_rp.cli import render, ui
from devpod_rp.cli.options import cloud_option, json_option


@click.command()
@click.option(
    "--days", type=click.IntRange(1, 365), default=7, show_default=True, help="How many days, today included."
)
@cloud_option
@json_option
def cost(days: int, cloud: str | None, as_json: bool) -> None:
    """What was spent per environment and day (UTC), and how long the balance lasts.

    From the cloud's bills, and from our own ledger for the last hour or two that are not billed yet.
    """
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.money import bills

    where = clouds.choose(cloud)
    with clouds.client(where) as client:
        account = bills.account(where.name, client, days=days)
    if as_json:
        render.document({"cloud": where.name, **account.as_json()})
        return
    simulated = "  (simulated)" if account.simulated else ""
    if account.rows:
        rows = [
            [row.day.isoformat(), row.name, *map(_dollars, (row.amount.compute, row.amount.storage, row.amount.total))]
            for row in account.rows
        ]
        render.table(["DAY", "ENVIRONMENT", ">MACHINE", ">DISKS", ">TOTAL"], rows)
    total = sum(row.amount.total for row in account.rows)
    click.echo(f"Spent in {days} days: ${total:.2f}{simulated}")
    click.echo(f"Balance: {account.runway.spoken}{simulated}")
    for warning in account.runway.warnings:
        ui.note(f"warning: {warning}")
    if account.unbilled:
        ui.note(f"warning: the bills could not be read, so this is our own ledger alone: {account.unbilled}")


def _dollars(amount: float) -> str:
    return f"${amount:.2f}"
