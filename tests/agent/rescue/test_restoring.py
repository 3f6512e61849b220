from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import threading

import pytest

from devpod_rp.agent.exposure import copies
from devpod_rp.agent.rescue import restoring
from devpod_rp.agent.wire import Refusal, Request
from tests.agent.containers import Container

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.write("/etc/tool.conf", "the image's")
    container.boots()
    return container


def back(pod, *destinations, overwrite=False, only=()):
    """What the agent answers on this container."""
    handler = restoring.operations(str(pod.root), pod.proc)["rescue.restore"]
    body = json.dumps({"destinations": destinations, "only": list(only)}).encode()
    frames = list(handler(Request({"id": 1, "op": "rescue.restore", "overwrite": overwrite}, body)))
    return json.loads(frames[-1][1])


def traits(path):
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns


@needs_root
def test_what_was_wiped_comes_back_with_bytes_modes_owners_times_links_and_folders(pod):
    tool = pod.write("/root/tools/run.sh", "#!/bin/sh")
    os.link(tool, pod.path("/root/tools/same.sh"))
    pod.path("/root/tools/link").symlink_to("run.sh")
    sparse = pod.write("/root/sparse", b"begin")
    os.truncate(sparse, 300 << 20)
    name = os.fsdecode(b"/root/two\nlines \xe9")
    pod.write(name, "strange")
    for path in (tool, tool.parent):
        os.chown(path, 1234, 5678)
        path.chmod(0o4751 if path == tool else 0o550)
        os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    paths = ["/root/tools/run.sh", "/root/tools/same.sh", "/root/tools/link", "/root/sparse", name]
    looked_at = [*paths, "/root/tools"]
    before = {path: traits(pod.path(path)) for path in looked_at}
    saved = pod.rescues(*paths)
    shutil.rmtree(pod.path("/root"))
    answer = back(pod, saved.destination)
    assert sorted(answer["restored"]) == sorted(paths)
    assert answer["kept"] == {}
    assert {path: traits(pod.path(path)) for path in looked_at} == before
    assert pod.path("/root/tools/run.sh").read_text() == "#!/bin/sh"
    assert os.readlink(pod.path("/root/tools/link")) == "run.sh"
    assert pod.path("/root/tools/same.sh").stat().st_ino == pod.path("/root/tools/run.sh").stat().st_ino
    assert pod.path("/root/sparse").stat().st_size == 300 << 20
    assert pod.path("/root/sparse").stat().st_blocks * 512 < 4 << 20


def test_a_file_somebody_made_on_this_pod_is_kept_until_overwriting_is_asked_for(pod):
    pod.write("/root/a.py", "rescued")
    saved = pod.rescues("/root/a.py")
    pod.write("/root/a.py", "written later")
    assert back(pod, saved.destination)["kept"] == {"/root/a.py": "another file is there, newer than this container"}
    assert pod.path("/root/a.py").read_text() == "written later"
    assert back(pod, saved.destination, overwrite=True)["restored"] == ["/root/a.py"]
    assert pod.path("/root/a.py").read_text() == "rescued"


