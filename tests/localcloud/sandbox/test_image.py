"""The image below all pods is made anew when the host's packages change, also while pods are being made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devpod_rp.localcloud.sandbox import image, layout


def test_an_image_that_was_handed_out_a_moment_ago_outlives_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    packages, pods = tmp_path / "status", tmp_path / "pods"
    monkeypatch.setattr(image, "_PACKAGE_DATABASES", (str(packages),))
    (pods / "one").mkdir(parents=True)

    def handed_out(state_of_packages: str) -> Path:
        packages.write_text(state_of_packages)
        return layout.images_dir() / image.current(pods / "one", pods).identifier

    first = handed_out("one package")
    second = handed_out("one package, and another")
    assert second != first
    assert (first / "etc").is_dir(), "a pod may be about to begin with it"
    hour_ago = time.time() - 3600
    for each in (first, second):
        os.utime(each, (hour_ago, hour_ago))
    (pods / "one/disk").mkdir()
    (pods / "one/disk/image").write_text(second.name)
    third = handed_out("one package, another, and a third")
    assert [each.exists() for each in (first, second, third)] == [False, True, True]
