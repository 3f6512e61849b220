"""The first synchronisation with an empty folder, which sends what it has found while it still looks at the rest."""

from __future__ import annotations

import os

import pytest

from devpod_rp.errors import UnreachableError
from devpod_rp.sync import first
from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Pair

TREE = {
    **{f"src/pkg{number % 7}/sub{number % 3}/module{number}.py": f"# {number}\n" * 50 for number in range(400)},
    "empty.txt": "",
    "large.bin": "0123456789" * 300_000,
    "src/.gitignore": "*.log\n",
    "src/pkg1/debug.log": "left out by a file found on the way",
    "src/pkg1/.devpodignore": "!debug.log\n",
    "src/pkg2/debug.log": "left out, too",
}


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe", "one-way-replica"])
def test_the_pod_gets_what_an_ordinary_cycle_would_give_it(tmp_path_factory: pytest.TempPathFactory, mode: str) -> None:
    pair = Pair(tmp_path_factory.mktemp("pair"), mode)
    pair.both(TREE)
    (pair.local.root / "hollow").mkdir()
    os.symlink("src/pkg1", pair.local.root / "link")
    os.symlink("/etc/passwd", pair.local.root / "outside")
    os.mkfifo(pair.local.root / "pipe")
    try:
        result = pair.sync()
        expected = pair.local.files()
        for path in ("src/pkg2/debug.log", "outside", "pipe"):
            del expected[path]
        assert pair.pod.files() == expected
        assert {"outside", "pipe"} <= pair.problems().keys()
        assert result.uploaded_files == sum(content != "/" for content in expected.values())
        assert pair.session.plan().actions == ()
        assert pair.sync().uploaded_files == 0
        pair.restart()
        assert pair.sync().uploaded_files == 0, "what was agreed on outlives the process"
    finally:
        pair.close()


def test_what_appears_on_the_pod_meanwhile_is_not_written_over(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.both(TREE)
    pair.connect()

    def creations(here, look):  # type: ignore[no-untyped-def]
        for number, actions in enumerate(first.creations(here, look)):
            if number == 1:
                pair.pod.write("src/pkg3/sub0/module3.py", "made on the pod")
                pair.pod.write("only/there.txt", "made on the pod")
            yield actions

    monkeypatch.setattr("devpod_rp.sync.cycle.creations", creations)
    pair.sync()
    assert pair.pod.read("src/pkg3/sub0/module3.py") == "made on the pod"
    assert pair.conflicts() == ["src/pkg3/sub0/module3.py"]
    assert pair.pod.read("only/there.txt") == "made on the pod"
    assert pair.pod.read("src/pkg4/sub0/module18.py") == TREE["src/pkg4/sub0/module18.py"]


def test_one_that_is_cut_short_is_completed_without_a_conflict(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.both(TREE)
    pair.connect()

    def creations(here, look):  # type: ignore[no-untyped-def]
        for number, actions in enumerate(first.creations(here, look)):
            if number == 3:
                assert pair.link is not None
                pair.link.close()
            yield actions

    with monkeypatch.context() as cutting:
        cutting.setattr("devpod_rp.sync.cycle.creations", creations)
        with pytest.raises(UnreachableError):
            pair.sync()
    edited = next(path for path in sorted(TREE) if path.endswith(".py"))
    pair.local.write(edited, "edited while nobody was connected")
    pair.sync()
    assert pair.conflicts() == []
    assert pair.pod.read(edited) == "edited while nobody was connected"
    assert {*pair.local.files()} - {*pair.pod.files()} == {"src/pkg2/debug.log"}
    assert pair.litter() == []


def test_a_folder_that_vanishes_under_the_look_halts(pair: Pair) -> None:
    pair.both(TREE)
    pair.connect()
    pair.session.look_ahead(lambda: True)
    pair.local.root.rename(pair.tmp_path / "elsewhere")
    with pytest.raises(SyncHalted):
        pair.sync()
