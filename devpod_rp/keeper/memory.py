"""How the keeper's process deals with memory: it lives for days, and what it needs in a moment of much is to be given
back."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 2 << 20
_KEPT_BYTES = 8 << 20


def keep_small() -> None:
    """Call it once, when everything is imported.

    What cycles build is large, short-lived and without cycles of references, so the garbage collector looks through it
    less often. And where the C library is glibc (see mallopt(3)), large blocks always come from the system and go back
    to it: left alone, it keeps ever larger ones after the first was freed, and they leave holes. Neither a batch of
    files is large nor a part of a large file: memory that is new from the system costs a third of what compressing it
    does. Threads share one arena, because only one of them runs at a time.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Much was done, and what it needed is free now: let the system have it, see malloc_trim(3). Takes milliseconds."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
