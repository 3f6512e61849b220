"""From an environment's record to a conversation with the agent in its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devpod_rp import paths
from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.waking import KEEPALIVE_SECONDS

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.ssh.connection import Connection


def open_connection(environment: Environment, keepalive_seconds: float = KEEPALIVE_SECONDS) -> Connection:
    """An SSH connection to the pod, its host key checked against the pinned one; see `Connection.open`.

    Raises:
        UnreachableError: there is no address yet, nobody answers, or somebody else does.
    """
    from devpod_rp.ssh.connection import Address, Connection
    from devpod_rp.ssh.known_hosts import HostKey

    if environment.ssh is None or environment.host_key is None:
        raise UnreachableError(
            f"{environment.name} has no SSH address: it is {environment.status}.",
            hint=f"devpod-rp up {environment.name} brings it up.",
        )
    address = Address(environment.ssh.host, environment.ssh.port, environment.ssh.user)
    kind, base64 = environment.host_key.split()[:2]
    host_key = HostKey(kind, base64)
    return Connection.open(address, paths.ssh_identity(), host_key, keepalive_seconds=keepalive_seconds)


def open_link(environment: Environment, keepalive_seconds: float = KEEPALIVE_SECONDS) -> AgentLink:
    """The agent in the pod, started over a new SSH connection; closing the link closes the connection."""
    from devpod_rp.pod.link import AgentLink

    return AgentLink.open(open_connection(environment, keepalive_seconds))
