"""What a disk cannot hold is named, never mangled; which of two names that are one to it stays; case 5's table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpod_rp.agent.files.abilities import PLAIN, WINDOWS, Abilities, from_wire, probe
from devpod_rp.sync.disks import Disks, level, unfit
from devpod_rp.sync.trees import Trees
from tests.sync.test_reconcile import entry, tree

FOLDING = Abilities(folds_case=True)
MAC = Abilities(folds_case=True, folds_unicode=True, only_text=True)


@pytest.mark.parametrize(
    ("name", "disk", "refused"),
    [
        ("CON", WINDOWS, True),
        ("con.txt", WINDOWS, True),
        ("lpt9.tar.gz", WINDOWS, True),
        ("CONSOLE", WINDOWS, False),
        ("a:b", WINDOWS, True),
        ("what?", WINDOWS, True),
        ("bell\a", WINDOWS, True),
        ("ends.", WINDOWS, True),
        ("ends ", WINDOWS, True),
        (".hidden", WINDOWS, False),
        ("bad\udcff", WINDOWS, True),
        ("bad\udcff", MAC, True),
        ("a:b", MAC, False),
        ("CON", PLAIN, False),
        ("bad\udcff", PLAIN, False),
    ],
)
def test_a_name_that_a_disk_refuses_is_known_beforehand(name: str, disk: Abilities, refused: bool) -> None:
    found = unfit(tree(**{f"d/{name}": "1"}), {}, {}, disk, "the pod's")
    assert (f"d/{name}" in found.paths) is refused


def test_of_two_names_that_are_one_the_one_that_is_there_stays_and_the_other_is_named() -> None:
    both = tree(a="1", A="2")
    assert set(unfit(both, tree(a="1"), tree(a="1"), FOLDING, "the pod's").paths) == {"A"}
    assert set(unfit(both, {}, tree(a="1"), FOLDING, "the pod's").paths) == {"A"}
    assert len(unfit(both, {}, {}, FOLDING, "the pod's").paths) == 1
    assert unfit(both, {}, {}, PLAIN, "the pod's").paths == {}


def test_both_forms_of_an_accent_are_one_name_to_a_disk_that_says_so() -> None:
    forms = tree(**{"d/\u00e9": "1", "d/e\u0301": "2"})
    assert len(unfit(forms, {}, {}, MAC, "this side's").paths) == 1
    assert unfit(forms, {}, {}, FOLDING, "this side's").paths == {}


def test_a_name_makes_way_for_its_other_spelling_only_when_nothing_of_it_stays() -> None:
    before = tree("Dir/", "Dir/f=1")
    renamed = tree("dir/", "dir/f=1")
    assert unfit(renamed, before, before, FOLDING, "the pod's").first == {"Dir", "Dir/f"}
    made_there = {**before, **tree("Dir/new=1")}
    assert set(unfit(renamed, made_there, before, FOLDING, "the pod's").paths) == {"dir"}
    edited_there = {**before, **tree("Dir/f=2")}
    assert set(unfit(renamed, edited_there, before, FOLDING, "the pod's").paths) == {"dir"}


def test_what_the_pods_disk_cannot_hold_matters_in_every_mode_and_this_sides_only_when_it_comes_here() -> None:
    names = tree(a="1", A="2")
    assert Disks(here=FOLDING).unfit({}, names, {}).paths == {}
    assert len(Disks(here=FOLDING, both_ways=True).unfit({}, names, {}).paths) == 1
    assert len(Disks(there=FOLDING).unfit(names, {}, {}).paths) == 1


def test_only_a_disk_that_names_can_come_to_may_refuse_some() -> None:
    assert Disks(here=FOLDING, there=Abilities(keeps_executable=False)).take_all_names
    assert not Disks(here=FOLDING, both_ways=True).take_all_names
    assert not Disks(there=WINDOWS).take_all_names


def test_a_disk_without_executable_bits_has_those_of_the_other_side() -> None:
    there = Trees().there
    for path, what in {"run": "1", "old": "1*", "new": "1*"}.items():
        there.put(path, entry(what)._replace(digest="ab" * 16))
    level(there, {"run": entry("1*")}, {"old": entry("1")}, list(there))
    assert {path: each.executable for path, each in there.items()} == {"run": True, "old": False, "new": False}


def test_probing_a_plain_disk_finds_it_plain_and_leaves_nothing(tmp_path: Path) -> None:
    assert probe(os.fsencode(tmp_path)) == PLAIN
    assert list(tmp_path.iterdir()) == []


def test_what_another_side_says_is_taken_with_care() -> None:
    assert from_wire(WINDOWS.to_wire()) == WINDOWS
    assert from_wire(None) == from_wire({"unheard_of": 1}) == PLAIN
