"""Headers of a tar archive, so that ``tar`` alone gets at what is kept: POSIX ustar, and pax where that is too narrow.

The formats: pax(1p) of POSIX.1-2017, "ustar Interchange Format" and "pax Extended Header"; GNU tar's manual, "Storing
Sparse Files" (format 1.0) and its binary numbers. Times are whole seconds here; the index has them exactly.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

BLOCK = 512
END = bytes(2 * BLOCK)

_FILE, _HARD, _SYMBOLIC, _FOLDER, _EXTENDED = b"0", b"1", b"2", b"5", b"x"
_LARGEST_OCTAL = 8**11 - 1


def padding(size: int) -> bytes:
    """What follows *size* bytes of content up to the next block."""
    return bytes(-size % BLOCK)


class Head:
    """What every header says of one name; *path* as on the pod."""

    __slots__ = ("gid", "mode", "mtime_ns", "path", "traits", "uid")

    def __init__(
        self, path: str, mode: int, uid: int, gid: int, mtime_ns: int, traits: Sequence[Tuple[str, str]] = ()
    ) -> None:
        self.path = _bytes(path).lstrip(b"/")
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.traits = traits

    def folder(self) -> bytes:
        return self._member(_FOLDER, self.path + b"/", 0)

    def file(self, size: int) -> bytes:
        return self._member(_FILE, self.path, size)

    def symbolic(self, target: str) -> bytes:
        return self._member(_SYMBOLIC, self.path, 0, link=_bytes(target))

    def hard(self, twin: str) -> bytes:
        return self._member(_HARD, self.path, 0, link=_bytes(twin).lstrip(b"/"))

    def sparse(self, segments: Sequence[Tuple[int, int]], size: int) -> bytes:
        """The header of a file with holes and the map of its data, which has to follow."""
        whole = [*segments, (size, 0)] if not segments or sum(segments[-1]) < size else list(segments)
        numbers = [len(whole)] + [number for segment in whole for number in segment]
        table = b"".join(b"%d\n" % number for number in numbers)
        table += padding(len(table))
        extended = {
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": self.path,
            b"GNU.sparse.realsize": b"%d" % size,
        }
        stored = len(table) + sum(length for _, length in segments)
        return self._member(_FILE, b"GNUSparseFile/" + self.path, stored, extended=extended) + table

    def _member(
        self, kind: bytes, path: bytes, size: int, *, link: bytes = b"", extended: Optional[Dict[bytes, bytes]] = None
    ) -> bytes:
        records = dict(extended or {})
        split = _split(path)
        if split is None:
            records.setdefault(b"path", path)
            split = b"", path[:100]
        if len(link) > 100 or not link.isascii():
            records[b"linkpath"] = link
        for name, value in self.traits:
            records[b"SCHILY.xattr." + _bytes(name)] = bytes.fromhex(value)
        header = self._header(kind, split, size, link[:100])
        if not records:
            return header
        body = b"".join(_record(key, value) for key, value in records.items())
        before = self._header(_EXTENDED, (b"", b"PaxHeader"), len(body), b"")
        return before + body + padding(len(body)) + header

    def _header(self, kind: bytes, split: Tuple[bytes, bytes], size: int, link: bytes) -> bytes:
        prefix, name = split
        header = b"%s%s%s%s%s%s        %s%sustar\x0000%s%s%s%s" % (
            name.ljust(100, b"\0"),
            b"%07o\0" % self.mode,
            _number(self.uid, 8),
            _number(self.gid, 8),
            _number(size, 12),
            _number(max(0, self.mtime_ns // 10**9), 12),
            kind,
            link.ljust(100, b"\0"),
            bytes(64),
            b"0000000\x000000000\0",
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
        return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _number(value: int, width: int) -> bytes:
    octal = b"%0*o\0" % (width - 1, value)
    return octal if len(octal) == width else b"\x80" + value.to_bytes(width - 1, "big")


def _split(path: bytes) -> Optional[Tuple[bytes, bytes]]:
    """(prefix, name) as ustar has them; None for a path that needs an extended header."""
    if not path.isascii():
        return None
    if len(path) <= 100:
        return b"", path
    cut = path.rfind(b"/", 0, 156)
    return (path[:cut], path[cut + 1 :]) if cut > 0 and 0 < len(path) - cut - 1 <= 100 else None


def _record(key: bytes, value: bytes) -> bytes:
    """``length key=value\\n``, where the length counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
