from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import threading
import time

import pytest

from devpod_rp.agent.exposure import copies, manifest
from devpod_rp.agent.files.copying import copy_verified
from devpod_rp.agent.machine import mounts
from devpod_rp.agent.rescue import rescues, saving
from devpod_rp.agent.wire import Refusal, Request
from tests.agent.containers import OVERLAY_ROOT, Container, drain

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts or changes owners")


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


def saved(pod, result, path):
    return pod.path(result.destination + path)


def rescue_folder(pod):
    return sorted(os.listdir(pod.path("/workspace/.devpod/rescue")))


def test_a_rescued_file_lies_at_its_old_path_below_the_time(pod):
    pod.write("/root/precious.txt", "precious")
    result = pod.rescues("/root/precious.txt")
    assert result.destination == "/workspace/.devpod/rescue/20270115T080000Z"
    assert saved(pod, result, "/root/precious.txt").read_text() == "precious"
    assert result.failed == {}


def test_mode_times_and_owner_are_kept_for_files_and_directories(pod):
    script = pod.write("/root/tools/run.sh", "#!/bin/sh")
    script.chmod(0o4751)
    os.utime(script, ns=(1, 1_234_567_890_123_456_789))
    script.parent.chmod(0o550)
    os.utime(script.parent, ns=(1, 987_654_321_000_000_000))
    if os.geteuid() == 0:
        os.chown(script.parent, 1234, 5678)
        os.chown(script, 1234, 5678)
        script.chmod(0o4751)
    result = pod.rescues("/root/tools/run.sh")
    for path in ("/root/tools/run.sh", "/root/tools"):
        before, after = pod.path(path).stat(), saved(pod, result, path).stat()
        assert after.st_mode == before.st_mode
        assert after.st_mtime_ns == before.st_mtime_ns
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_links_stay_links_and_are_never_walked_through(pod):
    pod.path("/root").mkdir()
    pod.path("/root/link").symlink_to("/nowhere/else")
    result = pod.rescues("/root/link")
    assert os.readlink(saved(pod, result, "/root/link")) == "/nowhere/else"


