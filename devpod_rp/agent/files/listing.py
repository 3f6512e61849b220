"""What a folder holds in one short word, so that two ends find out where they differ without telling each other all."""

from __future__ import annotations

import hashlib
from typing import Dict, List, Tuple

_WORD_BYTES = 12


class Inside:
    """What is directly in a folder: *folders*, *links* (name and target) and *files* (name -> bytes of its stamp)."""

    __slots__ = ("files", "folders", "links")

    def __init__(self) -> None:
        self.folders: List[str] = []
        self.links: List[Tuple[str, str]] = []
        self.files: Dict[str, bytes] = {}

    def word(self) -> bytes:
        digest = hashlib.blake2b(digest_size=_WORD_BYTES)
        # Names hold no NUL and stamps have one length, so no two folders are spelt alike.
        for name in sorted(self.folders):
            digest.update(_bytes(name) + b"/\0")
        for name, target in sorted(self.links):
            digest.update(_bytes(name) + b"\0\0" + _bytes(target) + b"\0")
        names = sorted(self.files)
        digest.update(_bytes("\0".join(names)) + b"\0\0" + b"".join([self.files[name] for name in names]))
        return digest.digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
