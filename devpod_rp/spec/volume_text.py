"""``--volume``: a volume in one word. Pure."""

from __future__ import annotations

from typing import Any

_KINDS = ("disk", "network", "none")


def volume_flags(text: str) -> dict[str, Any]:
    """The keys that ``KIND[:NAME][:GB]`` sets: ``network:data:20``, ``network:data``, ``disk:100``, ``none``.

    Raises:
        ValueError: it does not read like that.
    """
    kind, *rest = text.split(":")
    form = "write it like network:data:20, disk:100 or none"
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of volume; {form}")
    flags: dict[str, Any] = {"volume.kind": kind}
    if rest and rest[-1].isdecimal():
        flags["volume.size_gb"] = int(rest.pop())
    if rest and kind == "network" and rest[0]:
        flags["volume.name"] = rest.pop(0)
    if rest or (kind == "none" and len(flags) > 1):
        raise ValueError(f"{text!r} is no volume; {form}")
    return flags
