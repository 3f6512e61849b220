"""Cases 20 to 22, 40 and 41: what two people do to one path, and what takes no part at all."""

from __future__ import annotations

import os
import shutil

from tests.sync.adversarial.scene import Scene, quiet, settled
from tests.sync.conftest import Folder, Pair


def edits_on_both_sides_within_one_round_trip_conflict_and_the_same_edit_does_not(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"f": "1", "same": "1", "other": "o"}).synced()
    pair.local.write("f", "here")
    pair.pod.write("f", "there")
    for side in (pair.local, pair.pod):
        side.write("same", "the same")
    pair.sync("f", "same", pod=("f", "same"))
    assert (pair.local.read("f"), pair.pod.read("f")) == ("here", "there")
    assert pair.conflicts() == ["f"]
    # An edit on the pod in the time between the look and the write.
    pair.session.resolve("f", "local")
    pair.local.write("other", "here")
    plan = pair.session.plan()
    assert [action.path for action in plan.actions] == ["other"]
    pair.pod.write("other", "there, meanwhile")
    pair.sync("other")
    pair.sync()
    assert pair.pod.read("other") == "there, meanwhile"
    assert pair.local.read("other") == "here"


def _deleted(side: Folder, at: str) -> None:
    side.delete(f"{at}/f")


def _edited(side: Folder, at: str) -> None:
    side.write(f"{at}/f", _text(side, at))


def _renamed(side: Folder, at: str) -> None:
    os.rename(side.root / at / "f", side.root / at / f"renamed in {side.root.parent.name}")


def _a_folder(side: Folder, at: str) -> None:
    side.delete(f"{at}/f")
    side.write(f"{at}/f/inside", _text(side, at))


def _folder_deleted(side: Folder, at: str) -> None:
    shutil.rmtree(side.root / at / "d")


def _folder_filled(side: Folder, at: str) -> None:
    side.write(f"{at}/d/new", _text(side, at))


def _folder_edited(side: Folder, at: str) -> None:
    side.write(f"{at}/d/x", _text(side, at))


def _folder_renamed(side: Folder, at: str) -> None:
    os.rename(side.root / at / "d", side.root / at / f"d of {side.root.parent.name}")


def _a_file_for_a_folder(side: Folder, at: str) -> None:
    shutil.rmtree(side.root / at / "d")
    side.write(f"{at}/d", _text(side, at))


def _text(side: Folder, at: str) -> str:
    return f"made in {side.root.parent.name} for {at}"


FILE_DEEDS = (_deleted, _edited, _renamed, _a_folder)
FOLDER_DEEDS = (_folder_deleted, _folder_filled, _folder_edited, _folder_renamed, _a_file_for_a_folder)


def any_two_deeds_at_one_path_lose_nothing_both_ways(scene: Scene) -> None:
    pair = _met(scene, "two-way-safe")
    conflicts = tuple(pair.conflicts())
    settled(pair, but=conflicts)
    assert len(conflicts) >= 6, "edits against edits, and content against other kinds"


def any_two_deeds_at_one_path_lose_nothing_one_way(scene: Scene) -> None:
    pair = _met(scene, "one-way-safe")
    quiet(pair)


def _met(scene: Scene, mode: str) -> Pair:
    """Every two deeds at one file or folder, one here and one on the pod, each two in a folder of their own."""
    meetings = [(here, there) for deeds in (FILE_DEEDS, FOLDER_DEEDS) for here in deeds for there in deeds]
    places = {
        f"{number}{here.__name__}{there.__name__}": (here, there) for number, (here, there) in enumerate(meetings)
    }
    pair = scene.pair(mode)
    for at in places:
        pair.both({f"{at}/f": f"old f of {at}", f"{at}/d/x": f"old x of {at}", f"{at}/d/y": f"old y of {at}"})
    pair.both({f"anchor{number}": f"stays {number}" for number in range(60)}).synced()
    for at, (here, there) in places.items():
        here(pair.local, at)
        there(pair.pod, at)
    made = {text for side in (pair.local, pair.pod) for text in _texts(side) if text.startswith("made")}
    seen_here = pair.local.files()
    pair.sync()
    pair.sync()
    lost = made - (_texts(pair.local) | _texts(pair.pod))
    assert not lost, f"{lost} is lost"
    if mode == "one-way-safe":
        assert pair.local.files() == seen_here
    return pair


def _swapped(side: Folder) -> None:
    os.rename(side.root / "a", side.root / "spare")
    os.rename(side.root / "b", side.root / "a")
    os.rename(side.root / "spare", side.root / "b")


def a_swap_of_two_files_meets_an_edit_of_one(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"a": "was a", "b": "was b", "c": "c"}).synced()
    _swapped(pair.local)
    settled(pair)
    assert (pair.pod.read("a"), pair.pod.read("b")) == ("was b", "was a")
    _swapped(pair.pod)
    pair.local.write("a", "edited here")
    pair.sync()
    quiet(pair)
    assert {"edited here", "was a", "was b"} <= _texts(pair.local) | _texts(pair.pod)
    assert pair.conflicts() == ["a"]


def _texts(side: Folder) -> set[str]:
    return {text for text in side.files().values() if text != "/"}


# What takes no part.


def rules_edited_while_everything_runs_delete_nothing_and_count_at_once(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    for path in ("a.py", "data/big.csv", "data/more.csv"):
        rig.write(path, "1")
    rig.start()
    rig.ask("flush")
    rig.write(".gitignore", "data/\n")
    rig.ask("flush")
    assert rig.pod.files().items() >= {"data/big.csv": "1", "data/more.csv": "1"}.items(), "newly ignored, not deleted"
    rig.write("data/big.csv", "2, ignored")
    (rig.folder / "data/more.csv").unlink()
    rig.write("a.py", "2")
    rig.ask("flush")
    assert rig.pod.files().items() >= {"data/big.csv": "1", "data/more.csv": "1", "a.py": "2"}.items()
    rig.write(".gitignore", "")
    rig.write("data/new.csv", "new")
    rig.ask("flush")
    assert rig.pod.files()["data/new.csv"] == "new", "un-ignored, it appears"
    # What was edited while it took no part was edited apart from the pod's: the user decides.
    assert [conflict["path"] for conflict in rig.ask("status")["conflicts"]] == ["data/big.csv"]
    assert rig.pod.files()["data/big.csv"] == "1"
    assert (rig.folder / "data/big.csv").read_text() == "2, ignored"


def an_ignored_file_keeps_its_folder_when_the_other_side_deletes_it(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"x": "x", "here/a.py": "a", "there/a.py": "a", ".gitignore": "*.log\n"}).synced()
    pair.local.write("here/run.log", "only here")
    pair.pod.write("there/run.log", "only there")
    shutil.rmtree(pair.pod.root / "here")
    shutil.rmtree(pair.local.root / "there")
    pair.sync()
    pair.sync()
    assert pair.local.read("here/run.log") == "only here"
    assert pair.pod.read("there/run.log") == "only there"
    assert not (pair.local.root / "here/a.py").exists()
    assert not (pair.pod.root / "there/a.py").exists()
    assert {"here", "there"} <= pair.problems().keys()
