"""What a first upload would carry is said before it travels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync import preview
from devpod_rp.sync.ignore import IgnoreRules


def tree(**sizes: int) -> dict[str, Entry]:
    entries = {}
    for path, size in sizes.items():
        for folder in preview._folders(path):
            entries[folder.rstrip("/")] = Entry("dir", 0, False, "", "", 0)
        entries[path] = Entry("file", size, False, "", "", 0)
    return entries


def test_files_and_bytes_are_counted_and_the_heaviest_named_where_the_weight_is() -> None:
    found = preview.summary(
        tree(**{"train.py": 10, "data/raw/a.bin": 400, "data/raw/b.bin": 500, "data/notes.txt": 5, "models/x.pt": 90})
    )
    assert (found.files, found.size_bytes) == (5, 1005)
    assert [(each.path, each.files, each.size_bytes) for each in found.heaviest] == [
        ("data/raw/", 2, 900),
        ("models/x.pt", 1, 90),
        ("train.py", 1, 10),
    ]


def test_an_empty_folder_weighs_nothing() -> None:
    found = preview.summary({})
    assert found == preview.Preview(0, 0, (), ())


@pytest.mark.parametrize(
    "path",
    [".env", "app/.env.production", ".envrc", "keys/id_ed25519", "server.pem", "tls.KEY", ".aws/credentials",
     "client_secret_123.json", "service-account-prod.json", "config/secrets.yaml", ".netrc", "kaggle.json"],
)  # fmt: skip
def test_names_of_secrets_are_known(path: str) -> None:
    assert preview.summary(tree(**{path: 1, "train.py": 1})).secrets == (path,)


@pytest.mark.parametrize(
    "path", [".env.example", "id_ed25519.pub", "secrets.py", "environment.yml", "keyboard.py", "monkey", "README.md"]
)
def test_what_only_resembles_one_is_not_named(path: str) -> None:
    assert not preview.looks_secret(path)


def test_what_is_ignored_is_not_counted_and_no_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "noise.log").write_text("noise")
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "x").write_text("12345")
    (tmp_path / "kept.py").write_text("123")
    found = preview.preview(tmp_path, ["listed/"])
    assert {each.path for each in found.heaviest} == {"kept.py", ".gitignore"}
    assert found.size_bytes == 3 + len("*.log\n")


def test_names_that_share_a_file_are_counted(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("12345")
    for name in ("two", "three"):
        os.link(tmp_path / "one", tmp_path / name)
    (tmp_path / "other").write_text("12345")
    found = preview.preview(tmp_path)
    assert (found.files, found.hard_links) == (4, 2)
    assert found.as_json()["hard_links"] == 2


@pytest.mark.parametrize(
    "path", ["data/", "data/raw/", "a b.bin", "trailing ", "star*.bin", "[x]/", "!bang", "#hash", "back\\slash", "ünï"]
)
def test_the_line_that_is_offered_leaves_out_that_path_and_no_other(tmp_path: Path, path: str) -> None:
    (tmp_path / ".devpodignore").write_text(preview.ignore_line(path) + "\n", encoding="utf-8")
    rules = IgnoreRules(tmp_path)
    name = path.rstrip("/")
    assert rules.ignored(name, path.endswith("/"))
    for other in ("starfish.bin", "x", "data2", f"deeper/{name}", "trailing", "a", "bang", "hash"):
        assert not rules.ignored(other, path.endswith("/")), other


@pytest.mark.parametrize("path", ["two\nlines", "caf\udce9"])
def test_a_name_that_no_line_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="ignore file"):
        preview.ignore_line(path)
