"""A scan sees every name as it is, follows nothing, opens nothing that could block, and knows what it does not know."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.files import content, finds, places
from devpod_rp.agent.files.entries import Entry, Snapshot, relative
from devpod_rp.agent.files.tree import Walk, look

LATER_NS = 60_000_000_000


def scan(root: str, **wishes: Any) -> Snapshot:
    """What one walk finds, from its beginning to its end."""
    walk = Walk(root, **wishes)
    for _step in walk.steps():
        pass
    return walk.take()


def settled(root: Path) -> Snapshot:
    """A scan that happens, as far as the file system's clock goes, a minute from now: nothing is fresh."""
    return scan(str(root), now_ns=time.time_ns() + LATER_NS)


def digest(content: bytes) -> str:
    """As agent.content says, in other words."""
    blocks = [content[at : at + (256 << 10)] for at in range(0, len(content), 256 << 10)] or [b""]
    each = [hashlib.sha256(block) for block in blocks]
    if len(each) == 1:
        return each[0].hexdigest()[:32]
    joined = b"".join(block.digest()[:16] for block in each)
    return hashlib.sha256(b"devpod_rp blocks\0" + joined).hexdigest()[:32]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an unprivileged user can reach too."""
    folder = Path(tempfile.mkdtemp(prefix="devpod-tree-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Runs the test as nobody, to whom permissions apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


# What is there.


def test_files_folders_and_links_are_reported_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_bytes(b"print()\n")
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "latest").symlink_to("src/main.py")
    os.utime(tmp_path / "run.sh", ns=(5, 7))
    found = scan(str(tmp_path))
    mtime_ns = (tmp_path / "src" / "main.py").stat().st_mtime_ns
    assert found.entries == {
        "src": Entry("dir", 0, False, "", "", 0),
        "src/main.py": Entry("file", 8, False, digest(b"print()\n"), "", mtime_ns),
        "run.sh": Entry("file", 10, True, digest(b"#!/bin/sh\n"), "", 7),
        "empty": Entry("dir", 0, False, "", "", 0),
        "latest": Entry("symlink", 0, False, "", "src/main.py", (tmp_path / "latest").lstat().st_mtime_ns),
    }
    assert set(found.stamps) == {"src/main.py", "run.sh"}
    assert found.unknown == {}
    assert found.special == {}


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_content_of_every_size_is_hashed_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert scan(str(tmp_path)).entries["file"].digest == digest(content)


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline",
        b"tab\t",
        b"-rf",
        b" leading and trailing ",
        b"$(reboot)",
        b"quote'\"`",
        b"back\\slash",
        b"dots...",
        b"\xff\xfe not utf-8",
        b"caf\xe9",
        "ﬁ NFD: é".encode(),
        b"x" * 255,
        b"*?[a]",
    ],
)
def test_case_1_and_2_strange_names_survive(tmp_path: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as stream:
        stream.write(b"x")
    (path,) = scan(str(tmp_path)).entries
    assert os.fsencode(path) == name


def test_case_3_both_unicode_forms_of_one_name_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "\u00e9").write_bytes(b"composed")
    (tmp_path / "e\u0301").write_bytes(b"decomposed")
    assert len(scan(str(tmp_path)).entries) == 2


def test_case_9_links_are_text_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    root = tmp_path / "root"
    root.mkdir()
    targets = {
        "absolute": str(outside),
        "upward": "../outside",
        "loop": "loop",
        "dangling": "nowhere/at/all",
        "parent": "..",
        "to-file": "../outside/secret",
    }
    for name, target in targets.items():
        (root / name).symlink_to(target)
    found = scan(str(root))
    assert {path: entry.target for path, entry in found.entries.items()} == targets
    assert found.stamps == {}


def test_case_11_pipes_and_sockets_are_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    here = os.open(tmp_path, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    found = scan(str(tmp_path))
    assert found.special == {"pipe": "named pipe", "socket": "socket"}
    assert found.entries == {}


def test_hard_links_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "b")
    assert set(scan(str(tmp_path)).stamps) == {"a", "b"}


def test_case_42_a_folder_300_levels_deep_and_one_with_5000_files(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _level in range(300):
        os.mkdir("a-rather-long-name", dir_fd=descriptor)
        below = os.open("a-rather-long-name", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    wide = tmp_path / "wide"
    wide.mkdir()
    for number in range(5000):
        (wide / str(number)).touch()
    found = scan(str(tmp_path))
    assert found.unknown == {}
    # More than PATH_MAX bytes: reachable only folder by folder.
    assert max(len(path) for path in found.entries) > 4096
    assert len(found.entries) == 300 + 1 + 1 + 5000


# What takes part.


def test_what_is_left_out_is_not_entered(tmp_path: Path) -> None:
    for folder in ("src/node_modules/left-pad", "build/lib", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("src/node_modules/left-pad/index.js", "build/lib/x.o", "docs/a.log", "docs/a.md"):
        (tmp_path / file).touch()
    asked: list[str] = []

    def sift(folder: str, listing: Iterable[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        asked.append(folder)
        return [each for each in listing if each.name not in ("build", "node_modules", "a.log")]

    assert set(scan(str(tmp_path), sift=sift).entries) == {"src", "docs", "docs/a.md"}
    assert sorted(asked) == ["", "docs", "src"]


# What is not known.


def test_case_19_a_folder_that_cannot_be_listed_is_unknown_not_empty(open_folder: Path, unprivileged: None) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
    (open_folder / "private").mkdir()
    (open_folder / "private" / "file").touch()
    (open_folder / "private").chmod(0)
    (open_folder / "seen").write_bytes(b"x")
    if os.getuid() == 0:
        os.seteuid(65534)
    found = scan(str(open_folder))
    assert found.unknown == {"private": "Permission denied"}
    assert found.entries["private"].kind == "dir"
    assert "seen" in found.entries


def test_case_7_a_file_that_cannot_be_read_is_unknown_not_absent(open_folder: Path, unprivileged: None) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
    (open_folder / "secret").touch()
    (open_folder / "secret").chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    found = scan(str(open_folder))
    assert found.unknown == {"secret": "Permission denied"}
    assert found.entries == {}


def test_case_12_a_folder_swapped_for_a_link_after_it_was_listed_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)

    walk = Walk(str(root))
    steps = walk.steps()
    next(steps)  # the root is listed
    (root / "folder").rmdir()
    (root / "folder").symlink_to(outside)
    for _step in steps:
        pass
    found = walk.take()
    assert set(found.entries) == {"folder"}
    assert set(found.unknown) == {"folder"}


def test_case_10_a_folder_flipping_between_folder_and_link_never_leads_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "inside").touch()
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            os.rename(root / "a" / "b", tmp_path / "aside")
            os.rename(root / "link", root / "a" / "b")
            os.rename(root / "a" / "b", root / "link")
            os.rename(tmp_path / "aside", root / "a" / "b")

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        for _attempt in range(500):
            assert not any("secret" in path for path in scan(str(root)).entries)
            assert "a/b/secret" not in look(str(root), ["a/b/secret"]).entries
    finally:
        stop.set()
        flipping.join()


def test_case_3_a_file_written_while_it_is_read_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    path.touch()
    os.truncate(path, 512 << 20)  # sparse: nothing on disk, but seconds of progress to be told

    def write(_seen: int, hashed_bytes: int) -> None:
        if hashed_bytes:
            os.truncate(path, 5 << 20)

    found = scan(str(tmp_path), progress=write)
    assert found.unknown == {"growing.log": "it was written while it was read"}
    assert found.entries == {}


def test_a_small_file_written_between_its_listing_and_its_reading_is_read_as_it_is_then(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("before")
    walk = Walk(str(tmp_path))
    steps = walk.steps()
    next(steps)  # the folder is listed
    (tmp_path / "notes.txt").write_text("and after")
    assert list(steps)
    found = walk.take()
    assert found.unknown == {}
    assert found.entries["notes.txt"].digest == content.digest(b"and after")


def test_a_file_that_vanishes_after_it_was_listed_is_unknown_for_this_scan(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def remove(_folder: str, listing: Iterable[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        entries = list(listing)
        (tmp_path / "file").unlink()
        return entries

    found = scan(str(tmp_path), sift=remove)
    assert set(found.unknown) == {"file"}


@pytest.mark.parametrize("what", ["absent", "file", "link"])
def test_case_18_a_root_that_is_no_folder_is_an_error_never_an_empty_tree(tmp_path: Path, what: str) -> None:
    root = tmp_path / "root"
    if what == "file":
        root.touch()
    if what == "link":
        (tmp_path / "real").mkdir()
        root.symlink_to("real")
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        scan(str(root))


# Digests that need not be computed again.


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    first = settled(tmp_path)
    stamp, _digest = first.digests()["file"]
    again = scan(str(tmp_path), recall={"file": (stamp, "remembered")}.get)
    assert again.entries["file"].digest == "remembered"
    assert again.stamps == first.stamps


def test_case_13_a_same_size_rewrite_with_its_mtime_restored_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "table.xls"
    path.write_bytes(b"one")
    before = path.stat()
    known = settled(tmp_path).digests()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scan(str(tmp_path), recall=known.get).entries["table.xls"].digest == digest(b"two")


def test_case_21_a_file_written_in_the_tick_of_the_scan_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    found = scan(str(tmp_path))
    assert found.fresh == {"file"}
    assert found.digests() == {}
    assert set(settled(tmp_path).digests()) == {"file"}


def test_a_long_file_written_a_moment_ago_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finds, "_LONG_BYTES", 5)
    (tmp_path / "long").write_bytes(b"one two")
    (tmp_path / "short").write_bytes(b"one")
    found = scan(str(tmp_path))
    assert "long" not in found.fresh
    assert found.entries["long"].digest == digest(b"one two")


def test_a_long_file_that_is_being_written_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finds, "_LONG_BYTES", 5)
    read: list[int] = []
    monkeypatch.setattr(content, "digest_of", lambda descriptor, _size, _told: read.append(descriptor))
    monkeypatch.setattr(time, "sleep", lambda _seconds: (tmp_path / "long").write_bytes(b"one two three"))
    (tmp_path / "long").write_bytes(b"one two")
    found = scan(str(tmp_path))
    assert found.unknown == {"long": "it was written while it was read"}
    assert read == []


def test_case_14_a_file_from_the_future_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert scan(str(tmp_path), now_ns=time.time_ns() - LATER_NS).digests() == {}


def test_a_changed_executable_bit_changes_the_entry_and_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.touch(0o644)
    before = settled(tmp_path)
    path.chmod(0o755)
    after = scan(str(tmp_path), recall=before.digests().get)
    assert (before.entries["run"].executable, after.entries["run"].executable) == (False, True)
    assert stat.S_IMODE(after.stamps["run"].mode) == 0o755


def test_a_walk_that_reads_nothing_still_tells_every_stamp(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"weights")
    (tmp_path / "link").symlink_to("checkpoint.pt")
    walk = Walk(str(tmp_path), reads=False)
    for _step in walk.steps():
        pass
    found = walk.take()
    assert walk.hashed_bytes == 0
    assert found.entries["checkpoint.pt"].digest == ""
    assert found.entries["link"].target == "checkpoint.pt"
    assert found.stamps == settled(tmp_path).stamps


# Looking at single paths.


def test_look_reports_single_paths_and_leaves_out_what_is_absent(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(b"x")
    (tmp_path / "a" / "b" / "below").touch()
    (tmp_path / "link").symlink_to("a")
    found = look(str(tmp_path), ["a/file", "a/b", "link", "gone", "a/gone", "a/file/below", "link/file"])
    assert {path: entry.kind for path, entry in found.entries.items()} == {
        "a/file": "file",
        "a/b": "dir",
        "link": "symlink",
    }
    assert found.unknown == {}
    assert found.entries["a/file"].digest == digest(b"x")


@pytest.mark.parametrize("path", ["", ".", "..", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a/.", "nul\0"])
def test_case_39_a_path_that_could_lead_out_is_refused(tmp_path: Path, path: str) -> None:
    assert not relative(path)
    with pytest.raises(ValueError, match="not a relative path"):
        look(str(tmp_path), [path])


def test_look_at_an_absent_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look(str(tmp_path / "gone"), ["file"])


# The rest.


def test_progress_is_told_entries_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    told: list[tuple[int, int]] = []
    scan(str(tmp_path), progress=lambda seen, hashed: told.append((seen, hashed)))
    assert told
    assert told[0][0] == 1


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    before = os.listdir("/proc/self/fd")
    scan(str(tmp_path))
    look(str(tmp_path), ["a/b/c", "a/file", "a/file/x"])
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_a_place_works_with_and_without_descriptors(tmp_path: Path, by_descriptor: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("folder")
    top = places.enter(str(tmp_path), by_descriptor=by_descriptor)
    with top.listing() as listing:
        sizes = {entry.name: top.status_of(entry).st_ino for entry in listing}
    assert set(sizes) == {"folder", "link"}
    assert top.target("link") == "folder"
    with pytest.raises(NotADirectoryError):
        top.enter("link")
    inside = top.enter("folder")
    descriptor = inside.open("file")
    assert os.read(descriptor, 10) == b"x"
    os.close(descriptor)
    assert inside.status("file").st_size == 1
    inside.close()
    top.close()
