"""The pod's side of a synchronisation: staged, verified, checked against what is there, and never out of the folder."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.files import libc
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.sync import applying, parts, reuse, roots, trash
from devpod_rp.agent.sync.batch import heard, packed
from devpod_rp.agent.sync.own import OWN
from devpod_rp.agent.sync.parts import Parts
from devpod_rp.agent.sync.staging import Staging
from devpod_rp.agent.wire import Refusal, Request

TOKEN = "0123456789abcdef"

_A_COLUMN_EACH = {
    "path": ["f", "g"],
    "digest": ["ab", "cd"],
    "size": [0, 1],
    "mtime_ns": [10**18, 10**18],
    "executable": [False, False],
}


class Pod:
    """A synchronised folder as the agent sees it, driven through its operations."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.root = volume / "project"
        self.fields: dict[str, Any] = {"root": str(self.root), "state": str(volume / ".devpod_rp")}
        self.fields["ino"] = self.open(adopt=TOKEN)["ino"]

    def open(self, **more: Any) -> dict[str, Any]:
        return next(iter(roots.open_root(Request({**self.fields, **more}))))[0]

    def apply(
        self, *items: dict[str, Any], contents: tuple[bytes, ...] = (), compress: bool = False
    ) -> list[dict[str, Any]]:
        body = packed(list(items), list(contents))
        header = {**self.fields, "packed": len(body)} if compress else self.fields
        ((_, answer),) = applying.apply(Request(header, zlib.compress(body) if compress else body))
        failed, stamps = heard(answer)
        return [failed.get(number) or {"ok": True, "stamp": stamp} for number, stamp in enumerate(stamps)]

    def put(self, path: str, content: bytes, old: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return self.apply(file(path, content, old, **more), contents=(content,))[0]

    def trash(self) -> dict[str, bytes]:
        found = {}
        for moment in (self.volume / ".devpod_rp/trash").glob("*/*"):
            for path in moment.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    found[str(path.relative_to(moment))] = path.read_bytes()
        return found

    def litter(self) -> list[str]:
        return [str(path) for path in (self.volume / ".devpod_rp/stage").rglob("*") if not path.is_dir()]


def digest(content: bytes) -> str:
    """As agent.content says, in other words."""
    blocks = [content[at : at + (256 << 10)] for at in range(0, len(content), 256 << 10)] or [b""]
    each = [hashlib.sha256(block) for block in blocks]
    if len(each) == 1:
        return each[0].hexdigest()[:32]
    joined = b"".join(block.digest()[:16] for block in each)
    return hashlib.sha256(b"devpod_rp blocks\0" + joined).hexdigest()[:32]


def version(content: bytes, executable: bool = False) -> dict[str, Any]:
    return {"kind": "file", "digest": digest(content), "executable": executable}


def file(path: str, content: bytes, old: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    item = {"do": "file", "path": path, "old": old, "size": len(content), "mtime_ns": 10**18}
    return {**item, "digest": digest(content), "executable": False, **more}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_a_new_file_arrives_with_its_content_bits_and_time(pod: Pod) -> None:
    assert pod.put("run.sh", b"#!/bin/sh\n", executable=True)["ok"]
    arrived = os.stat(pod.root / "run.sh")
    assert (pod.root / "run.sh").read_bytes() == b"#!/bin/sh\n"
    assert arrived.st_mtime_ns == 10**18
    assert arrived.st_mode & 0o100
    assert arrived.st_nlink == 1
    assert pod.litter() == []


@pytest.mark.parametrize("nameless", [True, False])
def test_many_new_files_travel_in_one_item_each_with_a_result_of_its_own(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:  # as on a disk that gives a file a name from the first
        monkeypatch.setattr(Staging, "_can_be_unnamed", lambda _staging: False)
    expected = {
        "a.txt": None,
        "there.txt": "changed",
        "same.txt": None,
        "run.sh": None,
        "../out": "bad-request",
        "d/deep": None,
        "d/..": "bad-request",
        "d/deeper": None,
        "d/torn": "changed",
        "gone/deep": "not-found",
        "a.txt/b": "changed",
    }
    contents = {path: path.encode() for path in expected}
    (pod.root / "there.txt").write_text("somebody's")
    (pod.root / "same.txt").write_bytes(contents["same.txt"])
    columns = {
        "path": list(contents),
        "digest": [digest(b"" if path == "d/torn" else data) for path, data in contents.items()],
        "size": [len(data) for data in contents.values()],
        "mtime_ns": [10**18] * len(contents),
        "executable": [path == "run.sh" for path in contents],
    }
    results = pod.apply(
        {"do": "dir", "path": "d", "old": None},
        {"do": "files", **columns},
        contents=tuple(contents.values()),
    )
    assert [result.get("code") for result in results] == [None, *expected.values()]
    assert (pod.root / "there.txt").read_text() == "somebody's"
    for path in ("a.txt", "run.sh", "d/deep", "d/deeper"):
        arrived = os.stat(pod.root / path)
        assert (pod.root / path).read_bytes() == contents[path]
        assert (arrived.st_mtime_ns, bool(arrived.st_mode & 0o100)) == (10**18, path == "run.sh")
        assert OWN.explain(os.fsencode(pod.root / path))
    assert not (pod.volume / "out").exists()
    assert not (pod.root / "d/torn").exists()
    assert pod.litter() == []


def test_only_the_last_item_stands_for_many_new_files(pod: Pod) -> None:
    empty = {key: [] for key in _A_COLUMN_EACH}
    (result, _after) = pod.apply({"do": "files", **empty}, {"do": "dir", "path": "d", "old": None})
    assert result["code"] == "bad-request"


def test_a_replaced_version_lies_in_the_trash(pod: Pod) -> None:
    pod.put("f", b"one")
    assert pod.put("f", b"two", old=version(b"one"))["ok"]
    assert (pod.root / "f").read_bytes() == b"two"
    assert pod.trash() == {"f": b"one"}


def test_a_deleted_version_lies_in_the_trash(pod: Pod) -> None:
    pod.apply({"do": "dir", "path": "d", "old": None}, file("d/f", b"one"), contents=(b"one",))
    results = pod.apply(
        {"do": "remove", "path": "d/f", "old": version(b"one")}, {"do": "remove", "path": "d", "old": {"kind": "dir"}}
    )
    assert [result["ok"] for result in results] == [True, True]
    assert not (pod.root / "d").exists()
    assert pod.trash() == {"d/f": b"one"}


@pytest.mark.parametrize(
    ("there", "old"),
    [(b"theirs", version(b"one")), (b"theirs", None)],
    ids=["changed since the launcher looked", "appeared since the launcher looked"],
)
def test_what_is_not_expected_is_not_replaced(pod: Pod, there: bytes, old: dict[str, Any] | None) -> None:
    (pod.root / "f").write_bytes(there)
    result = pod.put("f", b"ours", old=old)
    assert (result["ok"], result["code"]) == (False, "changed")
    assert (pod.root / "f").read_bytes() == b"theirs"
    assert pod.litter() == []


def test_a_file_changed_on_the_pod_is_not_deleted(pod: Pod) -> None:
    (pod.root / "f").write_bytes(b"theirs")
    (result,) = pod.apply({"do": "remove", "path": "f", "old": version(b"one")})
    assert result["code"] == "changed"
    assert (pod.root / "f").read_bytes() == b"theirs"


def test_a_same_size_edit_with_its_old_mtime_restored_is_still_seen(pod: Pod) -> None:
    pod.put("f", b"one")
    before = os.stat(pod.root / "f")
    (pod.root / "f").write_bytes(b"eno")
    os.utime(pod.root / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert pod.put("f", b"two", old=version(b"one"))["code"] == "changed"


def test_a_repeated_batch_changes_nothing_and_is_acknowledged(pod: Pod) -> None:
    pod.put("f", b"one")
    ino = os.stat(pod.root / "f").st_ino
    assert pod.put("f", b"one")["ok"]
    assert os.stat(pod.root / "f").st_ino == ino
    assert pod.apply({"do": "remove", "path": "gone", "old": version(b"x")})[0]["ok"]


def test_content_that_does_not_match_its_digest_never_becomes_visible(pod: Pod) -> None:
    (result,) = pod.apply({**file("f", b"one"), "digest": digest(b"other")}, contents=(b"one",))
    assert result["code"] == "changed"
    assert not (pod.root / "f").exists()
    assert pod.litter() == []


def test_one_refused_item_does_not_hold_up_the_others(pod: Pod) -> None:
    (pod.root / "b").write_bytes(b"theirs")
    results = pod.apply(file("a", b"1"), file("b", b"2"), file("c", b"3"), contents=(b"1", b"2", b"3"), compress=True)
    assert [result["ok"] for result in results] == [True, False, True]
    assert (pod.root / "c").read_bytes() == b"3"


def test_the_executable_bit_alone_changes_no_content_and_no_other_permission(pod: Pod) -> None:
    pod.put("f", b"one")
    os.chmod(pod.root / "f", 0o640)
    item = {**file("f", b"one", version(b"one")), "do": "mode", "executable": True}
    assert pod.apply(item)[0]["ok"]
    assert stat.S_IMODE(os.stat(pod.root / "f").st_mode) == 0o750


def test_a_replaced_file_keeps_the_permissions_it_had_on_the_pod(pod: Pod) -> None:
    pod.put(".env", b"one")
    os.chmod(pod.root / ".env", 0o600)
    assert pod.put(".env", b"two", old=version(b"one"))["ok"]
    assert stat.S_IMODE(os.stat(pod.root / ".env").st_mode) == 0o600


def test_types_change_into_each_other(pod: Pod) -> None:
    pod.put("x", b"one")
    assert pod.apply({"do": "dir", "path": "x", "old": version(b"one")})[0]["ok"]
    assert pod.apply({"do": "symlink", "path": "x", "old": {"kind": "dir"}, "target": "y"})[0]["ok"]
    assert os.readlink(pod.root / "x") == "y"
    assert pod.put("x", b"two", old={"kind": "symlink", "target": "y"})["ok"]
    assert (pod.root / "x").read_bytes() == b"two"


def test_a_folder_with_content_nobody_spoke_of_stays(pod: Pod) -> None:
    pod.apply({"do": "dir", "path": "d", "old": None})
    (pod.root / "d/ignored.log").write_text("kept")
    assert pod.apply({"do": "remove", "path": "d", "old": {"kind": "dir"}})[0]["code"] == "occupied"
    assert pod.put("d", b"file", old={"kind": "dir"})["code"] == "occupied"
    assert (pod.root / "d/ignored.log").read_text() == "kept"


def test_names_survive_byte_by_byte(pod: Pod) -> None:
    names = [
        "two\nlines",
        "-rf",
        " lead",
        "trail. ",
        "$(x)",
        "bad\udcff",
        "\udce9t\udce9",
        "\u00e9",
        "e\u0301",
        "n" * 255,
    ]
    results = pod.apply(*[file(name, b"") for name in names])
    assert all(result["ok"] for result in results)
    assert set(os.listdir(os.fsencode(pod.root))) == {name.encode("utf-8", "surrogateescape") for name in names}


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "a/../x", "/etc/x", "a//b", "a/", "a\0b", 5, None])
def test_a_path_that_could_lead_out_is_refused(pod: Pod, path: Any) -> None:
    assert pod.put(path, b"x")["code"] == "bad-request"
    assert list(pod.root.iterdir()) == []


def test_a_link_in_the_way_is_never_followed(pod: Pod, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (pod.root / "d").symlink_to(outside)
    (outside / "f").write_bytes(b"precious")
    assert pod.put("d/new", b"x")["code"] == "changed"
    assert pod.apply({"do": "remove", "path": "d/f", "old": version(b"precious")})[0]["code"] == "changed"
    (pod.root / "link").symlink_to(outside / "f")
    assert pod.put("link", b"x", old=version(b"precious"))["code"] == "changed"
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"f": b"precious"}


def test_a_folder_swapped_for_a_link_at_any_moment_leads_nowhere(pod: Pod, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    pod.apply({"do": "dir", "path": "d", "old": None})
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            os.rename(pod.root / "d", pod.root / "real")
            os.symlink(outside, pod.root / "d")
            os.unlink(pod.root / "d")
            os.rename(pod.root / "real", pod.root / "d")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(300):
            pod.put(f"d/f{number}", b"x")
    finally:
        done.set()
        swapper.join()
    assert list(outside.iterdir()) == []
    assert pod.litter() == []


def test_what_is_saved_in_the_very_moment_of_the_replacement_is_never_lost(pod: Pod) -> None:
    """Somebody replaces the file again and again; each of those versions is there, was replaced by the next, or lies in
    the trash. The exchange tells the writer what it took away, so that the sum can be made."""
    if not libc.exchange(*_two_files(pod.volume)):
        pytest.skip("this kernel or file system cannot exchange two names")
    pod.put("f", b"ours 0")
    pod.fields["more_follows"] = True  # what a power cut would do is no matter here, and waiting for the disk slow
    folder = os.open(pod.root, os.O_RDONLY)
    written: set[bytes] = set()
    taken: set[bytes] = set()
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            content = b"theirs %d" % len(written)
            mine = pod.volume / "mine"
            mine.write_bytes(content)
            written.add(content)
            libc.exchange(os.fsencode(mine), b"f", folder)
            taken.add(mine.read_bytes())

    writer = threading.Thread(target=write)
    writer.start()
    replaced = 0
    try:
        for number in range(1, 800):
            there = (pod.root / "f").read_bytes()
            replaced += pod.put("f", b"ours %d" % number, old=version(there))["ok"] and there in written
    finally:
        done.set()
        writer.join()
        os.close(folder)
    kept = set(_all_trash(pod)) | taken | {(pod.root / "f").read_bytes()}
    assert written <= kept
    assert replaced, "one of theirs was replaced at all"
    assert pod.litter() == []


def _two_files(volume: Path) -> tuple[bytes, bytes, int]:
    for name in ("one", "other"):
        (volume / name).touch()
    return os.fsencode(volume / "one"), os.fsencode(volume / "other"), os.open(volume, os.O_RDONLY)


def _all_trash(pod: Pod) -> Iterator[bytes]:
    for moment in (pod.volume / ".devpod_rp/trash").glob("*/*"):
        for path in moment.rglob("*"):
            yield path.read_bytes()


def test_a_replaced_root_is_noticed_before_anything_is_written(pod: Pod) -> None:
    os.rename(pod.root, pod.volume / "moved")
    pod.root.mkdir()
    with pytest.raises(Refusal, match="replaced"):
        pod.put("f", b"x")
    pod.root.rmdir()
    with pytest.raises(Refusal, match="gone"):
        pod.put("f", b"x")


def test_identity_outlives_the_agent_and_names_a_replaced_folder(pod: Pod) -> None:
    assert pod.open()["token"] == TOKEN
    assert pod.open()["recorded_ino"] == pod.open()["ino"]
    os.rename(pod.root, pod.volume / "moved")
    assert pod.open()["exists"] is False
    pod.root.mkdir()
    assert pod.open()["recorded_ino"] != pod.open()["ino"]
    assert pod.open()["empty"] is True


def test_a_large_file_arrives_in_parts_in_any_order(pod: Pod) -> None:
    content = os.urandom(300_000)
    for offset in (200_000, 0, 100_000):
        header = {**pod.fields, "staged": "ab" * 16, "offset": offset}
        list(applying.stage(Request(header, content[offset : offset + 100_000])))
    assert list(pod.root.iterdir()) == []
    assert pod.apply(file("big", content, staged="ab" * 16))[0]["ok"]
    assert (pod.root / "big").read_bytes() == content
    assert pod.litter() == []


@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_a_large_file_need_not_be_hashed_again_once_it_is_there(pod: Pod, old: bytes | None) -> None:
    content = bytes(64 << 20)
    if old is not None:
        pod.put("big", old)
    list(applying.stage(Request({**pod.fields, "staged": "ab" * 16, "offset": 0}, content)))
    expected = None if old is None else version(old)
    (result,) = pod.apply(file("big", content, expected, staged="ab" * 16, mtime_ns=time.time_ns()))
    assert result["stamp"] == Stamp.of(os.lstat(pod.root / "big")), "any later write shows in it"
    assert OWN.explain(os.fsencode(pod.root / "big")), "its events are no news"


@pytest.mark.parametrize("replaced", [True, False])
def test_pieces_of_another_version_are_copied_on_the_pod(pod: Pod, replaced: bool) -> None:
    old = os.urandom(6 << 20)
    pod.put("big", old)
    front, kept = b"front" * 1000, json.dumps([[5000, 0, len(old)]]).encode()
    header = {**pod.fields, "staged": "ab" * 16}
    list(reuse.reuse(Request({**header, "path": "big", "replaced": replaced}, kept)))
    list(applying.stage(Request({**header, "offset": 0}, front)))
    assert (pod.root / "big").read_bytes() == old
    assert pod.apply(file("big", front + old, version(old), staged="ab" * 16))[0]["ok"]
    assert (pod.root / "big").read_bytes() == front + old
    assert pod.trash() == {"big": old}


@pytest.mark.parametrize("occasion", ["settling", "the next batch"])
def test_the_trash_is_tidied_when_nobody_waits_for_an_answer(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, occasion: str
) -> None:
    monkeypatch.setattr(trash, "_LOOK_BYTES", 3)
    pod.fields["more_follows"] = True
    pod.put("f", b"one")
    pod.put("f", b"two", version(b"one"))
    (moment,) = (pod.volume / ".devpod_rp/trash").glob("*/*")
    os.utime(moment, (1000, 1000))
    assert pod.trash() == {"f": b"one"}
    if occasion == "settling":
        list(applying.settle(Request(pod.fields), threading.Event()))
    else:
        pod.put("g", b"other")
    assert pod.trash() == {}


def test_what_comes_from_far_is_handed_to_the_disk_on_the_way(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[os.stat_result] = []
    monkeypatch.setattr(parts, "_WRITE_BACK_BYTES", 5)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: handed.append(os.fstat(descriptor)))
    for offset in (0, 4, 8):
        list(applying.stage(Request({**pod.fields, "staged": "ab" * 16, "offset": offset}, b"part")))
    for thread in threading.enumerate():
        if thread.name == "agent-write-back":
            thread.join()
    assert pod.apply(file("big", b"part" * 3, staged="ab" * 16))[0]["ok"]
    assert [status.st_ino for status in handed] == [(pod.root / "big").stat().st_ino]


def test_holes_stay_holes_when_an_upload_that_was_cut_goes_on(pod: Pod) -> None:
    content = b"begin" + bytes(8 << 20)
    earlier = Parts().open(roots.Area(pod.fields), "ab" * 16)
    earlier.write(0, content[: 1 << 20])
    earlier.close()
    list(applying.stage(Request({**pod.fields, "staged": "ab" * 16, "offset": 1 << 20}, content[1 << 20 :])))
    assert pod.apply(file("big", content, staged="ab" * 16))[0]["ok"]
    assert (pod.root / "big").read_bytes() == content
    assert (pod.root / "big").stat().st_blocks * 512 < 1 << 20


def test_an_upload_that_was_given_up_leaves_nothing(pod: Pod) -> None:
    header = {**pod.fields, "staged": "ab" * 16, "offset": 0}
    list(applying.stage(Request(header, b"part")))
    list(applying.discard(Request(header)))
    assert pod.litter() == []
    list(applying.stage(Request(header, b"part")))
    (abandoned,) = pod.litter()
    pod.open(adopt=TOKEN)
    assert pod.litter() == [abandoned], "a cut upload goes on from its parts"
    yesterday = time.time() - 25 * 3600
    os.utime(abandoned, (yesterday, yesterday))
    pod.open(adopt=TOKEN)
    assert pod.litter() == []


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"packed": 1 << 40}, b""),
        ({"packed": 10}, zlib.compress(b"0" * 1000)),
        ({"packed": 5}, b"not zlib"),
        ({}, b"\0\0\0\2{}"),
        ({}, b"\xff\xff\xff\xff[]"),
        ({}, packed([{"do": "file", "path": "f", "size": -1}], [])),
        ({}, packed([{"do": "file", "path": "f", "size": 5}], [b"123"])),
        ({}, packed([{"do": "files", **_A_COLUMN_EACH, "size": [1]}], [b"x"])),
        ({}, packed([{"do": "files", **_A_COLUMN_EACH, "digest": "ab"}], [b"x"])),
        ({}, packed([{"do": "files", **_A_COLUMN_EACH, "size": [-1, 1]}], [b""])),
        ({}, packed([{"do": "files", **_A_COLUMN_EACH, "size": [1, 2]}], [b"x"])),
        ({}, packed([{"do": "files", "path": 5}], [])),
        ({}, packed([{"do": "files"}], [])),
        ({"root": "relative"}, packed([], [])),
    ],
)
def test_a_hostile_frame_is_refused_whole(pod: Pod, header: dict[str, Any], body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        list(applying.apply(Request({**pod.fields, **header}, body)))
    assert refusal.value.code == "bad-request"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; needs root."""
    target = tmp_path / "small"
    target.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=1m tmpfs '{target}' 2>/dev/null") != 0:
        pytest.skip("mounting a small tmpfs is not possible here")
    yield target
    os.system(f"umount '{target}'")


def test_a_full_disk_keeps_the_old_content_and_leaves_no_litter(small_disk: Path) -> None:
    pod = Pod(small_disk)
    assert pod.put("f", b"one")["ok"]
    content = os.urandom(2 << 20)
    results = pod.apply(file("f", content, version(b"one")), file("g", b"small"), contents=(content, b"small"))
    assert (results[0]["code"], results[1]["ok"]) == ("no-space", True)
    assert (pod.root / "f").read_bytes() == b"one"
    assert pod.litter() == []
    header = {**pod.fields, "staged": "ab" * 16, "offset": 0}
    with pytest.raises(OSError, match="No space"):
        list(applying.stage(Request(header, content)))
    assert pod.litter() == []


def test_staged_content_has_no_name_where_the_kernel_can_do_that(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    try:
        os.close(os.open(stage, os.O_WRONLY | os.O_TMPFILE))
    except OSError:
        pytest.skip("this file system has no files without a name")
    folder = os.open(tmp_path, os.O_RDONLY)
    staged = Staging(os.fsencode(stage)).create(b"new")
    assert list(stage.iterdir()) == []
    staged.appear(folder, b"file")
    with pytest.raises(FileExistsError):
        staged.appear(folder, b"file")
    staged.close()
    os.close(folder)
    assert (tmp_path / "file").read_bytes() == b"new"
