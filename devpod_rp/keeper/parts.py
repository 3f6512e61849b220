"""What a keeper is made of. ``__main__`` puts the real parts together; tests bring their own where it matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from devpod_rp.environments import Environment, Forward
from devpod_rp.errors import UsageError
from devpod_rp.keeper.clock import Clock, SystemClock
from devpod_rp.keeper.overseer import Oversight
from devpod_rp.keeper.state import Timing
from devpod_rp.keeper.tunnels import Serve

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.sync.session import Session
    from devpod_rp.sync.watch import Batch


class Watching(Protocol):
    """A watcher at work, armed when it is made; ``devpod_rp.sync.watch.Watcher`` is one."""

    @property
    def problem(self) -> str | None:
        """Why a part of the folder is not watched, if so."""

    def catch_up(self, seconds: float, /) -> bool:
        """Deliver everything that happened before this call; False when that could not be made sure."""

    def refresh(self) -> None:
        """The rules have changed: watch what takes part from now on."""

    def close(self) -> None: ...


Keep = Callable[[str, bool], bool]
Deliver = Callable[["Batch"], None]


def no_services(_environment: Environment, _link: AgentLink, forward: Forward, _say: Callable[[str], None]) -> int:
    raise UsageError(f"This keeper brings up no {forward.service}.")


def no_credentials(_environment: Environment, _question: Mapping[str, str]) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Parts:
    """The edges of a keeper.

    *refresh* asks the cloud where the pod is now and returns the record, saved; it never starts a pod. *revive*
    brings back a spot pod that the market ended, and no other. *notify* shows a title and a text to whoever looks
    elsewhere. *watch* raises OSError when the folder cannot be watched. Without *oversight* nobody here enforces the
    pod's limits. *credentials* answers git on the pod.
    """

    open_session: Callable[[Environment], Session]
    watch: Callable[[Path, Keep, Deliver], Watching]
    refresh: Callable[[Environment], Environment]
    revive: Callable[[Environment], Environment]
    open_link: Callable[[Environment], AgentLink]
    notify: Callable[[str, str], None]
    clock: Clock = field(default_factory=SystemClock)
    timing: Timing = field(default_factory=Timing)
    oversight: Oversight | None = None
    serve: Serve = no_services
    credentials: Callable[[Environment, Mapping[str, str]], dict[str, str]] = no_credentials
