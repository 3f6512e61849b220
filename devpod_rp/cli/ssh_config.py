"""``devpod-rp ssh-config``: what we have in the user's SSH configuration, and taking it out again."""

from __future__ import annotations

import click

from devpod_rp.cli import render
from devpod_rp.cli.options import json_option


@click.group("ssh-config")
def ssh_config() -> None:
    """Our hosts in your SSH configuration."""


@ssh_config.command("show")
@json_option
def show(as_json: bool) -> None:
    """The line in your SSH configuration, and the hosts behind it."""
    from devpod_rp import paths
    from devpod_rp.ssh import config_file

    ours, users = paths.ssh_hosts_file(), paths.user_ssh_config()
    hosts = ours.read_text(encoding="utf-8") if ours.exists() else ""
    included = config_file.is_included()
    if as_json:
        render.document(
            {
                "user_config": str(users),
                "include_line": config_file.include_line(),
                "included": included,
                "hosts_file": str(ours),
                "hosts": [line.split()[1] for line in hosts.splitlines() if line.startswith("Host ")],
            }
        )
        return
    state = "at its top" if included else "missing; devpod-rp up adds it"
    render.facts([(str(users), f"{config_file.include_line()}  ({state})"), (str(ours), "" if hosts else "not there")])
    click.echo(hosts, nl=False)


@ssh_config.command("remove")
@json_option
def remove(as_json: bool) -> None:
    """Take everything of ours out again; the next up writes it anew."""
    from devpod_rp import paths
    from devpod_rp.lifecycle.reach import hosts

    removed = hosts.remove_ssh_config()
    if as_json:
        render.document({"removed": removed, "user_config": str(paths.user_ssh_config())})
    elif removed:
        click.echo(f"{paths.user_ssh_config()} is as if we had never been there. devpod-rp up writes our line again.")
    else:
        click.echo("There was nothing of ours.")
