"""GPU names as people type them: ``4090``, ``rtx4090``, ``H100 SXM``. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from devpod_rp.errors import ConfigurationError

# Words that add nothing when people name a GPU; the catalog writes them in some names and not in others.
_FILLERS = {"nvidia", "geforce", "amd", "instinct", "gpu", "generation", "tensor", "core"}


class UnknownGpu(ConfigurationError):
    """A name that matches no GPU type; the hint lists the nearest."""

    kind = "unknown-gpu"


def match_gpu(typed: str, known: Iterable[tuple[str, str]]) -> str:
    """The id of the GPU type that *typed* means, among *known* pairs of (id, display name).

    An exact id or name wins; then what has every typed word in its name or id. Of several, the one whose name is the
    others' without their extra words: ``3080`` is the RTX 3080, not the 3080 Ti. ``A100`` is nobody's full name, and
    choosing PCIe or SXM would be choosing the price, so that is refused.

    Raises:
        UnknownGpu: nothing matches, or several different types match equally well.
    """
    types = list(known)
    wanted = _squeezed(typed)
    for gpu_id, name in types:
        if wanted and wanted in (_squeezed(gpu_id), _squeezed(name)):
            return gpu_id
    words = set(_words(typed))
    matches = [pair for pair in types if words and words <= {*_words(pair[0]), *_words(pair[1])}]
    for gpu_id, name in matches:
        if all(set(_words(name)) <= set(_words(other)) for _, other in matches):
            return gpu_id
    if matches:
        listed = ", ".join(name for _, name in matches)
        raise UnknownGpu(f"{typed!r} could be several GPU types.", hint=f"say which: {listed}.")
    raise UnknownGpu(f"There is no GPU type {typed!r}.", hint=_nearest(typed, [name for _, name in types]))


def _nearest(typed: str, names: Iterable[str]) -> str:
    by_key = {_squeezed(name): name for name in names}
    close = difflib.get_close_matches(_squeezed(typed), by_key, n=3, cutoff=0.3)
    listed = "devpod-rp gpus lists them all."
    return f"did you mean {', '.join(by_key[key] for key in close)}? {listed}" if close else listed


def _words(name: str) -> list[str]:
    """The letters-or-digits runs that matter: ``rtx4090`` and ``RTX 4090`` give the same."""
    found = re.findall(r"[a-z]+\d*[a-z]*|\d+[a-z]*", re.sub(r"(rtx|gtx)(?=\d|a\d|pro)", r"\1 ", name.lower()))
    return [word for word in found if word not in _FILLERS]


def _squeezed(name: str) -> str:
    return "".join(_words(name))
