"""What is at risk comes to this machine as it was, goes on after a cut, and a hostile pod reaches nothing else here."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.wire import Frame
from devpod_rp.errors import UsageError
from devpod_rp.guard.arrival import Arrival, CannotKeep
from devpod_rp.guard.download import download
from devpod_rp.guard.taken import Nonsense, unchanged
from devpod_rp.pod.link import LinkLost
from tests.agent.containers import Container
from tests.guard.links import DirectLink

MB = 1 << 20


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


@pytest.fixture
def here(tmp_path):
    return tmp_path / "here"


class Counting:
    """A link that counts the bytes that came, and breaks after *frames* of them."""

    def __init__(self, link: Any, frames: int | None = None) -> None:
        self._link = link
        self._left = frames
        self.bytes = 0

    def call(self, op: str, body: bytes = b"", **fields: Any) -> Frame:
        return list(self.stream(op, body, **fields))[-1]

    def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
        for frame in self._link.stream(op, body, **fields):
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise LinkLost("cut")
            self.bytes += len(frame.body)
            yield frame


class Saying:
    """A pod that answers what it likes."""

    def __init__(self, **answers: list[Frame]) -> None:
        self._answers = answers

    def call(self, op: str, body: bytes = b"", **fields: Any) -> Frame:
        return list(self.stream(op, body, **fields))[-1]

    def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
        yield from self._answers[op.replace(".", "_")]


def row(path: str, **changes: Any) -> dict[str, Any]:
    plain = {"stamp": [7, 3, 1, 1], "mode": 0o644, "uid": 0, "gid": 0, "device": 1, "links": 1, "target": None}
    return {"path": path, **plain, **changes}


def looked(*rows: Any) -> list[Frame]:
    return [Frame({}, json.dumps(rows).encode())]


def noise(size: int) -> bytes:
    return os.urandom(size)


def test_bytes_modes_times_and_links_are_those_of_the_pod(pod, here) -> None:
    script = pod.write("/root/work/run.sh", "#!/bin/sh\n")
    script.chmod(0o750)
    os.utime(script, ns=(1, 1_234_567_890_123_456_789))
    script.with_name("link").symlink_to("/root/work/run.sh")
    large = pod.write("/root/work/model.pt", noise(5 * MB))
    os.utime(script.parent, ns=(1, 987_654_321_000_000_000))
    script.parent.chmod(0o755)
    paths = ["/root/work/run.sh", "/root/work/link", "/root/work/model.pt"]
    done = download(DirectLink(pod), paths, here)
    assert (done.files, done.failed) == (3, {})
    for name in ("run.sh", "model.pt"):
        before, after = pod.path(f"/root/work/{name}"), here / "root/work" / name
        assert after.read_bytes() == before.read_bytes()
        assert (after.stat().st_mode, after.stat().st_mtime_ns) == (before.stat().st_mode, before.stat().st_mtime_ns)
    assert os.readlink(here / "root/work/link") == "/root/work/run.sh"
    assert (here / "root/work").stat().st_mtime_ns == 987_654_321_000_000_000
    assert done.bytes == large.stat().st_size + script.stat().st_size
    assert sorted(os.listdir(here)) == [".devpod-rescue.json", "root"]


def test_holes_are_neither_sent_nor_stored(pod, here) -> None:
    sparse = pod.write("/root/sparse", b"begin")
    with open(sparse, "r+b") as stream:
        stream.seek(300 * MB)
        stream.write(b"middle")
        stream.truncate(400 * MB)
    link = Counting(DirectLink(pod))
    assert download(link, ["/root/sparse"], here).complete
    assert link.bytes < 4 * MB
    assert (here / "root/sparse").stat().st_blocks * 512 < 4 * MB
    assert subprocess.run(["cmp", sparse, here / "root/sparse"], check=False).returncode == 0


def test_a_file_with_two_names_is_stored_once(pod, here) -> None:
    first = pod.write("/root/a", noise(2 * MB))
    os.link(first, pod.path("/root/b"))
    done = download(DirectLink(pod), ["/root/a", "/root/b"], here)
    assert (done.files, done.bytes) == (2, 2 * MB)
    assert (here / "root/a").stat().st_ino == (here / "root/b").stat().st_ino


@pytest.mark.parametrize("frames", range(1, 11))
def test_after_a_cut_anywhere_the_same_call_goes_on_and_sends_no_slice_twice(pod, here, frames) -> None:
    pod.write("/root/big", noise(6 * MB))
    for number in range(30):
        pod.write(f"/root/small/{number}", noise(50_000))
    paths = ["/root/big", *(f"/root/small/{number}" for number in range(30))]
    cut = Counting(DirectLink(pod), frames)
    with pytest.raises(LinkLost):
        download(cut, paths, here)
    again = Counting(DirectLink(pod))
    done = download(again, paths, here)
    assert (done.files, done.failed) == (31, {})
    for path in paths:
        assert (here / path[1:]).read_bytes() == pod.path(path).read_bytes()
    assert not (here / ".devpod-rp-download").exists()
    large_of_first = max(0, frames - 5) * MB
    assert again.bytes <= 6 * MB - large_of_first + 30 * 50_000 + 2 * MB


def test_what_is_here_already_is_compared_and_not_sent_again(pod, here) -> None:
    pod.write("/root/big", noise(5 * MB))
    download(DirectLink(pod), ["/root/big"], here)
    again = Counting(DirectLink(pod))
    assert download(again, ["/root/big"], here).present == 1
    assert again.bytes < MB


def test_an_older_file_of_the_same_name_is_moved_aside_never_overwritten(pod, here) -> None:
    (here / "root").mkdir(parents=True)
    (here / "root/notes").write_text("mine")
    pod.write("/root/notes", "from the pod")
    assert download(DirectLink(pod), ["/root/notes"], here).complete
    assert (here / "root/notes").read_text() == "from the pod"
    assert (here / "root/notes.old").read_text() == "mine"


def test_a_path_that_is_gone_is_named_and_the_rest_arrives(pod, here) -> None:
    pod.write("/root/a", "a")
    done = download(DirectLink(pod), ["/root/gone", "/root/a"], here)
    assert (done.files, list(done.failed)) == (1, ["/root/gone"])
    assert not done.complete


def test_a_file_that_is_written_all_the_time_is_named_not_taken_half(pod, here) -> None:
    growing = pod.write("/root/log", noise(2 * MB))

    class Growing(DirectLink):
        def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
            if op == "take.slice":
                with open(growing, "ab") as stream:
                    stream.write(b"more")
            yield from super().stream(op, body, **fields)

    done = download(Growing(pod), ["/root/log"], here)
    assert done.failed == {"/root/log": "it kept changing while it was copied"}
    assert not (here / "root/log").exists()


def test_bytes_that_were_changed_on_the_way_never_get_the_name(pod, here) -> None:
    pod.write("/root/model", noise(3 * MB))

    class Twisting(DirectLink):
        def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
            for frame in super().stream(op, body, **fields):
                twisted = bytes([frame.body[0] ^ 1]) + frame.body[1:] if op == "take.slice" and frame.body else b""
                yield Frame(frame.header, twisted) if twisted else frame

    done = download(Twisting(pod), ["/root/model"], here)
    assert list(done.failed) == ["/root/model"]
    assert not (here / "root/model").exists()


def test_whether_something_happened_since_is_told_file_by_file(pod, here) -> None:
    pod.write("/root/same", "same")
    changed = pod.write("/root/changed", "before")
    done = download(DirectLink(pod), ["/root/same", "/root/changed"], here)
    changed.write_text("after!")
    assert unchanged(DirectLink(pod), done.stamps) == {"/root/same"}


def test_names_of_bytes_outside_utf8_and_with_newlines_arrive(pod, here) -> None:
    pod.path("/root").mkdir()
    name = b'/root/two\nlines \xe9 "quoted"'
    with open(os.fsencode(pod.root) + name, "wb") as stream:
        stream.write(b"x")
    assert download(DirectLink(pod), [os.fsdecode(name)], here).complete
    assert os.path.exists(os.fsencode(here) + name)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk_here_is_said_and_the_download_goes_on_when_there_is_room(pod, tmp_path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        pod.write("/root/a", "a")
        pod.write("/root/big", noise(6 * MB))
        with pytest.raises(Exception, match="this disk is full"):
            download(DirectLink(pod), ["/root/a", "/root/big"], small / "here")
        assert (small / "here/root/a").read_text() == "a"
        assert not (small / "here/root/big").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        again = Counting(DirectLink(pod))
        assert download(again, ["/root/a", "/root/big"], small / "here").complete
        assert again.bytes < 5 * MB, "what had arrived is not sent again"
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_folder_that_is_a_file_is_refused(pod, here) -> None:
    here.write_text("a file")
    with pytest.raises(UsageError, match="cannot be used"):
        download(DirectLink(pod), ["/root/a"], here)


# -- a hostile pod --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["/../evil", "relative", "/a/../../evil", "//evil", "/a/./b", "/", "", "/a\0b", "/.devpod-rescue.json"]
)
def test_no_name_leads_out_of_the_folder(here, path) -> None:
    with pytest.raises(CannotKeep):
        Arrival(here).place(path)


@pytest.mark.parametrize("name", ["a:b", "C:\\x", "NUL", "con.txt", "ends.", "ends ", "a\nb", "a|b", "com1"])
def test_names_that_windows_would_read_otherwise_are_refused_there(here, name) -> None:
    assert Arrival(here).place("/" + name, windows=False)
    with pytest.raises(CannotKeep):
        Arrival(here).place("/" + name, windows=True)


def test_an_answer_about_a_path_that_nobody_asked_for_is_not_written(here) -> None:
    hostile = Saying(take_look=looked(row("/etc/cron.d/evil")))
    with pytest.raises(Nonsense):
        download(hostile, ["/root/a"], here)
    assert [path for path in here.rglob("*") if path.is_file()] == []


def test_nothing_is_written_through_a_link_that_the_pod_sent_before(here, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    content = b"abc"
    listing = json.dumps([{"path": "/root/dir/file", "size": 3, "digest": "x"}]).encode()
    hostile = Saying(
        take_look=looked(row("/root/dir", target=str(outside)), row("/root/dir/file")),
        take_whole=[Frame({}, len(listing).to_bytes(4, "big") + listing + content)],
    )
    done = download(hostile, ["/root/dir", "/root/dir/file"], here)
    assert list(done.failed) == ["/root/dir/file"]
    assert list(outside.iterdir()) == []


def test_times_and_modes_are_not_given_to_what_lies_behind_a_link(here, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    hostile = Saying(
        take_look=looked(row("/root/dir", target=str(outside)), {"path": "/root/dir", "folder": [0o777, 0, 0, 5]})
    )
    assert download(hostile, ["/root/dir"], here).complete
    assert outside.stat().st_mode & 0o777 == 0o700


def test_a_set_user_id_bit_stays_on_the_pod_and_in_the_list(pod, here) -> None:
    pod.write("/root/tool", "x").chmod(0o4755)
    download(DirectLink(pod), ["/root/tool"], here)
    assert (here / "root/tool").stat().st_mode & 0o7777 == 0o755
    [entry] = json.loads((here / ".devpod-rescue.json").read_text())["saved"]
    assert entry["mode"] == 0o4755


@pytest.mark.parametrize(
    "frames",
    [
        [Frame({}, b"no json")],
        [Frame({}, b'{"a": 1}')],
        looked({"path": 5}),
        looked(row("/root/a", stamp=[1, -5, 1, 1])),
        looked(row("/root/a", stamp=[1, 2])),
        looked(row("/root/a", mode="rwx")),
        looked(row("/root/a", target="a\0b")),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(here, frames) -> None:
    with pytest.raises(Nonsense):
        download(Saying(take_look=frames), ["/root/a"], here)
    assert [path for path in here.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("header", [{"hole": 50 * MB}, {"hole": -1}, {"hole": "x"}, {"packed": 1 << 40}])
def test_a_slice_that_claims_more_than_the_file_is_refused(here, header) -> None:
    hostile = Saying(take_look=looked(row("/root/a", stamp=[1, 3 * MB, 1, 1])), take_slice=[Frame(header, b"x")])
    with pytest.raises(Nonsense):
        download(hostile, ["/root/a"], here)
    assert not (here / "root").exists()


def test_a_folder_here_in_place_of_the_file_is_left_alone(pod, here) -> None:
    (here / "root/a").mkdir(parents=True)
    pod.write("/root/a", "x")
    assert "folder" in download(DirectLink(pod), ["/root/a"], here).failed["/root/a"]
    assert Path(here / "root/a").is_dir()
