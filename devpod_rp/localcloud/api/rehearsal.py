"""A create that goes as the rehearsed script has it: refused, dearer than quoted, twice, or made and never answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from devpod_rp.localcloud import problems
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.problems import Problem
from devpod_rp.localcloud.records import Pod

_DEARER = 1.5
_REFUSALS: Mapping[str, Callable[[], Problem]] = {
    "no-capacity": problems.no_capacity,
    "forbidden": problems.forbidden,
    "insufficient-balance": problems.insufficient_balance,
    "server-error": lambda: Problem(503, "Something went wrong. Please try again later or contact support."),
}


def rehearsed(cloud: Cloud, make: Callable[[float], Pod]) -> Pod:
    """What *make*, given the factor on the price, makes; unless the script has something else for this create."""
    step = cloud.next_create_step()
    if step in _REFUSALS:
        raise _REFUSALS[step]()
    pod = make(_DEARER if step == "dearer" else 1.0)
    if step == "double":
        make(1.0)
    if step == "lost-answer":
        raise Problem(502, "Bad gateway: the response was lost.")
    return pod
