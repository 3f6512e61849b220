"""What ends an environment's pod by itself: the spec's limits and what its user planned, handed to the watchdog there.

The plan (a snooze, a stop at a time) is kept beside the record, so that it outlives keeper and laptop; it belongs to
one run of one pod and is void for the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp import environments, paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.watchdog.limits import STOP, Limits
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.account import clouds
from devpod_rp.lifecycle.furnishing import disks
from devpod_rp.lifecycle.money import prices
from devpod_rp.lifecycle.risk import look
from devpod_rp.spec import durations

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

KEYS = ("idle_stop", "max_runtime", "max_cost", "lid_stop")
"""The keys of the spec that are limits."""

ACCEPTED = "accepted"
_STOPPED = ("EXITED", "HIBERNATED")


@dataclass(frozen=True)
class PlannedStop:
    """What the user said about this run beyond the spec; moments as Unix time."""

    snooze_until: float | None = None
    stop_at: float | None = None


@dataclass(frozen=True)
class Watch:
    """Who watches over the limits: *in_pod* is whether the pod can stop itself, else *refusal* says why it cannot."""

    limits: Limits
    in_pod: bool
    refusal: str | None = None

    @property
    def spoken(self) -> str:
        """The limits in words."""
        limits = self.limits
        words = [
            f"{what} {durations.spoken(seconds)}"
            for what, seconds in (
                ("unused for", limits.idle_seconds),
                ("after", limits.runtime_seconds),
                ("without this machine for", limits.lid_seconds),
            )
            if seconds is not None
        ]
        if limits.cost_usd is not None:
            words.append(f"at ${limits.cost_usd:.2f}")
        if limits.stop_at is not None:
            words.append(f"at {time.strftime('%Y-%m-%d %H:%M', time.localtime(limits.stop_at))}")
        return ", ".join(words) or "never"

    def explained(self, watchdog: Mapping[str, Any] | None) -> str:
        """The limits, and what the watchdog said of them last."""
        if not self.limits.any or watchdog is None:
            return self.spoken
        held = f"; it runs on, because {watchdog['held']}" if watchdog["held"] else ""
        return f"{self.spoken} ({watchdog['reason']}{held})"

    def as_json(self) -> dict[str, Any]:
        return {**self.limits._asdict(), "in_pod": self.in_pod, "refusal": self.refusal}


def limits_of(environment: Environment) -> Limits:
    """The limits that hold for the present run of *environment*."""
    spec, plan = environment.spec, planned(environment)

    def seconds(key: str) -> float | None:
        text = spec.get(key)
        return durations.seconds(text) if text else None

    return Limits(
        idle_seconds=seconds("idle_stop"),
        runtime_seconds=seconds("max_runtime"),
        cost_usd=spec.get("max_cost"),
        lid_seconds=seconds("lid_stop"),
        usd_per_hour=prices.of(environment).running_per_hour,
        snooze_until=plan.snooze_until,
        stop_at=plan.stop_at,
    )


def deliver(environment: Environment, link: AgentLink) -> Watch:
    """Give the watchdog in the pod its orders, starting or ending it as they need.

    Raises:
        UnreachableError: the link broke. AgentRefused: the pod cannot keep a watchdog.
    """
    from devpod_rp.guard import rules
    from devpod_rp.pod import bootstrap

    limits = limits_of(environment)
    table = rules.of_spec(environment.spec)
    orders = {
        "api_url": clouds.of_environment(environment).url,
        "volume": look.volume_path(environment),
        "limits": limits._asdict(),
        "no_loss": rules.no_loss(table),
        "noting": rules.noting(environment.name, table),
        "keeper_leads": environment.spec["sync"]["enabled"],
        "keep": disks.wire_order(environment),
    }
    body = bootstrap.watchdog_program() if limits.any else b""
    key = link.call("watchdog.order", body, orders=orders).header["key"]
    return Watch(limits, key == ACCEPTED, None if key in (ACCEPTED, None) else str(key))


def last_word_file(name: str) -> Path:
    """Where the keeper writes what the watchdog said last."""
    return paths.environment_dir(name) / "watchdog.json"


def why_stopped(environment: Environment) -> str | None:
    """Which limit stopped the pod, if one did while the keeper looked on; the pod's log tells it in any case."""
    file = last_word_file(environment.name)
    if environment.status not in _STOPPED or not file.exists():
        return None
    state = json.loads(file.read_bytes())
    return str(state["reason"]) if state["action"] == STOP else None


def planned(environment: Environment) -> PlannedStop:
    """What was planned for the present run; nothing if the plan was made for another."""
    file = paths.environment_dir(environment.name) / "planned-stop.json"
    if not file.exists():
        return PlannedStop()
    document = json.loads(file.read_bytes())
    return PlannedStop(**document["plan"]) if document["run"] == _run(environment) else PlannedStop()


def snooze(environment: Environment, seconds: float, *, clock: Callable[[], float] = time.time) -> PlannedStop:
    """Let neither idleness nor runtime stop the pod for *seconds*."""
    return _plan(environment, replace(planned(environment), snooze_until=clock() + seconds))


def stop_at(environment: Environment, moment: float | None) -> PlannedStop:
    """Stop the pod at *moment* (Unix time), None: no longer."""
    return _plan(environment, replace(planned(environment), stop_at=moment))


def with_limits(environment: Environment, spec: Mapping[str, Any]) -> Environment:
    """The record (not saved) with the limits of *spec*; they may change while the pod runs."""
    return replace(environment, spec={**environment.spec, **{key: spec[key] for key in KEYS}})


def _plan(environment: Environment, plan: PlannedStop) -> PlannedStop:
    document = {"run": _run(environment), "plan": asdict(plan)}
    write_atomically(
        paths.environment_dir(environment.name) / "planned-stop.json", json.dumps(document).encode("ascii")
    )
    return plan


def _run(environment: Environment) -> str:
    """What tells one run from another."""
    return f"{environment.pod_id} {environment.run}"


def deliver_again(name: str) -> Watch:
    """Hand the present limits to the pod over a connection of its own.

    Raises:
        UnreachableError: the pod cannot be reached; the keeper delivers them when it can.
    """
    from devpod_rp.lifecycle.reach import connect

    environment = environments.load(name)
    with connect.open_link(environment) as link:
        return deliver(environment, link)
