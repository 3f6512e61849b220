"""GPU names as people type them, against the names RunPod uses."""

from __future__ import annotations

import pytest

from devpod_rp.spec.gpu_names import UnknownGpu, match_gpu

KNOWN = [
    ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ("NVIDIA GeForce RTX 3080", "RTX 3080"),
    ("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti"),
    ("NVIDIA RTX A4000", "RTX A4000"),
    ("NVIDIA RTX 4000 Ada Generation", "RTX 4000 Ada"),
    ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
    ("NVIDIA L4", "L4"),
    ("NVIDIA L40", "L40"),
    ("NVIDIA L40S", "L40S"),
    ("NVIDIA A40", "A40"),
    ("NVIDIA A100 80GB PCIe", "A100 PCIe"),
    ("NVIDIA A100-SXM4-80GB", "A100 SXM"),
    ("NVIDIA H100 PCIe", "H100 PCIe"),
    ("NVIDIA H100 80GB HBM3", "H100 SXM"),
    ("NVIDIA H200", "H200 SXM"),
    ("AMD Instinct MI300X OAM", "MI300X"),
]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("RTX 4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("RTX-4090", "RTX 4090"),
        ("geforce rtx 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("3080", "RTX 3080"),
        ("3080 ti", "RTX 3080 Ti"),
        ("rtx3080ti", "RTX 3080 Ti"),
        ("a4000", "RTX A4000"),
        ("RTXA4000", "RTX A4000"),
        ("4000 ada", "RTX 4000 Ada"),
        ("rtx6000ada", "RTX 6000 Ada"),
        ("rtx pro 6000", "RTX PRO 6000"),
        ("rtxpro6000", "RTX PRO 6000"),
        ("l4", "L4"),
        ("L40", "L40"),
        ("l40s", "L40S"),
        ("a100 sxm", "A100 SXM"),
        ("A100-SXM4-80GB", "A100 SXM"),
        ("A100 PCIE", "A100 PCIe"),
        ("h100sxm", "H100 SXM"),
        ("H100 HBM3", "H100 SXM"),
        ("h200", "H200 SXM"),
        ("mi300x", "MI300X"),
    ],
)
def test_typed_names_mean_one_type(typed, name):
    assert dict(KNOWN)[match_gpu(typed, KNOWN)] == name
    assert dict(KNOWN)[match_gpu(typed, reversed(KNOWN))] == name


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("A100", "say which: A100 PCIe, A100 SXM."),
        ("a100 80gb", "say which: A100 PCIe, A100 SXM."),
        ("H100", "say which: H100 PCIe, H100 SXM."),
        ("6000", "say which: RTX 6000 Ada, RTX PRO 6000."),
        ("RTX", "say which: RTX 4090, RTX 3080"),
    ],
)
def test_a_name_of_several_types_is_refused_because_their_prices_differ(typed, hint):
    with pytest.raises(UnknownGpu, match="could be several") as caught:
        match_gpu(typed, KNOWN)
    assert str(caught.value.hint).startswith(hint)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("typed", "near"), [("4099", "RTX 4090"), ("H10", "H100"), ("L40X", "L40")])
def test_an_unknown_name_lists_the_nearest(typed, near):
    with pytest.raises(UnknownGpu, match=f"no GPU type '{typed}'") as caught:
        match_gpu(typed, KNOWN)
    assert near in str(caught.value.hint)
    assert "devpod-rp gpus" in str(caught.value.hint)


@pytest.mark.parametrize("typed", ["", " ", "NVIDIA", "???"])
def test_a_name_without_a_telling_word_matches_nothing(typed):
    with pytest.raises(UnknownGpu, match="There is no GPU type"):
        match_gpu(typed, KNOWN)


def test_an_empty_catalog_is_no_crash():
    with pytest.raises(UnknownGpu):
        match_gpu("4090", [])
