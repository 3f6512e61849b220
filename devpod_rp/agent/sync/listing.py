"""What a folder holds in one short word, so that two ends find out where they differ without telling each other all."""

from __future__ import annotations

import hashlib
import json
from typing import Any, List

Child = List[Any]
"""[name, stamp] of a file, [name, target] of a link, [name, None] of a folder."""


def digest(children: List[Child]) -> str:
    """The word for a folder with these *children*."""
    listed = json.dumps(sorted(children, key=lambda child: child[0]), separators=(",", ":"))
    return hashlib.blake2b(listed.encode("ascii"), digest_size=12).hexdigest()
