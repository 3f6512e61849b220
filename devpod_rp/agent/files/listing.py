"""What a folder holds in one short word, so that two ends find out where they differ without telling each other all."""

from __future__ import annotations

import hashlib
from typing import List, Tuple

from devpod_rp.agent.files.stamps import Stamp

_WORD_BYTES = 12


class Inside:
    """What is directly in a folder: *folders*, *links* (name and target) and *files* (name and stamp)."""

    __slots__ = ("files", "folders", "links")

    def __init__(self) -> None:
        self.folders: List[str] = []
        self.links: List[Tuple[str, str]] = []
        self.files: List[Tuple[str, Stamp]] = []

    def word(self) -> bytes:
        digest = hashlib.blake2b(digest_size=_WORD_BYTES)
        # Names hold no NUL and stamps have one length, so no two folders are spelt alike.
        for name in sorted(self.folders):
            digest.update(_bytes(name) + b"/\0")
        for name, target in sorted(self.links):
            digest.update(_bytes(name) + b"\0\0" + _bytes(target) + b"\0")
        digest.update(b"".join([part for name, stamp in sorted(self.files) for part in (_bytes(name), b"\0", stamp)]))
        return digest.digest()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
