"""The ignore rules agree with git, and explain themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devpod_rp.agent.sync.rules import from_wire
from devpod_rp.sync.ignore import IgnoreRules


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def kept(root: Path, rules: IgnoreRules) -> set[str]:
    """Walk *root* as a scan does and return the files that take part."""
    found: set[str] = set()

    def walk(folder: str) -> None:
        for entry in rules.sift(folder, os.scandir(root / folder)):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                walk(path)
            else:
                found.add(path)

    walk("")
    return found


def test_what_tools_rebuild_is_left_out_and_what_users_write_is_not(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "train.py": "", "data/set.csv": "", "build/out.txt": "", "logs/run.log": "", ".env": "",
            "env/settings.py": "",
            ".git/HEAD": "", "node_modules/a/index.js": "", "src/__pycache__/x.pyc": "", ".venv/bin/python": "",
            ".DS_Store": "", ".mypy_cache/x": "", ".train.py.swp": "", ".devpod_rp/stage/x": "",
        },
    )  # fmt: skip
    assert kept(tmp_path, IgnoreRules(tmp_path)) == {
        "train.py", "data/set.csv", "build/out.txt", "logs/run.log", ".env", "env/settings.py",
    }  # fmt: skip


def test_a_stronger_file_brings_back_what_a_weaker_one_leaves_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".gitignore": "*.bin\n/data/\n", ".devpodignore": "!/data/\n", "data/a.bin": "", "data/b.csv": "",
            "models/.gitignore": "!keep.bin\n", "models/keep.bin": "", "models/drop.bin": "", "secret.csv": "",
        },
    )  # fmt: skip
    rules = IgnoreRules(tmp_path, ignore=["secret.*"])
    assert kept(tmp_path, rules) == {
        ".gitignore",
        ".devpodignore",
        "data/b.csv",
        "models/.gitignore",
        "models/keep.bin",
    }


def test_our_own_bookkeeping_can_never_be_brought_back(tmp_path: Path) -> None:
    write(tmp_path, {".devpodignore": "!.devpod_rp/\n!*\n", ".devpod_rp/x": ""})
    assert kept(tmp_path, IgnoreRules(tmp_path)) == {".devpodignore"}


def test_each_answer_names_the_line_that_decided(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "# big\n*.ckpt\n", "sub/.gitignore": "/out\n"})
    rules = IgnoreRules(tmp_path)
    kept(tmp_path, rules)
    assert rules.explain("runs/last.ckpt", False).source == ".gitignore:2"
    assert rules.explain("sub/out/x.txt", False).source == "sub/.gitignore:1"
    assert rules.explain("a/node_modules/b/c.js", False).source == "built-in default"
    assert rules.explain("train.py", False).ignored is False


def test_an_unusable_line_is_reported_and_the_others_still_count(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "!\n*.log\n", "a.log": ""})
    rules = IgnoreRules(tmp_path)
    assert kept(tmp_path, rules) == {".gitignore"}
    assert rules.problems == {".gitignore:1": "not a pattern: !"}


def test_a_changed_ignore_file_counts_from_the_next_walk_on(tmp_path: Path) -> None:
    write(tmp_path, {"sub/.gitignore": "*.log\n", "sub/a.log": "", "sub/a.txt": ""})
    rules = IgnoreRules(tmp_path)
    assert "sub/a.log" not in kept(tmp_path, rules)
    write(tmp_path, {"sub/.gitignore": "*.txt\n"})
    assert kept(tmp_path, rules) == {"sub/.gitignore", "sub/a.log"}
    (tmp_path / "sub/.gitignore").unlink()
    assert kept(tmp_path, rules) == {"sub/a.log", "sub/a.txt"}


def test_a_single_path_is_judged_by_all_folders_above_it_and_by_the_rules_of_now(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "/out/\n*.log\n", "out/a/b.txt": "", "in/a/b.txt": "", "in/a/c.log": ""})
    rules = IgnoreRules(tmp_path)
    paths = ("out", "out/a/b.txt", "in/a/b.txt", "in/a/c.log")
    assert [rules.ignored(path, path == "out") for path in paths] == [True, True, False, True]
    write(tmp_path, {".gitignore": "/in/\n"})
    rules.reload()
    assert [rules.ignored(path, path == "out") for path in paths] == [False, False, True, True]


@pytest.mark.parametrize("more", ["", "/some/path\n"])  # judged by the name alone, or by the path as well
def test_a_link_to_a_folder_is_judged_as_a_file(tmp_path: Path, more: str) -> None:
    write(tmp_path, {".gitignore": "data/\n" + more, "data/set.csv": "", "sub/real/set.csv": ""})
    (tmp_path / "sub/data").symlink_to("real")
    rules = IgnoreRules(tmp_path)
    for folder, expected in (("", {".gitignore", "sub"}), ("sub", {"data", "real"})):
        assert {entry.name for entry in rules.sift(folder, os.scandir(tmp_path / folder))} == expected


def test_names_with_newlines_and_broken_bytes_are_judged_like_any_other(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n", "two\nlines.log": "", "two\nlines/a.log\n": "", "bad\udcff.log": ""})
    assert kept(tmp_path, IgnoreRules(tmp_path)) == {".gitignore", "two\nlines/a.log\n"}


def test_the_pod_decides_exactly_as_this_side(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n!keep.log\n/build/**/x?\n", "sub/.gitignore": "a[0-9]/\n"})
    rules = IgnoreRules(tmp_path, ignore=["*.tmp"])
    assert list(rules.sift("sub", os.scandir(tmp_path / "sub"))), "which reads its rules"
    there = from_wire(rules.rules.to_wire())
    for path in ("a.log", "keep.log", "build/q/xy", "build/q/xyz", "sub/a1", "sub/ab", "x.tmp", ".git", "sub/keep.log"):
        for is_folder in (True, False):
            assert there.keep(path, is_folder) == rules.rules.keep(path, is_folder), path


PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b/", "/a", "a/b", "*", "!a", "!b/", "/*", "!/a", "a/*", "!a/b", "**/b", "a/**", "!**/c", "*.c", "!a.c",
         "b/**/c", "[ab]", "?", "a/**/", "!*/", "# a", "", "c/", "!/a/b/c", "\\!a"]
    ),
    max_size=6,
)  # fmt: skip


NAMES = st.lists(
    st.sampled_from(["a", "b/", "*", "!a", "!b/", "*.c", "!a.c", "[ab]", "?", "!*/", "c/", "[ax]/", "?.c", "!?.c"]),
    max_size=5,
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=60, deadline=None)
@given(top=PATTERNS, nested=PATTERNS)
def test_gitignore_means_here_what_it_means_to_git(
    tmp_path_factory: pytest.TempPathFactory, top: list[str], nested: list[str]
) -> None:
    _compare_with_git(tmp_path_factory.mktemp("repository"), top, nested)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=60, deadline=None)
@given(top=NAMES)
def test_so_do_rules_that_decide_by_names_alone(tmp_path_factory: pytest.TempPathFactory, top: list[str]) -> None:
    _compare_with_git(tmp_path_factory.mktemp("repository"), top, None)


def _compare_with_git(root: Path, top: list[str], nested: list[str] | None) -> None:
    for folder in ("", "a/", "b/", "a/b/", "b/a/", "a/b/c/"):
        (root / folder).mkdir(exist_ok=True)
        for name in ("a.c", "c.c", "x"):
            (root / folder / name).write_text("")
    (root / ".gitignore").write_text("\n".join(top))
    if nested is not None:
        (root / "a/.gitignore").write_text("\n".join(nested))
    quiet = {"cwd": root, "check": True, "capture_output": True}
    subprocess.run(["git", "init", "-q"], **quiet)  # type: ignore[call-overload]
    listed = subprocess.run(["git", "ls-files", "-oz", "--exclude-per-directory=.gitignore"], **quiet)  # type: ignore[call-overload]
    rules, everything = IgnoreRules(root), {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    found = kept(root, rules)
    assert found == {name.decode() for name in listed.stdout.split(b"\0") if name}
    assert {path for path in everything if not rules.ignored(path, False)} == found
