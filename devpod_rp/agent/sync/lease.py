"""Which machine synchronises with a folder: its word lies beside the folder's identity and is kept fresh by the agent.

Two machines that both believe to be the only one would undo each other's work in turns.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Iterator, Tuple

from devpod_rp.agent.sync.leases import LEASES, Word
from devpod_rp.agent.sync.roots import Area
from devpod_rp.agent.wire import Refusal, Request

_LONGEST = 500


def claim(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``lease.claim {root, state, owner, who, take}``: *owner* is the one that synchronises from now on.

    The answer's *other* is null, or ``{who}``: another one does, and gave a sign of life lately. With *take* its lease
    is ours nevertheless; it finds out when it claims again.
    """
    owner, who = request.header.get("owner"), request.header.get("who")
    if not isinstance(owner, str) or not 16 <= len(owner) <= 64 or not isinstance(who, str) or len(who) > _LONGEST:
        raise Refusal("bad-request", "a lease has an owner of 16 to 64 characters, and a name of at most 500")
    mine = Word(owner, who, time.time())
    other = LEASES.claim(_path(request), mine, bool(request.header.get("take")))
    yield {"other": None if other is None else {"who": other.who}}, b""


def release(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``lease.release {root, state}``: another machine may synchronise at once."""
    LEASES.release(_path(request))
    yield {}, b""


def _path(request: Request) -> str:
    return os.fsdecode(Area(request.header).lease)


OPERATIONS = {"lease.claim": claim, "lease.release": release}