def test_a_path_through_a_rescued_link_is_refused_not_followed(pod, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    pod.path("/root").mkdir()
    pod.path("/root/dir").symlink_to(outside)
    (outside / "file").write_text("x")
    result = pod.rescues("/root/dir", "/root/dir/file")
    assert result.failed == {"/root/dir/file": "File exists"}
    assert os.listdir(outside) == ["file"]


def test_a_sparse_file_stays_sparse_and_equal(pod):
    sparse = pod.write("/root/sparse", b"begin")
    with open(sparse, "r+b") as stream:
        stream.seek(300 << 20)
        stream.write(b"middle")
        stream.truncate(400 << 20)
    result = pod.rescues("/root/sparse")
    copy = saved(pod, result, "/root/sparse")
    assert copy.stat().st_size == 400 << 20
    assert copy.stat().st_blocks * 512 < 4 << 20
    assert subprocess.run(["cmp", sparse, copy], check=False).returncode == 0


def test_hard_links_are_stored_once(pod):
    first = pod.write("/root/a", "x" * 5000)
    os.link(first, pod.path("/root/b"))
    result = pod.rescues("/root/a", "/root/b")
    assert saved(pod, result, "/root/a").stat().st_ino == saved(pod, result, "/root/b").stat().st_ino
    assert (len(result.saved), result.size_bytes) == (2, 5000)


def test_strange_names_survive_in_files_and_manifest(pod):
    pod.path("/root").mkdir()
    name = b'/root/two\nlines \xe9 "quoted"'
    with open(os.fsencode(pod.root) + name, "wb") as stream:
        stream.write(b"x")
    result = pod.rescues(os.fsdecode(name))
    assert [one.path for one in manifest.read(str(pod.path(result.destination))).saved] == [os.fsdecode(name)]
    assert os.path.exists(os.fsencode(pod.root) + os.fsencode(result.destination) + name)


def test_the_manifest_holds_what_is_needed_to_put_everything_back(pod):
    pod.write("/root/a", "content").chmod(0o640)
    result = pod.rescues("/root/a")
    document = json.loads((pod.path(result.destination) / ".devpod-rescue.json").read_text())
    [entry] = document["saved"]
    assert (document["files"], document["bytes"], document["failed"]) == (1, 7, {})
    assert entry["path"] == "/root/a"
    assert entry["mode"] == 0o640
    assert len(entry["digest"]) == 64


def test_what_is_gone_counts_as_failed_and_the_rest_is_saved(pod):
    pod.write("/root/a")
    result = pod.rescues("/root/a", "/root/gone")
    assert result.failed == {"/root/gone": "it is gone: deleted or moved since the scan"}
    assert [one.path for one in result.saved] == ["/root/a"]


def test_a_rescue_of_nothing_leaves_nothing(pod):
    result = pod.rescues("/root/gone")
    assert result.destination == ""
    assert rescue_folder(pod) == [".lock"]


def test_a_file_that_never_holds_still_is_reported_failed(pod):
    log = pod.write("/root/train.log", "x" * (1 << 20))
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/train.log"], "/workspace", survey, root=str(pod.root))
    result = drain(after_each(steps, lambda: log.write_text(str(time.time_ns()) * (1 << 16))))
    assert result.failed == {"/root/train.log": "it kept changing while it was copied"}
    assert result.saved == []


def test_a_file_that_changes_once_is_copied_again(pod):
    log = pod.write("/root/train.log", "x" * (1 << 20))
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    once = iter([lambda: log.write_text("final")])
    steps = saving.rescue(["/root/train.log"], "/workspace", survey, root=str(pod.root))
    result = drain(after_each(steps, lambda: next(once, lambda: None)()))
    assert saved(pod, result, "/root/train.log").read_text() == "final"
    assert result.failed == {}


def after_each(steps, work):
    while True:
        try:
            yield next(steps)
        except StopIteration as end:
            return end.value
        work()


def test_saving_the_same_again_costs_no_space(pod):
    pod.write("/root/a", "x" * 100_000)
    first = pod.rescues("/root/a")
    second = pod.rescues("/root/a", now=1_800_000_060.0)
    assert first.destination != second.destination
    assert saved(pod, first, "/root/a").stat().st_ino == saved(pod, second, "/root/a").stat().st_ino


def test_a_corrupted_earlier_copy_is_not_linked(pod):
    pod.write("/root/a", "right")
    first = pod.rescues("/root/a")
    copy = saved(pod, first, "/root/a")
    times = copy.stat()
    copy.write_text("wrong")
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = pod.rescues("/root/a", now=1_800_000_060.0)
    assert saved(pod, second, "/root/a").read_text() == "right"


def test_a_rescue_that_runs_out_of_time_keeps_what_it_has_and_names_the_rest(pod):
    for number in range(6):
        pod.write(f"/root/{number}.py", f"x = {number}")
    paths = [f"/root/{number}.py" for number in range(6)]
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(paths, "/workspace", survey, root=str(pod.root), durable=False)
    while next(steps).files < 3:
        pass
    with pytest.raises(StopIteration) as end:
        steps.throw(saving.OutOfTime())
    done = end.value.value
    assert [saved.path for saved in done.saved] == paths[:3]
    assert set(done.failed) == set(paths[3:])
    assert manifest.read(str(pod.root) + done.destination).saved == done.saved
    assert pod.path(done.destination + "/root/2.py").read_text() == "x = 2"


def test_two_rescues_in_one_second_do_not_meet(pod):
    pod.write("/root/a")
    assert pod.rescues("/root/a").destination + "-2" == pod.rescues("/root/a").destination


def test_a_rescue_that_was_cut_off_is_kept_and_continued_from(pod):
    pod.write("/root/a", "x" * 10_000)
    pod.write("/root/b", "y" * 10_000)
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/a", "/root/b"], "/workspace", survey, root=str(pod.root), now=1_800_000_000.0)
    next(steps), next(steps)  # one file is done
    steps.close()
    assert any(name.startswith(".incomplete-") for name in rescue_folder(pod))
    result = pod.rescues("/root/a", "/root/b", now=1_800_000_060.0)
    kept = pod.path("/workspace/.devpod/rescue/20270115T080000Z-interrupted/root/a")
    assert kept.stat().st_ino == saved(pod, result, "/root/a").stat().st_ino
    listed = [json.loads(body) for _header, body in rescues.operations(str(pod.root))["rescue.list"](_request("list"))]
    assert [(one["files"], one["complete"]) for one in listed[0]] == [(1, False), (2, True)]


def test_a_large_copy_that_was_cut_off_is_continued_not_begun_again(pod):
    big = pod.write("/root/big", os.urandom(5 << 20))
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/big"], "/workspace", survey, root=str(pod.root))
    for _ in range(3):
        next(steps)
    [part] = pod.path("/workspace/.devpod_rp/rescue").iterdir()
    inode, there = part.stat().st_ino, part.stat().st_size
    del steps  # the process is gone: nothing is tidied up
    assert there >= 2 << 20
    result = pod.rescues("/root/big")
    copy = saved(pod, result, "/root/big")
    assert (copy.stat().st_ino, copy.read_bytes()) == (inode, big.read_bytes())


def test_a_part_that_holds_other_bytes_is_put_right(pod):
    big = pod.write("/root/big", os.urandom(3 << 20))
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/big"], "/workspace", survey, root=str(pod.root))
    next(steps), next(steps)
    [part] = pod.path("/workspace/.devpod_rp/rescue").iterdir()
    part.write_bytes(b"other" * 1_000_000)
    del steps
    assert saved(pod, pod.rescues("/root/big"), "/root/big").read_bytes() == big.read_bytes()


def test_half_a_copy_is_nobodys_copy_even_when_all_its_bytes_are_there(pod):
    """A part goes with the next rescue, so a file that equals it must still count as existing once."""
    big = pod.write("/root/big", os.urandom(2 << 20))
    parts = pod.path("/workspace/.devpod_rp/rescue")
    parts.mkdir(parents=True)
    (parts / "part").write_bytes(big.read_bytes())
    found = copies.find(["/root/big"], ["/workspace"], copies.Budget(60.0, 1 << 30), root=str(pod.root))
    assert found.paths == set()


def test_what_only_a_rescue_that_was_cut_off_holds_is_saved_again_because_no_restore_brings_it_back(pod):
    pod.write("/root/a", "x" * 10_000)
    pod.write("/root/b", "y" * 10_000)
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/a", "/root/b"], "/workspace", survey, root=str(pod.root))
    next(steps), next(steps)
    steps.close()
    budget = copies.Budget(60.0, 1 << 30)
    for _ in range(2):
        assert copies.find(["/root/a"], ["/workspace"], budget, root=str(pod.root)).paths == set()
        pod.rescues("/root/b")  # gives the remains their name
    result = pod.rescues("/root/a")
    assert copies.find(["/root/a"], ["/workspace"], budget, root=str(pod.root)).paths == {"/root/a"}
    assert saved(pod, result, "/root/a").stat().st_nlink == 2, "it costs no room again"


def _request(op):
    return Request({"id": 1, "op": "rescue." + op, "volume": "/workspace"}, b"")


def test_a_directory_called_workspace_is_no_place_to_rescue_to(tmp_path):
    pod = Container(tmp_path, [OVERLAY_ROOT])
    pod.boots()
    pod.write("/root/a")
    with pytest.raises(Refusal, match="directory on the container disk") as refused:
        pod.rescues("/root/a")
    assert refused.value.code == "not-permitted"


@pytest.mark.parametrize("path", ["relative", "/root/../etc/shadow", "/root//a", "/workspace/a", "/a\0b"])
def test_a_path_that_is_not_plain_is_refused(pod, path):
    with pytest.raises(Refusal) as refused:
        pod.rescues(path)
    assert refused.value.code == "bad-request"


def test_a_second_rescue_at_the_same_time_is_refused(pod):
    pod.write("/root/a")
    folder = pod.path("/workspace/.devpod/rescue")
    folder.mkdir(parents=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refusal) as refused:
            pod.rescues("/root/a")
    assert refused.value.code == "busy"


def test_a_copy_that_reads_back_differently_is_not_kept(tmp_path):
    """The copy is read back from the file system; here somebody writes into it in between."""
    source, part = tmp_path / "source", tmp_path / "part"
    source.write_bytes(b"a" * 10)
    from devpod_rp.agent.files.copying import CopyDiffers
    from devpod_rp.agent.files.digests import stamp_of

    copying = copy_verified(str(source), str(part), str(tmp_path / "copy"), stamp_of(source.stat()))
    next(copying)
    with open(part, "r+b") as stream:
        stream.write(b"b")
    with pytest.raises(CopyDiffers):
        list(copying)
    assert not (tmp_path / "copy").exists()


@pytest.fixture
def small_volume(pod):
    """A volume of four megabytes that really fills up."""
    target = pod.path("/workspace")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)], check=True)
    yield target
    subprocess.run(["umount", str(target)], check=True)