def test_a_file_of_the_image_gives_way_to_the_rescued_one(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    before = Container(first)
    before.boots()
    before.write("/etc/tool.conf", "tuned")
    saved = before.rescues("/etc/tool.conf")
    after = Container(second)
    after.write("/etc/tool.conf", "the image's")
    after.boots()
    shutil.copytree(before.path("/workspace/.devpod"), after.path("/workspace/.devpod"))
    assert back(after, saved.destination)["restored"] == ["/etc/tool.conf"]
    assert after.path("/etc/tool.conf").read_text() == "tuned"


def test_what_the_boot_wrote_gives_way_and_what_was_changed_since_does_not(pod):
    pod.write("/root/.bashrc", "mine")
    pod.write("/root/.profile", "mine too")
    saved = pod.rescues("/root/.bashrc", "/root/.profile")
    pod.write("/root/.bashrc", "the boot's")
    pod.write("/root/.profile", "the boot's")
    pod.records_baseline()
    pod.write("/root/.profile", "changed by hand since")
    answer = back(pod, saved.destination)
    assert answer["restored"] == ["/root/.bashrc"]
    assert list(answer["kept"]) == ["/root/.profile"]


def test_a_second_restore_finds_everything_there_and_clears_the_remains_of_one_that_was_cut_off(pod):
    pod.write("/root/a.py", "one")
    pod.write("/root/b.py", "two")
    saved = pod.rescues("/root/a.py", "/root/b.py")
    os.unlink(pod.path("/root/b.py"))
    for left in (".devpod-restore.part", ".devpod-restore.ready"):
        pod.write("/root/" + left, "half of a file")
    answer = back(pod, saved.destination)
    assert (answer["restored"], answer["present"]) == (["/root/b.py"], ["/root/a.py"])
    assert sorted(os.listdir(pod.path("/root"))) == ["a.py", "b.py"]


def test_a_restore_waits_for_one_whose_launcher_was_killed(pod):
    pod.write("/root/a.py", "one")
    pod.write("/root/b.py", "two")
    saved = pod.rescues("/root/a.py", "/root/b.py")
    shutil.rmtree(pod.path("/root"))
    back(pod, saved.destination, only=["/root/a.py"])
    lock = os.open(pod.path("/run/devpod_rp/restore.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    answers = []
    second = threading.Thread(target=lambda: answers.append(back(pod, saved.destination)))
    second.start()
    second.join(0.5)
    assert second.is_alive()
    assert not pod.path("/root/b.py").exists()
    os.close(lock)
    second.join(30)
    assert answers[0]["restored"] == ["/root/b.py"]


def test_a_rescued_copy_that_rotted_is_never_put_back(pod):
    pod.write("/root/a.py", "precious")
    saved = pod.rescues("/root/a.py")
    os.unlink(pod.path("/root/a.py"))
    pod.path(saved.destination + "/root/a.py").write_text("PRECIOUS")
    assert back(pod, saved.destination)["kept"] == {"/root/a.py": "the rescued copy is damaged or gone"}
    assert os.listdir(pod.path("/root")) == []


def test_nothing_is_written_through_a_link_in_the_way(pod, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    pod.write("/root/work/a.py")
    saved = pod.rescues("/root/work/a.py")
    shutil.rmtree(pod.path("/root/work"))
    pod.path("/root/work").symlink_to(outside)
    assert "/root/work/a.py" in back(pod, saved.destination)["kept"]
    assert os.listdir(outside) == []


def test_only_what_was_named_comes_back_and_the_first_rescue_counts(pod):
    pod.write("/root/a/x.py", "old")
    pod.write("/root/ab.py", "other")
    old = pod.rescues("/root/a/x.py", "/root/ab.py")
    pod.write("/root/a/x.py", "new")
    new = pod.rescues("/root/a/x.py", now=1_800_000_500.0)
    shutil.rmtree(pod.path("/root"))
    answer = back(pod, new.destination, old.destination, only=["/root/a/"])
    assert answer["restored"] == ["/root/a/x.py"]
    assert pod.path("/root/a/x.py").read_text() == "new"


def test_what_is_no_finished_rescue_is_refused(pod):
    with pytest.raises(Refusal) as refusal:
        back(pod, "/workspace/.devpod/rescue/none")
    assert refusal.value.code == "not-found"


def test_restored_files_links_and_empty_files_are_no_sole_copies_again(pod):
    paths = ["/root/a.py", "/root/empty", "/root/link"]
    pod.write("/root/a.py", "precious")
    pod.write("/root/empty", "")
    pod.path("/root/link").symlink_to("a.py")
    saved = pod.rescues(*paths)
    shutil.rmtree(pod.path("/root"))
    back(pod, saved.destination)
    budget = copies.Budget(seconds=20.0, size_bytes=1 << 20)
    assert copies.find(paths, ["/workspace"], budget, root=str(pod.root)).paths == set(paths)
    os.unlink(pod.path("/root/link"))
    pod.path("/root/link").symlink_to("elsewhere")
    pod.write("/root/empty", "no longer")
    assert copies.find(paths, ["/workspace"], budget, root=str(pod.root)).paths == {"/root/a.py"}
