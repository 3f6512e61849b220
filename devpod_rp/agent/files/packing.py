"""Compressing bodies where it pays; both ends send and receive with it."""

from __future__ import annotations

import zlib
from typing import Any, Dict, Optional, Tuple

from devpod_rp.agent.files import zstd

_LEAST_BYTES = 128
_PROBE_BYTES = 64 << 10
_WORTH = 0.9

PACKED_SUFFIXES = frozenset(
    (".7z", ".avi", ".bz2", ".ckpt", ".docx", ".gif", ".gz", ".h5", ".heic", ".jpeg", ".jpg", ".lz4", ".mkv", ".mov",
     ".mp3", ".mp4", ".npz", ".onnx", ".parquet", ".pdf", ".png", ".pt", ".pth", ".safetensors", ".tgz", ".webm",
     ".webp", ".whl", ".woff2", ".xz", ".zip", ".zst")
)  # fmt: skip
"""What is compressed already, by the end of its name."""


ZSTD: Optional[zstd.Zstd] = zstd.find()
"""What this end has; the other end is told."""


def is_packed(path: str) -> bool:
    """Whether a file of this name gains nothing from compression."""
    return path[path.rfind(".") :].lower() in PACKED_SUFFIXES


def pack(raw: bytes, incompressible: bool = False, reads_zstd: Any = False) -> Tuple[bytes, Dict[str, Any]]:
    """The body to send and the header fields that say how to read it.

    *packed* is the unpacked size of zlib data, or of zstd data when *zstd* is set, which needs a receiver that
    *reads_zstd*.
    """
    if incompressible or len(raw) < _LEAST_BYTES:
        return raw, {}
    if ZSTD is not None and reads_zstd is True:
        # Quick to see that nothing is to be gained, so that no probe is needed.
        body = ZSTD.compress(raw)
        return (body, {"packed": len(raw), "zstd": True}) if len(body) < _WORTH * len(raw) else (raw, {})
    probe = raw[:_PROBE_BYTES]
    if len(raw) > 2 * _PROBE_BYTES and len(zlib.compress(probe, 1)) > _WORTH * len(probe):
        return raw, {}
    body = zlib.compress(raw, 1)
    return (body, {"packed": len(raw)}) if len(body) < len(raw) else (raw, {})


def unpack(body: bytes, fields: Dict[str, Any], limit: int) -> bytes:
    """The reverse of :func:`pack`, for hostile input.

    Raises:
        ValueError: it is not what *fields* say, unpacks to another size than it names, or to more than *limit* bytes.
    """
    size = fields.get("packed")
    if size is None:
        return body
    if not isinstance(size, int) or not 0 <= size <= limit:
        raise ValueError("a body unpacks to at most %d bytes" % limit)
    if fields.get("zstd") is True:
        if ZSTD is None:
            raise ValueError("there is no zstd here")
        data = ZSTD.decompress(body, size)
    else:
        try:
            data = zlib.decompressobj().decompress(body, size + 1)
        except zlib.error as error:
            raise ValueError("not zlib data") from error
    if len(data) != size:
        raise ValueError("the body does not unpack to the size it names")
    return data
