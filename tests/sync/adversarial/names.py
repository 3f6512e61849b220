"""Cases 1 to 5: names that are awkward, or that one of the two sides cannot hold."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from tests.sync.adversarial.scene import Scene, quiet, settled
from tests.sync.conftest import Pair

AWKWARD = (
    "two\nlines", "tab\there", "-rf", " leads", "ends ", "ends.", "$(touch x)", "`x`", '"quoted"', "it's",
    "back\\slash", "a:b", "CON", "*?[]", "~", "...", "n" * 255,
)  # fmt: skip
BROKEN = (b"latin-\xe9", b"\xff\xfe", b"surrogate-\xed\xa0\x80", b"cut-\xe2\x82")
PRECOMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")


def strange_names_arrive_byte_by_byte_both_ways(scene: Scene) -> None:
    pair = scene.pair()
    for name in AWKWARD:
        pair.local.write(f"here/{name}", "1")
        pair.pod.write(f"there/{name}", "1")
        pair.local.write(f"folder {name}"[:255] + "/f", "1")
    settled(pair)
    assert len(os.listdir(pair.pod.root / "here")) == len(os.listdir(pair.local.root / "there")) == len(AWKWARD)
    for name in AWKWARD:
        pair.local.write(f"here/{name}", "edited")
        pair.pod.delete(f"there/{name}")
    settled(pair)
    assert pair.pod.read("here/-rf") == "edited"
    assert pair.conflicts() == []


def a_path_beyond_4096_bytes_is_named_and_holds_nothing_else_up(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"before.txt": "b", "zzz.txt": "z"})
    name = "d" * 250
    folder = os.open(pair.local.root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("precious", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    os.close(folder)
    pair.sync()
    assert pair.pod.read("before.txt") == "b"
    assert pair.pod.read("zzz.txt") == "z"
    arrived = _deepest(pair.pod.root) == _deepest(pair.local.root)
    assert arrived or any(path.startswith(name) for path in pair.problems()), pair.problems()
    pair.sync()
    assert _deepest(pair.local.root)[1] == ["precious"], "what does not fit on one side is not deleted on the other"


def names_that_are_no_text_arrive_byte_by_byte(scene: Scene) -> None:
    pair = scene.pair()
    for number, name in enumerate(BROKEN):
        (pair.local.root / os.fsdecode(name)).write_text(f"here {number}")
        pair.pod.write(f"from the pod/{os.fsdecode(name)}", f"there {number}")
    settled(pair)
    assert set(BROKEN) < set(os.listdir(os.fsencode(pair.pod.root)))
    assert set(BROKEN) == set(os.listdir(os.fsencode(pair.local.root / "from the pod")))
    pair.restart()
    quiet(pair)


def both_unicode_forms_of_one_name_are_two_files(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({f"d/{PRECOMPOSED}": "composed", f"d/{DECOMPOSED}": "decomposed"})
    settled(pair)
    assert len(os.listdir(pair.pod.root / "d")) == 2
    pair.pod.write(f"d/{DECOMPOSED}", "edited")
    settled(pair)
    assert pair.local.read(f"d/{PRECOMPOSED}") == "composed"
    assert pair.local.read(f"d/{DECOMPOSED}") == "edited"


def _deepest(root: Path) -> tuple[int, list[str]]:
    """How deep the only branch of folders goes, and what lies at its end."""
    folder, depth = os.open(root, os.O_RDONLY), 0
    try:
        while True:
            names = [each for each in os.listdir(folder) if each.startswith("d" * 250)]
            if not names:
                return depth, [each for each in os.listdir(folder) if depth]
            below = os.open(names[0], os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder, depth = below, depth + 1
    finally:
        os.close(folder)


# A disk that cannot tell some names apart, here or on the pod.


def names_that_differ_in_case_only_are_named_not_merged_on_a_pod_that_folds_case(scene: Scene) -> None:
    pair = scene.pair()
    scene.stick(pair.volume)
    pair.both({"A.txt": "upper", "a.txt": "lower", "d/x": "x", "D/y": "y", "plain": "p"})
    pair.sync()
    _one_of_each_pair_is_named(pair)
    assert pair.local.files() == {"A.txt": "upper", "a.txt": "lower", "d": "/", "D": "/", "d/x": "x", "D/y": "y",
                                  "plain": "p"}  # fmt: skip
    there = pair.pod.files()
    assert there["plain"] == "p"
    assert all(pair.local.files().get(path) == text for path, text in there.items()), "each under its own name"
    quiet(pair)
    pair.local.delete("A.txt")
    pair.local.delete("a.txt")
    pair.local.write("A.txt", "alone now")
    settled(pair, but=("d", "D"))
    assert pair.pod.read("A.txt") == "alone now"


def names_that_differ_in_case_only_are_named_not_merged_on_a_folder_here_that_folds_case(scene: Scene) -> None:
    pair = scene.pair()
    scene.stick(pair.local.root)
    pair.local.write("plain", "p")
    for path, text in {"A.txt": "upper", "a.txt": "lower", "d/x": "x", "D/y": "y"}.items():
        pair.pod.write(path, text)
    pair.sync()
    _one_of_each_pair_is_named(pair)
    assert pair.pod.files().items() >= {"A.txt": "upper", "a.txt": "lower", "d/x": "x", "D/y": "y"}.items()
    assert all(
        pair.pod.files().get(path) == text
        for path, text in pair.local.files().items()
        if not path.startswith(".devpod_rp")
    )
    quiet_here(pair)


def a_rename_that_changes_the_case_only_reaches_a_disk_that_folds_case(scene: Scene) -> None:
    pair = scene.pair()
    scene.stick(pair.volume)
    pair.both({"Foo.txt": "1", "Dir/f": "1", "other": "o"})
    settled(pair)
    os.rename(pair.local.root / "Foo.txt", pair.local.root / "foo.txt")
    os.rename(pair.local.root / "Dir", pair.local.root / "dir")
    settled(pair)
    assert sorted(os.listdir(pair.pod.root)) == ["dir", "foo.txt", "other"]
    assert pair.pod.read("dir/f") == "1"


def names_that_the_pods_disk_refuses_are_named(scene: Scene) -> None:
    pair = scene.pair()
    scene.stick(pair.volume)
    pair.both({"a:b": "1", "what?": "2", "fine": "3", "d/also:not": "4"})
    pair.sync()
    assert set(pair.problems()) == {"a:b", "what?", "d/also:not"}
    assert pair.pod.read("fine") == "3"
    quiet(pair)
    assert pair.local.read("a:b") == "1", "what the pod cannot hold is not taken for deleted there"
    pair.restart()
    pair.sync()
    assert "a:b" in pair.problems()


def _one_of_each_pair_is_named(pair: Pair) -> None:
    problems = pair.problems()
    for one, other in (("A.txt", "a.txt"), ("d", "D")):
        assert {one, other} & problems.keys(), problems
    assert any("case" in reason for reason in problems.values()), problems


def quiet_here(pair: Pair) -> None:
    for _ in range(2):
        result = pair.sync()
    assert (result.uploaded_files, result.downloaded_files, result.deleted, result.deleted_here) == (0, 0, 0, 0)
