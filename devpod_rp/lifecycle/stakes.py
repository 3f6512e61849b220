"""How much a stop would destroy at this moment, asked over a link that is open anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle import look

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink


@dataclass(frozen=True)
class Stake:
    """Files that exist only on the container disk; *cpu_seconds* is what looking cost in the pod."""

    files: int
    bytes: int
    cpu_seconds: float


def stake(environment: Environment, link: AgentLink) -> Stake:
    """Count what is at risk, at the lowest priority and beside whatever the agent does otherwise.

    Raises:
        DevpodError: the agent cannot look, or is gone.
    """
    from devpod_rp.guard import rules

    found: Stake | None = None
    tables = rules.no_loss(rules.builtin())
    for frame in link.stream("stakes.look", volume=look.volume_path(environment), no_loss=tables):
        if "files" in frame.header:
            header = frame.header
            found = Stake(int(header["files"]), int(header["bytes"]), float(header["cpu_seconds"]))
    if found is None:
        raise UnreachableError("The agent's answer about files at risk ended early.")
    return found
