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

    An exact id or name wins; then the shortest name that contains every typed word, so ``4090`` is the RTX 4090 and
    not its laptop sibling.

    Raises:
        UnknownGpu: nothing matches, or several different types match equally well.
    """
    types = list(known)
    wanted = _squeezed(typed)
    for gpu_id, name in types:
        if wanted and wanted in (_squeezed(gpu_id), _squeezed(name)):
            return gpu_id
    words = _words(typed)
    matches = sorted({(len(_squeezed(name)), gpu_id) for gpu_id, name in types if words and _all_in(words, name)})
    if matches and (len(matches) == 1 or matches[0][0] < matches[1][0]):
        return matches[0][1]
    names = dict(types)
    if matches:
        raise UnknownGpu(
            f"{typed!r} could be several GPU types.", hint="say which: " + ", ".join(names[each] for _, each in matches)
        )
    raise UnknownGpu(f"There is no GPU type {typed!r}.", hint=_nearest(typed, names.values()))


def _nearest(typed: str, names: Iterable[str]) -> str:
    by_key = {_squeezed(name): name for name in names}
    close = difflib.get_close_matches(_squeezed(typed), by_key, n=3, cutoff=0.3)
    listed = "devpod-rp gpus lists them all."
    return f"did you mean {', '.join(by_key[key] for key in close)}? {listed}" if close else listed


def _words(name: str) -> list[str]:
    """The letters-or-digits runs that matter: ``rtx4090`` and ``RTX 4090`` give the same."""
    found = re.findall(r"[a-z]+\d*[a-z]*|\d+[a-z]*", re.sub(r"(rtx|gtx)(?=\d|a\d|pro)", r"\1 ", name.lower()))
    return [word for word in found if word not in _FILLERS]


def _all_in(words: list[str], name: str) -> bool:
    present = _words(name)
    return all(word in present for word in words)


def _squeezed(name: str) -> str:
    return "".join(_words(name))