@needs_root
@pytest.mark.slow
def test_what_does_not_fit_is_named_and_what_fits_is_saved(pod, small_volume):
    pod.write("/root/large.pt", b"x" * (6 << 20))
    pod.write("/root/small", b"x" * 1000)
    result = pod.rescues("/root/large.pt", "/root/small")
    assert [one.path for one in result.saved] == ["/root/small"]
    assert (set(result.failed), result.no_room) == ({"/root/large.pt"}, {"/root/large.pt"})
    assert saved(pod, result, "/root/small").read_bytes() == b"x" * 1000


@needs_root
@pytest.mark.slow
def test_of_what_does_not_fit_together_the_first_named_is_saved(pod, small_volume):
    for name in "abc":
        pod.write(f"/root/{name}", b"x" * 2_500_000)
    result = pod.rescues("/root/b", "/root/c", "/root/a")
    assert [one.path for one in result.saved] == ["/root/b"]
    assert result.no_room == {"/root/a", "/root/c"}


@needs_root
@pytest.mark.slow
def test_a_volume_that_fills_up_in_the_middle_keeps_what_fits_with_its_list(pod, small_volume):
    pod.write("/root/a", b"x" * (1 << 20))
    pod.write("/root/b", b"y" * (2 << 20))
    pod.write("/root/c", b"z" * 1000)
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(["/root/a", "/root/b", "/root/c"], "/workspace", survey, root=str(pod.root))
    next(steps)
    (small_volume / "filler").write_bytes(b"z" * (2 << 20))
    result = drain(steps)
    assert ([one.path for one in result.saved], result.no_room) == (["/root/a", "/root/c"], {"/root/b"})
    assert len(manifest.read(str(pod.path(result.destination))).saved) == 2
    assert os.listdir(small_volume / ".devpod_rp/rescue") == [], "half a file takes no room"


