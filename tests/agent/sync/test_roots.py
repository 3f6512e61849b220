"""Who the folder on the pod is, and that only the one we know becomes ours without a second question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.sync.roots import open_root
from devpod_rp.agent.wire import Request

TOKEN, OTHER = "t" * 32, "o" * 32


class Pod:
    def __init__(self, folder: Path) -> None:
        self.root, self.state = folder / "project", folder / "state"

    def opened(self, **wish: Any) -> dict[str, Any]:
        ((facts, _body),) = open_root(Request({"root": str(self.root), "state": str(self.state), **wish}))
        return facts


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pod = Pod(tmp_path)
    pod.opened(adopt=TOKEN)
    (pod.root / "model.py").write_text("layers = 3\n")
    return pod


def test_the_folder_that_is_known_is_adopted_at_once(pod: Pod) -> None:
    facts = pod.opened(adopt=TOKEN, only="known")
    assert (facts["token"], facts["recorded_ino"]) == (TOKEN, pod.root.stat().st_ino)
    assert "abilities" in facts


def test_a_folder_that_has_another_token_keeps_it(pod: Pod) -> None:
    facts = pod.opened(adopt=OTHER, only="known")
    assert facts == pod.opened()
    assert facts["token"] == TOKEN


def test_a_folder_that_nobody_knows_is_adopted_at_once_and_one_that_somebody_knows_is_not(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    facts = pod.opened(adopt=TOKEN, only="new")
    assert (facts["token"], facts["exists"], facts["empty"], "abilities" in facts) == (TOKEN, True, True, True)
    assert pod.opened(adopt=OTHER, only="new") == pod.opened()
    assert pod.opened()["token"] == TOKEN


def test_a_folder_that_was_replaced_or_emptied_or_is_gone_is_only_told_of(pod: Pod) -> None:
    (pod.root / "model.py").rename(pod.root.parent / "kept")
    emptied = pod.opened(adopt=TOKEN, only="known")
    assert (emptied["empty"], "abilities" in emptied) == (True, False)
    pod.root.rename(pod.root.parent / "elsewhere")
    gone = pod.opened(adopt=TOKEN, only="known")
    assert (gone["exists"], pod.root.exists()) == (False, False)
    pod.root.mkdir()
    (pod.root / "other.py").write_text("not ours\n")
    replaced = pod.opened(adopt=TOKEN, only="known")
    assert replaced["recorded_ino"] != replaced["ino"]
    assert "abilities" not in replaced
