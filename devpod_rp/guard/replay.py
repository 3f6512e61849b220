"""What a stop takes and a command brings back: noted on the volume while the pod runs, brought back on the next one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from devpod_rp.errors import DevpodError, printable
from devpod_rp.guard.classify import Rebuildable
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress, silent

_SHOWN = 100


class ReplayRefused(DevpodError):
    """The agent could not read or write the note of what was installed."""

    kind = "replay-refused"


@dataclass(frozen=True)
class Offer:
    """What this container lacks of what the one before had, and the *commands* that bring it back, in their order.

    *answer* is what was said to it in this container: "done", "declined", "forgotten", or None.
    """

    commands: tuple[str, ...]
    packages: tuple[Rebuildable, ...]
    answer: str | None = None


@dataclass(frozen=True)
class Replayed:
    """How an offer ended. *state* is "none" (there was nothing to bring back), "offered", "declined" or "done".

    *failed* says why each of those that are still missing is.
    """

    state: str = "none"
    offered: tuple[Rebuildable, ...] = ()
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return {
            "state": self.state,
            "offered": [each.as_json() for each in self.offered],
            "done": list(self.done),
            "failed": [{"name": name, "reason": reason} for name, reason in self.failed.items()],
        }


def note(link: AgentLink, volume_path: str, name: str, found: Iterable[Rebuildable]) -> None:
    """Note for environment *name* that *found* is all that was installed in this container.

    Raises:
        ReplayRefused: the volume does not take it.
    """
    body = json.dumps([asdict(each) for each in found]).encode("ascii")
    try:
        link.call("replay.note", body, volume=volume_path, name=name)
    except AgentRefused as refused:
        raise ReplayRefused(f"What is installed could not be noted on the volume: {refused.message}") from refused


def offer(link: AgentLink, volume_path: str, name: str) -> Offer:
    """Raises ReplayRefused where the note cannot be read."""
    try:
        frame = link.call("replay.offer", volume=volume_path, name=name)
    except AgentRefused as refused:
        raise ReplayRefused(f"What was installed before cannot be told: {refused.message}") from refused
    body: dict[str, Any] = json.loads(frame.body)
    packages = tuple(Rebuildable(**each) for each in body["packages"])
    return Offer(tuple(body["commands"]), packages, frame.header["answer"])


def decline(link: AgentLink, volume_path: str, name: str, *, forget: bool) -> None:
    """This container goes without what was offered; with *forget* all later ones do, too."""
    link.call("replay.decline", volume=volume_path, name=name, forget=forget)


def run(link: AgentLink, volume_path: str, name: str, progress: Progress = silent) -> Replayed:
    """Bring back what is missing; look at its *failed*.

    Raises:
        ReplayRefused: the note cannot be read.
    """
    outcome: dict[str, Any] = {}
    try:
        for frame in link.stream("replay.run", volume=volume_path, name=name):
            if frame.body:
                outcome = json.loads(frame.body)
                continue
            step = frame.header
            command = printable(str(step["command"]))
            shown = command if len(command) <= _SHOWN else command[: _SHOWN - 1] + "…"
            progress(Event("replay", f"On the pod: {shown}", int(step["step"]) - 1, int(step["of"]), "steps"))
    except AgentRefused as refused:
        raise ReplayRefused(f"What was installed before was not brought back: {refused.message}") from refused
    return Replayed("done", done=tuple(outcome["done"]), failed=dict(outcome["failed"]))
