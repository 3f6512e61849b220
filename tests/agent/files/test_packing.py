"""Compressed bodies, by every implementation there is, and what hostile ones come to."""

from __future__ import annotations

import ctypes
import importlib
import os
import zlib
from typing import Any

import pytest

from devpod_rp.agent.files import packing, zstd

TEXT = b"def train(epochs: int) -> None: ...\n" * 5000


@pytest.fixture(params=["module", "library"])
def codec(request: pytest.FixtureRequest) -> zstd.Zstd:
    if request.param == "library":
        return zstd._of_library(ctypes, ctypes.CDLL("libzstd.so.1"))
    for name in ("compression.zstd", "backports.zstd"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return zstd._of_module(importlib.import_module(name))
    raise AssertionError("the launcher brings a zstd of its own")


def test_what_one_implementation_packs_every_other_unpacks(codec: zstd.Zstd) -> None:
    here = zstd.find()
    assert here is not None
    assert here.decompress(codec.compress(TEXT), len(TEXT)) == TEXT
    assert codec.decompress(here.compress(TEXT), len(TEXT)) == TEXT
    assert codec.decompress(codec.compress(b""), 0) == b""


@pytest.mark.parametrize("hostile", [b"", b"no zstd", zstd.find().compress(TEXT)[:-5]])  # type: ignore[union-attr]
def test_what_is_no_zstd_is_refused(codec: zstd.Zstd, hostile: bytes) -> None:
    with pytest.raises(ValueError, match="zstd"):
        codec.decompress(hostile, len(TEXT))


@pytest.mark.parametrize("reads_zstd", [True, False])
def test_a_body_comes_back_as_it_was(reads_zstd: bool) -> None:
    body, fields = packing.pack(TEXT, reads_zstd=reads_zstd)
    assert len(body) < len(TEXT) / 10
    assert ("zstd" in fields) is reads_zstd
    assert packing.unpack(body, fields, len(TEXT)) == TEXT


@pytest.mark.parametrize("reads_zstd", [True, False])
def test_what_does_not_shrink_goes_as_it_is(reads_zstd: bool) -> None:
    noise = os.urandom(1 << 20)
    assert packing.pack(noise, reads_zstd=reads_zstd) == (noise, {})
    assert packing.pack(TEXT, incompressible=True, reads_zstd=reads_zstd) == (TEXT, {})


def test_only_a_receiver_that_says_so_gets_zstd() -> None:
    for said in (None, 1, "yes"):
        unsure: Any = said
        assert "zstd" not in packing.pack(TEXT, reads_zstd=unsure)[1]


@pytest.mark.parametrize("fields", [{"zstd": True}, {}])
@pytest.mark.parametrize("claimed", [len(TEXT) - 1, len(TEXT) + 1, 10])
def test_a_body_that_unpacks_to_another_size_than_it_names_is_refused(fields: dict[str, Any], claimed: int) -> None:
    here = zstd.find()
    assert here is not None
    body = here.compress(TEXT) if fields else zlib.compress(TEXT)
    with pytest.raises(ValueError, match=r"zstd|size"):
        packing.unpack(body, {**fields, "packed": claimed}, 1 << 20)


def test_a_body_never_unpacks_to_more_than_the_limit() -> None:
    with pytest.raises(ValueError, match="at most"):
        packing.unpack(zlib.compress(TEXT), {"packed": len(TEXT)}, len(TEXT) - 1)
