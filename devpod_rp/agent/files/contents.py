"""What a scan has just read, kept for a moment."""

from __future__ import annotations

import threading
from typing import Dict, Optional, Tuple

from devpod_rp.agent.files import content


class Contents:
    """What a scan has just read, for whoever sends it next: small files, and the blocks' digests of large ones.

    At most *most_bytes*; each is taken once, which makes room for others. One thread holds, any may take.
    """

    LARGEST = 512 << 10
    _EACH = 400  # bytes that even the smallest one takes
    _LEAST_BLOCKS = 4 * content.DIGEST_BYTES

    def __init__(self, most_bytes: int = 8 << 20) -> None:
        self._most_bytes = most_bytes
        self._held: Dict[str, Tuple[str, bytes]] = {}
        self._blocks: Dict[str, Tuple[str, bytes]] = {}
        self._came = self._went = 0  # bytes
        self._lock = threading.Lock()

    def wants(self, size: int) -> bool:
        return size <= self.LARGEST and self._has_room(size)

    def hold(self, path: str, data: bytes) -> str:
        """Keep the content of a file; returns its digest."""
        self._came += len(data) + self._EACH
        digest = content.digest(data)
        self._held[path] = (digest, data)
        return digest

    def hold_blocks(self, path: str, blocks: bytes) -> str:
        """Keep the digests of a file's blocks; returns its digest."""
        digest = content.name(blocks)
        if len(blocks) >= self._LEAST_BLOCKS and self._has_room(len(blocks)):
            self._came += len(blocks) + self._EACH
            self._blocks[path] = (digest, blocks)
        return digest

    def take(self, path: str, digest: str) -> Optional[bytes]:
        """The content of *path* if what was read is the version that *digest* names."""
        return self._taken(self._held, path, digest)

    def take_blocks(self, path: str, digest: str) -> Optional[bytes]:
        """The digests of its blocks, likewise."""
        return self._taken(self._blocks, path, digest)

    def _has_room(self, size: int) -> bool:
        return self._came - self._went + size + self._EACH <= self._most_bytes

    def _taken(self, held: Dict[str, Tuple[str, bytes]], path: str, digest: str) -> Optional[bytes]:
        found = held.pop(path, None)
        if found is None:
            return None
        with self._lock:
            self._went += len(found[1]) + self._EACH
        return found[1] if found[0] == digest else None
