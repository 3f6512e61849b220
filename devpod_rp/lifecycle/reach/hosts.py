"""Our SSH configuration as a whole: one Host per environment that has ever had an address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from devpod_rp import environments, paths
from devpod_rp.environments import Environment, SshEndpoint

if TYPE_CHECKING:
    from devpod_rp.ssh.config_file import HostEntry


def write_ssh_config() -> None:
    """Rewrite our hosts file from the records and make sure the user's configuration includes it.

    Raises:
        ConfigurationError: the user's SSH configuration cannot be written; the error carries the line to add by hand.
    """
    from devpod_rp.ssh import config_file

    config_file.write_hosts(_entries())
    config_file.ensure_include()


def refresh_hosts() -> None:
    """Rewrite our hosts file from the records, unless ``ssh-config remove`` took it away; no file of the user changes.

    Raises:
        ConfigurationError: the disk refuses.
    """
    from devpod_rp.ssh import config_file

    if paths.ssh_hosts_file().exists():
        config_file.write_hosts(_entries())


def forget(name: str) -> None:
    """Remove the environment's pinned host key and its Host entry; the last one takes the Include line along."""
    from devpod_rp.ssh import config_file, known_hosts

    known_hosts.forget(name)
    refresh_hosts()
    if not environments.all_environments():
        config_file.remove_include()


def remove_ssh_config() -> bool:
    """Take our Include out of the user's SSH configuration and remove our hosts file; whether anything was there.

    Raises:
        ConfigurationError: a file cannot be changed.
    """
    from devpod_rp.ssh import config_file

    there = paths.ssh_hosts_file().exists()
    outcome = config_file.remove_include()
    config_file.remove_hosts()
    return there or outcome is not config_file.Outcome.UNCHANGED


def _entries() -> Iterator[HostEntry]:
    """The entries, read when the writer holds its lock, so that a concurrent command's host is not lost."""
    for environment in environments.all_environments():
        if environment.ssh is not None:
            yield _entry(environment, environment.ssh)


def _entry(environment: Environment, ssh: SshEndpoint) -> HostEntry:
    from devpod_rp.ssh.address import Address
    from devpod_rp.ssh.config_file import HostEntry
    from devpod_rp.ssh.known_hosts import host_key_alias

    return HostEntry(
        alias=environment.host_alias,
        address=Address(ssh.host, ssh.port, ssh.user),
        identity=paths.ssh_identity(),
        known_hosts=paths.known_hosts_file(environment.name),
        host_key_alias=host_key_alias(environment.name),
        stopped=environment.status != "RUNNING",
        on_demand=environment.name if environment.spec.get("auto_start") else None,
        forward_agent=bool(environment.spec.get("forward_agent")),
    )
