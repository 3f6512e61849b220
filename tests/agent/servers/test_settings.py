"""The machine's settings: the project's are there, and what somebody changed on the pod stays changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.servers import settings


def machine(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "Machine" / "settings.json").read_text())
    return found


def test_they_are_there_beside_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "Machine").mkdir()
    (tmp_path / "Machine" / "settings.json").write_text('{"mine": true}')
    wanted = {"editor.tabSize": 2, "[python]": {"editor.formatOnSave": True}}
    assert settings.bring(str(tmp_path), wanted) is None
    assert machine(tmp_path) == {"mine": True, **wanted}


def test_a_new_wish_replaces_the_old_one_and_one_that_is_gone_goes(tmp_path: Path) -> None:
    settings.bring(str(tmp_path), {"a": 1, "b": 1})
    settings.bring(str(tmp_path), {"a": 2})
    assert machine(tmp_path) == {"a": 2}


def test_what_somebody_changed_stays(tmp_path: Path) -> None:
    settings.bring(str(tmp_path), {"a": 1, "b": 1})
    (tmp_path / "Machine" / "settings.json").write_text('{"a": "mine", "b": "mine"}')
    settings.bring(str(tmp_path), {"a": 2})
    assert machine(tmp_path) == {"a": "mine", "b": "mine"}
    settings.bring(str(tmp_path), {"a": 3})
    assert machine(tmp_path) == {"a": "mine", "b": "mine"}


def test_what_is_asked_for_again_is_not_written_again(tmp_path: Path) -> None:
    settings.bring(str(tmp_path), {"a": 1})
    before = (tmp_path / "Machine" / "settings.json").stat()
    settings.bring(str(tmp_path), {"a": 1})
    assert (tmp_path / "Machine" / "settings.json").stat().st_ino == before.st_ino


@pytest.mark.parametrize("text", ['{"a": 1, // mine\n}', "[]", "x"])
def test_a_file_with_comments_is_left_alone_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "Machine").mkdir()
    path = tmp_path / "Machine" / "settings.json"
    path.write_text(text)
    assert str(path) in str(settings.bring(str(tmp_path), {"b": 1}))
    assert path.read_text() == text
