"""``devpod-rp doctor``."""

from __future__ import annotations

import click

from devpod_rp.cli import render
from devpod_rp.cli.options import cloud_option, json_option
from devpod_rp.errors import ExitCode


@click.command()
@cloud_option
@json_option
def doctor(cloud: str | None, as_json: bool) -> int:
    """Check this machine and say how to fix it; exit code 3 if something is wrong."""
    from devpod_rp.lifecycle.doctor.health import examine

    findings = examine(cloud)
    well = all(each.ok for each in findings)
    if as_json:
        render.document({"ok": well, "checks": [each.as_json() for each in findings]})
    else:
        for each in findings:
            click.echo(f"{'ok ' if each.ok else 'BAD'} {each.check}: {each.found}")
            if not each.ok and each.fix:
                click.echo(f"    fix: {each.fix}")
    return int(ExitCode.DONE if well else ExitCode.CONFIGURATION)
