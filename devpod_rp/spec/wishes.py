"""What people wish for when they name machines: one GPU type, or anything with enough memory. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from devpod_rp.spec.gpu_names import match_gpu

_ANY = re.compile(r"any(?:\s*>=?\s*(\d+)\s*(?:g|gb|gib)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class KnownGpu:
    """A GPU type of the catalog; *memory_gb* is the VRAM of one GPU."""

    id: str
    name: str
    memory_gb: int


def smallest_memory_gb(wish: str) -> int | None:
    """The VRAM that ``any>=24GB`` asks for; 0 for a bare ``any``, None for a wish that names a GPU type.

    Raises:
        ValueError: it begins like such a wish and does not read like one.
    """
    text = wish.strip()
    match = _ANY.fullmatch(text)
    if match:
        return int(match[1] or 0)
    if re.match(r"any\b", text, re.IGNORECASE):
        raise ValueError(f"{wish!r} is no wish; write it like any>=24GB")
    return None


def granted(wish: str, known: Sequence[KnownGpu]) -> Iterable[KnownGpu]:
    """The GPU types among *known* that *wish* admits; a name admits exactly one.

    Raises:
        UnknownGpu: the name matches no type, or several.
    """
    floor = smallest_memory_gb(wish)
    if floor is not None:
        return [gpu for gpu in known if gpu.memory_gb >= floor]
    wanted = match_gpu(wish, [(gpu.id, gpu.name) for gpu in known])
    return [gpu for gpu in known if gpu.id == wanted]
