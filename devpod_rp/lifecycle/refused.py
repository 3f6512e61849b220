"""A stopped pod whose host has no free GPU: what can be done about it, what it costs and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp.environments import Environment
from devpod_rp.errors import NoCapacityError
from devpod_rp.lifecycle.market.plan import rank

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.spec.model import EnvironmentSpec


@dataclass(frozen=True)
class Choice:
    """One way on: the *command* that takes it, *what* it does, USD per hour (None: unknown) and how long it takes."""

    command: str
    what: str
    price_per_hour: float | None
    time: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


class StartRefused(NoCapacityError):
    """The pod's host has no free GPU; the pod and its volume are untouched. *choices* are the ways on."""

    kind = "start-refused"

    def __init__(self, environment: Environment, reason: str, choices: tuple[Choice, ...]) -> None:
        super().__init__(
            f"Pod {environment.pod_id} cannot start on its host: {reason}. Its volume is untouched.",
            hint=f"one of the above; for next time: --volume network:{environment.name}:"
            f"{environment.volume.size_gb or 50} lets the pod come up on any host.",
        )
        self.choices = choices

    def details(self) -> list[str]:
        return [f"{each.command}: {each.what} ({_price(each)}, {each.time})" for each in self.choices]

    def as_json(self) -> dict[str, object]:
        document = super().as_json()
        assert isinstance(document["error"], dict)
        document["error"]["choices"] = [each.as_json() for each in self.choices]
        return document


def choices(environment: Environment, spec: EnvironmentSpec, price_per_hour: float, client: RunPod) -> list[Choice]:
    """The ways on for the refused start of *environment*, which costs *price_per_hour* (USD) when it runs."""
    name = environment.name
    found = [
        Choice(
            f"devpod-rp up {name} --wait-capacity 30m",
            "ask until its host has a free GPU again",
            price_per_hour,
            "as long as somebody else keeps it",
        )
    ]
    if environment.volume.kind != "disk":
        return found
    found.append(
        Choice(
            f"devpod-rp up {name} --without-gpu",
            "start it without a GPU, to look at its files, fetch or save them",
            None,
            "a minute or two",
        )
    )
    try:
        best = rank(spec, client).candidates[0]
    except NoCapacityError:
        return found
    found.append(
        Choice(
            f"devpod-rp move {name}",
            f"a new pod ({best.machine}) elsewhere, with the volume's files copied through this machine",
            best.price_per_hour,
            f"minutes, plus up to {environment.volume.size_gb} GB through your network twice",
        )
    )
    return found


def _price(choice: Choice) -> str:
    return "price as for a CPU pod" if choice.price_per_hour is None else f"${choice.price_per_hour:.2f}/h"
