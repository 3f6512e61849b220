"""An event at a path that is as we left it is our own echo; one at any other is news."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpod_rp.agent.sync import own
from devpod_rp.agent.sync.own import OwnWrites


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "f")


def written(path: bytes, text: str) -> os.stat_result:
    Path(os.fsdecode(path)).write_text(text)
    return os.lstat(path)


def test_what_we_wrote_or_removed_and_nobody_touched_is_no_news(path: bytes) -> None:
    ours = OwnWrites()
    assert not ours.explain(path)
    ours.note(path, written(path, "1"))
    assert ours.explain(path)
    os.unlink(path)
    ours.note(path, None)
    assert ours.explain(path)


def test_another_version_is_news_and_so_is_its_end(path: bytes) -> None:
    ours = OwnWrites()
    ours.note(path, None)
    written(path, "somebody's")
    assert not ours.explain(path)
    os.unlink(path)
    assert not ours.explain(path), "it is as we left it once, but not since"


def test_an_absence_is_ours_for_a_moment_only(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_ECHO_SECONDS", 0.0)
    ours = OwnWrites()
    ours.note(path, None)
    assert not ours.explain(path), "something may have come and gone unseen"
    ours.note(path, written(path, "1"))
    assert ours.explain(path), "a version tells itself from any other"


def test_a_folder_that_we_made_and_somebody_removed_is_news(path: bytes) -> None:
    ours = OwnWrites()
    ours.note(path, None)
    os.mkdir(path)
    ours.forget(path)
    os.rmdir(path)
    assert not ours.explain(path)
