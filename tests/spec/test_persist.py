"""``[persist]``: which paths can be kept, and what is kept without being asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from devpod_rp.spec import persist
from devpod_rp.spec.parts import PersistSpec


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("config/mytool", "must begin with"),
        ("~someone/x", "must begin with"),
        ("~/../etc/passwd", "without . and .."),
        ("/etc//x", "without . and .."),
        ("/", "the whole disk"),
        ("~", "must begin with"),
        ("~/", "the whole disk"),
        ("~/.config/*", "is a pattern"),
        ("/workspace/data", "on the volume already"),
        ("/proc/sys/", "nothing that outlives"),
        ("/tmp/x", "nothing that outlives"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(path: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PersistSpec(paths=(path,))


@pytest.mark.parametrize("path", ["~/.config/mytool/", "~/.mytoolrc", "/etc/mytool.conf", "/opt/venv/", "/tmpdata/x"])
def test_what_can_be_kept(path: str) -> None:
    assert path in PersistSpec(paths=(path,)).wanted


def test_the_defaults_are_paths_that_a_project_could_have_written() -> None:
    for path in persist.PATHS:
        assert persist.checked(path) == path
    assert PersistSpec().wanted == persist.PATHS
    assert PersistSpec(defaults=False).wanted == ()


def test_what_the_project_says_of_a_default_path_counts() -> None:
    wanted = PersistSpec(paths=("~/.gitconfig/",)).wanted
    assert "~/.gitconfig/" in wanted
    assert "~/.gitconfig" not in wanted
