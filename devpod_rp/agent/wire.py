"""The language between launcher and agent: frames over one byte stream, requests, and how an agent says no.

A frame is a big-endian u32 header length, a u32 body length, the header (a JSON object, ASCII, so that the surrogates
that stand for bytes outside UTF-8 survive) and the body (plain bytes).

A request's header is ``{"id": number, "op": name, …}``. It is answered by one or more frames
``{"id", "ok": true, …, "more": bool}``, the last one with ``more: false``, or ended by
``{"id", "ok": false, "code", "message"}``.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Protocol, Tuple, Union

PROTOCOL = 1

MAX_HEADER_BYTES = 8 << 20
MAX_BODY_BYTES = 128 << 20

# Every code a Refusal may carry.
CODES = frozenset({"bad-request", "not-found", "not-permitted", "no-space", "changed", "busy", "unexpected"})

_LENGTHS = struct.Struct(">II")
# Small enough that a reader or writer shows signs of life on a slow line, large enough to cost nothing on a fast one.
_SLICE_BYTES = 256 << 10

Header = Dict[str, Any]


class WireError(Exception):
    """The other end broke the protocol, or the stream ended inside a frame: nothing after this can be trusted."""


class Refusal(Exception):
    """The agent could not or would not do what was asked; *code* is one of `CODES`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Readable(Protocol):
    """A stream whose read returns less than asked for only when less is there, and b"" only at its end."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """A stream whose write takes everything it is given."""

    def write(self, data: Union[bytes, memoryview], /) -> int: ...

    def flush(self) -> None: ...


class Frame(NamedTuple):
    header: Header
    body: bytes = b""


class Request(NamedTuple):
    """What an operation is given: the request frame's header ("id" and "op" included) and body."""

    header: Header
    body: bytes = b""


Handler = Callable[[Request], Iterator[Tuple[Header, bytes]]]
"""An operation: every pair it yields becomes one response frame; Refusal and OSError end it with an error."""

Standing = Callable[[Request, threading.Event], Iterator[Tuple[Header, bytes]]]
"""An operation that goes on beside the others until it ends by itself or the event is set; each frame goes at once."""


def read_frame(stream: Readable) -> Optional[Frame]:
    """The next frame, or None when the stream ended between two frames.

    Raises:
        WireError: a length beyond the limits, a header that is no JSON object, or an end inside the frame.
        OSError: the stream failed.
    """
    lengths = _read_exactly(stream, _LENGTHS.size, may_end=True)
    if not lengths:
        return None
    header_bytes, body_bytes = _LENGTHS.unpack(lengths)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError("a frame of {0} + {1} bytes is beyond the limits".format(header_bytes, body_bytes))
    header = _parse_header(_read_exactly(stream, header_bytes))
    return Frame(header, _read_exactly(stream, body_bytes))


def write_frame(stream: Writable, frame: Union[Frame, Tuple[Header, bytes]]) -> None:
    """Write one frame and flush.

    Raises:
        WireError: it is beyond the limits; nothing was written.
        OSError: the stream failed.
    """
    header, body = frame
    encoded = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(encoded) > MAX_HEADER_BYTES or len(body) > MAX_BODY_BYTES:
        raise WireError("a frame of {0} + {1} bytes is beyond the limits".format(len(encoded), len(body)))
    start = _LENGTHS.pack(len(encoded), len(body)) + encoded
    if len(start) + len(body) <= _SLICE_BYTES:
        stream.write(start + body)
    else:
        stream.write(start)
        rest = memoryview(body)
        for position in range(0, len(rest), _SLICE_BYTES):
            stream.write(rest[position : position + _SLICE_BYTES])
    stream.flush()


def _read_exactly(stream: Readable, count: int, may_end: bool = False) -> bytes:
    first = stream.read(min(count, _SLICE_BYTES)) if count else b""
    if len(first) == count:
        return first
    if not first and may_end:
        return b""
    # The buffer grows with what really arrives: a hostile length alone must not make us allocate it.
    received = bytearray(first)
    while first and len(received) < count:
        first = stream.read(min(count - len(received), _SLICE_BYTES))
        received += first
    if len(received) < count:
        raise WireError("the stream ended inside a frame, {0} bytes short".format(count - len(received)))
    return bytes(received)


def _parse_header(encoded: bytes) -> Header:
    try:
        header = json.loads(encoded.decode("ascii"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame's header is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("a frame's header is not a JSON object")
    return header


def _no_constant(name: str) -> None:
    raise ValueError("{0} is not JSON".format(name))
