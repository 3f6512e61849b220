"""Frames survive whatever a name or a stream can do; what is no frame is never taken for one."""

from __future__ import annotations

import io
import json
import os
import struct
import time

import pytest

from devpod_rp.agent.wire import MAX_BODY_BYTES, MAX_HEADER_BYTES, Frame, WireError, read_frame, write_frame


def written(*frames: Frame) -> bytes:
    stream = io.BytesIO()
    for frame in frames:
        write_frame(stream, frame)
    return stream.getvalue()


class Dripping(io.BytesIO):
    """Gives one byte per read, as a slow line may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size if size is not None else 1))


@pytest.mark.parametrize(
    "name", ["plain", "köln/ß", "new\nline", "\udcff\udc80", os.fsdecode(b"caf\xe9"), '"quotes"\\', "😀", "\0"]
)
def test_every_name_survives(name: str) -> None:
    frame = Frame({"id": 1, "path": name}, b"\0\xff")
    assert read_frame(io.BytesIO(written(frame))) == frame


def test_frames_follow_one_another_and_the_end_between_two_is_no_error() -> None:
    frames = [Frame({"n": 1}), Frame({"n": 2}, b"x" * 300_000), Frame({}, b"")]
    stream = io.BytesIO(written(*frames))
    assert [read_frame(stream) for _ in frames] == frames
    assert read_frame(stream) is None


def test_a_stream_that_gives_single_bytes_is_put_together() -> None:
    frame = Frame({"id": 3, "op": "x"}, os.urandom(5000))
    assert read_frame(Dripping(written(frame))) == frame


def test_an_end_at_any_byte_inside_a_frame_is_an_error() -> None:
    whole = written(Frame({"id": 1, "op": "files.apply"}, b"some content"))
    for cut in range(1, len(whole)):
        with pytest.raises(WireError):
            read_frame(io.BytesIO(whole[:cut]))


@pytest.mark.parametrize("lengths", [(MAX_HEADER_BYTES + 1, 0), (2, MAX_BODY_BYTES + 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_length_beyond_the_limits_is_refused_before_anything_is_allocated(lengths: tuple[int, int]) -> None:
    with pytest.raises(WireError, match="beyond the limits"):
        read_frame(io.BytesIO(struct.pack(">II", *lengths) + b"{}"))


def test_a_large_length_without_content_does_not_cost_its_memory() -> None:
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(WireError, match="ended inside a frame"):
        read_frame(io.BytesIO(struct.pack(">II", 2, MAX_BODY_BYTES) + b"{}few"))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"{'a':1}",
        b"\xff\xfe",
        '{"ä":1}'.encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_header_that_is_no_json_object_is_refused(header: bytes) -> None:
    with pytest.raises(WireError):
        read_frame(io.BytesIO(struct.pack(">II", len(header), 0) + header))


def test_a_frame_beyond_the_limits_writes_nothing() -> None:
    stream = io.BytesIO()
    with pytest.raises(WireError):
        write_frame(stream, Frame({}, bytes(MAX_BODY_BYTES + 1)))
    with pytest.raises(WireError):
        write_frame(stream, Frame({"long": "x" * MAX_HEADER_BYTES}))
    assert stream.getvalue() == b""


def test_headers_are_plain_ascii_json_behind_two_lengths() -> None:
    raw = written(Frame({"id": 1, "path": "ü"}, b"body"))
    header_bytes, body_bytes = struct.unpack_from(">II", raw)
    assert json.loads(raw[8 : 8 + header_bytes].decode("ascii")) == {"id": 1, "path": "ü"}
    assert raw[-body_bytes:] == b"body"


def test_64_mib_take_well_under_a_second_each_way() -> None:
    body = bytes(64 << 20)
    began = time.monotonic()
    assert read_frame(io.BytesIO(written(Frame({}, body)))) == Frame({}, body)
    assert time.monotonic() - began < 3
