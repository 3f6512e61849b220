"""How much a stop would destroy at this moment, asked over a link that is open anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle.risk import look

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink


@dataclass(frozen=True)
class Stake:
    """Files that exist only on the container disk; *cpu_seconds* is what looking cost in the pod."""

    files: int
    bytes: int
    cpu_seconds: float


def stake(environment: Environment, link: AgentLink) -> Stake:
    """Count what is at risk, and note what is installed, at the lowest priority and beside whatever the agent does.

    Raises:
        DevpodError: the agent cannot look, or is gone.
    """
    from devpod_rp.guard import rules

    found: Stake | None = None
    table = rules.of_spec(environment.spec)
    no_loss, noting = rules.no_loss(table), rules.noting(environment.name, table)
    for frame in link.stream("stakes.look", volume=look.volume_path(environment), no_loss=no_loss, noting=noting):
        if "files" in frame.header:
            header = frame.header
            found = Stake(int(header["files"]), int(header["bytes"]), float(header["cpu_seconds"]))
    if found is None:
        raise UnreachableError("The agent's answer about files at risk ended early.")
    return found
