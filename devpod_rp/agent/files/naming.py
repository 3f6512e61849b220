"""A name that nothing has yet."""

from __future__ import annotations

import os


def unused(path: str) -> str:
    """*path*, or the first of ``path-2``, ``path-3``, … that does not exist."""
    candidate, number = path, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = "{0}-{1}".format(path, number)
    return candidate
