"""Wishes, images, durations and volumes as people write them."""

from __future__ import annotations

import pytest

from devpod_rp.spec.durations import seconds, spoken
from devpod_rp.spec.images import cuda_floor
from devpod_rp.spec.volume_text import volume_flags
from devpod_rp.spec.wishes import KnownGpu, granted, smallest_memory_gb

KNOWN = [KnownGpu("a", "RTX A5000", 24), KnownGpu("b", "H100 SXM", 80), KnownGpu("c", "RTX A4000", 16)]


@pytest.mark.parametrize(
    ("wish", "ids"),
    [("any", "abc"), ("any>=24GB", "ab"), ("any >= 24 gb", "ab"), ("ANY>=80", "b"), ("h100sxm", "b")],
)
def test_a_wish_admits(wish: str, ids: str) -> None:
    assert "".join(each.id for each in granted(wish, KNOWN)) == ids


@pytest.mark.parametrize("wish", ["any<24GB", "any >= big", "any of them"])
def test_what_only_begins_like_a_wish_is_refused(wish: str) -> None:
    with pytest.raises(ValueError, match="any>=24GB"):
        smallest_memory_gb(wish)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404", "12.8"),
        ("runpod/pytorch:0.7.0-cu118-torch210", "11.8"),
        ("pytorch/pytorch:2.4.0-cuda12.4-cudnn9-devel", "12.4"),
        ("nvidia/cuda:12.4.1-devel-ubuntu22.04", "12.4"),
        ("ghcr.io/me/cuda:11.8.0-runtime", "11.8"),
        ("ubuntu:24.04", None),
        ("me/recuda:12.4", None),
        ("python:3.12", None),
    ],
)
def test_the_cuda_version_an_image_was_built_for(image: str, version: str | None) -> None:
    assert cuda_floor(image) == version


@pytest.mark.parametrize(
    ("text", "length"), [("30m", 1800), ("1h30m", 5400), ("90s", 90), ("2 h", 7200), ("1d", 86400), ("0.5h", 1800)]
)
def test_a_duration(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "30", "m", "half an hour", "-5m", "0s", "5m later"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"30m, 2h or 1h30m|no time at all"):
        seconds(text)


def test_a_duration_is_spoken_in_two_units() -> None:
    assert [spoken(each) for each in (0, 45, 3600, 7500, 90061)] == ["0s", "45s", "1h", "2h 5m", "1d 1h"]


def test_a_volume_in_one_word() -> None:
    assert volume_flags("network:data:20") == {
        "volume.kind": "network",
        "volume.name": "data",
        "volume.size_gb": 20,
    }
    assert volume_flags("network:data") == {"volume.kind": "network", "volume.name": "data"}
    assert volume_flags("network") == {"volume.kind": "network"}
    assert volume_flags("disk:100") == {"volume.kind": "disk", "volume.size_gb": 100}
    assert volume_flags("none") == {"volume.kind": "none"}


@pytest.mark.parametrize("text", ["nfs:data", "disk:data", "none:5", "network:a:b:5", ""])
def test_what_is_no_volume(text: str) -> None:
    with pytest.raises(ValueError, match="network:data:20"):
        volume_flags(text)