def fill(volume):
    status = os.statvfs(volume)
    (volume / "filler").write_bytes(b"z" * (status.f_bavail * status.f_frsize))


@needs_root
@pytest.mark.slow
def test_on_a_volume_that_is_full_to_the_last_byte_nothing_is_called_saved(pod, small_volume):
    pod.write("/root/a", b"x" * 100_000)
    fill(small_volume)
    result = pod.rescues("/root/a")
    assert (result.saved, result.destination, result.no_room) == ([], "", {"/root/a"})


@needs_root
@pytest.mark.slow
def test_where_only_the_list_does_not_fit_the_last_file_makes_room_for_it(pod, small_volume):
    paths = [f"/root/{number}" for number in range(200)]
    for path in paths:
        pod.write(path, b"x" * 4096)
    survey = mounts.survey(mounts.parse((pod.proc / "self" / "mountinfo").read_text()), ["/workspace"])
    steps = saving.rescue(paths, "/workspace", survey, root=str(pod.root))
    while next(steps).files < 100:
        pass
    fill(small_volume)
    result = drain(steps)
    assert 0 < len(result.saved) < 100
    listed = manifest.read(str(pod.path(result.destination))).saved
    assert [one.path for one in listed] == paths[: len(listed)]
    for one in listed:
        assert saved(pod, result, one.path).read_bytes() == b"x" * 4096


@pytest.mark.slow
def test_a_tree_that_changes_all_the_time_loses_nothing_that_was_reported_saved(pod):
    stop = threading.Event()

    def churn():
        number = 0
        while not stop.is_set():
            number += 1
            pod.write(f"/root/tree/{number % 20}", str(number) * 2000)
            if number % 7 == 0:
                shutil.rmtree(pod.path("/root/tree"), ignore_errors=True)

    worker = threading.Thread(target=churn, name="churn")
    worker.start()
    try:
        for turn in range(10):
            paths = sorted(pod.exposed())
            result = pod.rescues(*paths, now=1_800_000_000.0 + turn)
            assert {one.path for one in result.saved} | set(result.failed) == set(paths)
            for one in result.saved:
                content = saved(pod, result, one.path).read_text()
                assert content == content[: len(content) // 2000] * 2000
    finally:
        stop.set()
        worker.join()


def test_nothing_in_a_rescue_is_open_to_others_on_the_way(pod):
    pod.write("/root/secret").chmod(0o600)
    pod.rescues("/root/secret")
    assert stat.S_IMODE(pod.path("/workspace/.devpod/rescue").stat().st_mode) == 0o700
