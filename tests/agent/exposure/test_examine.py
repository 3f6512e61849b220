from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure import copies
from devpod_rp.agent.exposure.copies import Budget
from devpod_rp.agent.machine import container as containers_facts
from tests.agent.containers import OVERLAY_ROOT, VOLUME, Container

PLENTY = Budget(seconds=30.0, size_bytes=1 << 30)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


def test_a_fresh_container_exposes_nothing(pod):
    assert pod.exposed() == set()
    assert pod.examine().changes.scanned == 2


def test_a_new_file_is_exposed_and_one_on_the_volume_is_not(pod):
    pod.write("/root/precious.txt")
    pod.write("/workspace/safe.txt")
    assert pod.exposed() == {"/root/precious.txt"}


def test_a_workspace_that_is_no_mount_is_exposed(tmp_path):
    pod = Container(tmp_path, [OVERLAY_ROOT])
    pod.boots()
    pod.write("/workspace/trusted.txt")
    assert pod.exposed(["/workspace"]) == {"/workspace/trusted.txt"}
    assert "/workspace" in pod.examine(["/workspace"]).survey.disguised


def test_without_a_volume_everything_is_exposed(tmp_path):
    pod = Container(tmp_path)
    pod.boots()
    pod.write("/workspace/trusted.txt")
    assert pod.exposed([]) == {"/workspace/trusted.txt"}


def test_a_changed_file_of_the_image_is_exposed(pod):
    pod.write("/etc/passwd", "root:x:0:0\nme:x:1000:1000\n")
    assert pod.exposed() == {"/etc/passwd"}


def test_times_preserved_by_cp_and_tar_hide_nothing(pod, tmp_path):
    old = tmp_path / "old.py"
    old.write_text("from the last century")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    pod.path("/root").mkdir()
    shutil.copy2(old, pod.path("/root/copied.py"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(old, "extracted.py")
    with tarfile.open(tmp_path / "a.tar") as archive:
        archive.extractall(pod.path("/root"))
    assert pod.path("/root/extracted.py").stat().st_mtime == 1_000_000_000
    assert pod.exposed() == {"/root/copied.py", "/root/extracted.py"}


def test_an_old_file_renamed_in_is_exposed(tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("older than the container")
    pod = Container(tmp_path)
    pod.boots()
    outside.rename(pod.path("/usr/moved.py"))
    assert pod.exposed() == {"/usr/moved.py"}


def test_names_with_newlines_and_bytes_outside_utf8_survive(pod):
    pod.path("/root").mkdir()
    (pod.path("/root") / "two\nlines").write_text("x")
    with open(os.fsencode(pod.path("/root")) + b"/caf\xe9", "wb") as stream:
        stream.write(b"x")
    assert pod.exposed() == {"/root/two\nlines", "/root/caf\udce9"}
    assert json.loads(json.dumps("/root/caf\udce9").encode("ascii")) == "/root/caf\udce9"


def test_every_name_of_a_hard_link_is_listed_with_its_inode(pod):
    first = pod.write("/root/a")
    os.link(first, pod.path("/root/b"))
    found = pod.examine().changes.found
    assert {change.path for change in found} == {"/root/a", "/root/b"}
    assert {change.links for change in found} == {2}
    assert len({(change.device, change.stamp.inode) for change in found}) == 1


def test_a_link_is_seen_as_itself_and_never_followed(pod):
    pod.path("/root").mkdir()
    pod.path("/root/link").symlink_to("/workspace/data")
    pod.path("/root/loop").symlink_to("/root")
    found = {change.path: change.target for change in pod.examine().changes.found}
    assert found == {"/root/link": "/workspace/data", "/root/loop": "/root"}


def test_directories_pipes_and_sockets_hold_no_work(pod):
    pod.path("/root/empty").mkdir(parents=True)
    os.mkfifo(pod.path("/root/pipe"))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(pod.path("/root"))
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    assert pod.exposed() == set()


def test_overlays_and_memory_that_people_use_are_entered_and_other_mounts_are_not(tmp_path):
    lines = [
        OVERLAY_ROOT,
        VOLUME,
        "31 20 0:60 / /tmp rw - tmpfs tmpfs rw",
        "32 20 0:61 / /opt rw - overlay overlay rw",
        "33 30 0:62 / /workspace/cache rw - overlay overlay rw",
        "34 20 0:63 / /dev rw - tmpfs tmpfs rw",
        "35 34 0:64 / /dev/shm rw - tmpfs shm rw",
        "36 20 0:65 / /run rw - tmpfs tmpfs rw",
        "37 20 0:66 / /srv/scratch rw - tmpfs tmpfs rw,mode=1777",
        "38 20 0:67 / /srv/service rw - tmpfs tmpfs rw,mode=700",
    ]
    pod = Container(tmp_path, lines)
    pod.boots()
    for path in (
        "/tmp/a",
        "/opt/b",
        "/workspace/cache/c",
        "/workspace/d",
        "/dev/e",
        "/dev/shm/f",
        "/run/g",
        "/srv/scratch/h",
        "/srv/service/i",
    ):
        pod.write(path)
    assert pod.exposed() == {"/tmp/a", "/opt/b", "/workspace/cache/c", "/dev/shm/f", "/srv/scratch/h"}


@needs_root
def test_a_directory_that_may_not_be_read_is_a_problem(pod):
    pod.write("/root/closed/secret")
    pod.path("/root/closed").chmod(0)
    for directory in (pod.root, *pod.root.parents[:-2]):
        directory.chmod(directory.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    problems = as_nobody(lambda: pod.examine().changes.problems)
    assert problems == {"/root/closed": "could not look into it: Permission denied"}


def as_nobody(work):
    """The answer *work* gives in a child process that has no rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65533)
            os.setuid(65533)
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def test_only_a_root_that_may_search_everywhere_calls_a_directory_sealed(tmp_path):
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "status").write_text("Name:\tx\nCapEff:\t000001ffffffffff\n")

    def status(mode, owner):
        return os.stat_result((mode, 1, 1, 1, owner, owner, 0, 0, 0, 0))

    seals = containers_facts.Seals(proc)
    assert seals.sealed(status(0o40700, 65534))
    assert not seals.sealed(status(0o40700, 1000))
    assert seals.sealed(status(0o40711, 65534))
    assert not seals.sealed(status(0o41733, 65534))
    (proc / "self" / "status").write_text("Name:\tx\nCapEff:\t0000000000000000\n")
    assert not containers_facts.Seals(proc).sealed(status(0o40700, 65534))


def test_files_that_vanish_during_the_scan_are_no_problem(pod):
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            for number in range(50):
                pod.write(f"/root/churn/{number % 5}/{number}")
            shutil.rmtree(pod.path("/root/churn"), ignore_errors=True)

    worker = threading.Thread(target=churn, name="churn")
    worker.start()
    try:
        for _ in range(100):
            assert pod.examine().changes.problems == {}
    finally:
        stop.set()
        worker.join()


def test_what_the_boot_wrote_is_left_out_until_it_changes(pod):
    pod.write("/etc/ssh/sshd_config.d/boot.conf", "Port 22")
    pod.write("/root/.bashrc", "source /etc/rp_environment")
    assert pod.records_baseline() == {"recorded": True, "reason": "", "files": 2}
    assert pod.exposed() == set()
    pod.write("/root/.bashrc", "alias ll='ls -l'")
    pod.write("/root/mine.py")
    assert pod.exposed() == {"/root/.bashrc", "/root/mine.py"}


def test_a_boot_file_replaced_by_one_of_the_same_size_and_mtime_is_exposed(pod):
    boot = pod.write("/root/config", "aaaa")
    pod.records_baseline()
    before = boot.stat()
    other = pod.write("/root/other", "bbbb")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(boot)
    assert pod.exposed() == {"/root/config"}


def test_the_baseline_is_private_and_not_the_users(pod):
    pod.records_baseline()
    record = pod.path(baselines.DIRECTORY) / "baseline.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert pod.exposed() == set()


def test_a_second_baseline_does_not_swallow_work(pod):
    pod.records_baseline()
    pod.write("/root/mine.py")
    assert pod.records_baseline() == {"recorded": False, "reason": "already-recorded"}
    assert pod.exposed() == {"/root/mine.py"}


def test_a_restart_in_place_does_not_hide_what_was_there_before(pod):
    pod.records_baseline()
    pod.write("/root/mine.py")
    pod.boots()  # PID 1 is new, the disk is not
    assert pod.exposed() == {"/root/mine.py"}


def test_a_container_that_has_run_for_long_gets_no_baseline(pod):
    pod.write("/root/mine.py")
    assert pod.records_baseline(oldest_seconds=-5)["reason"] == "too-late"
    assert pod.exposed() == {"/root/mine.py"}


def test_the_baseline_waits_for_the_end_of_the_start_script(pod):
    pod.runs(7, "sshd: /usr/sbin/sshd [listener]")
    assert pod.records_baseline(only_after_boot=True)["reason"] == "booting"
    pod.runs(8, "/usr/bin/sleep infinity")
    assert pod.records_baseline(only_after_boot=True)["recorded"]


def test_a_damaged_baseline_is_an_error_not_an_empty_one(pod):
    pod.records_baseline()
    (pod.path(baselines.DIRECTORY) / "baseline.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        pod.examine()
    with pytest.raises(ValueError, match="cannot be read"):
        pod.records_baseline()


def test_running_work_is_what_neither_the_boot_nor_the_session_started(pod):
    pod.runs(8, "sleep infinity")
    pod.runs(9, "python serve.py", began=6)
    boot = frozenset({(8, 5), (9, 6)})
    pod.runs(20, "sshd: root@notty")
    pod.runs(21, "python3 -I -u -c agent", parent=20)
    pod.runs(22, "-bash", parent=20)
    pod.runs(23, "python train.py --epochs 9", parent=22)
    pod.runs(9, "python other.py", began=77)  # the number was given to another process
    running = containers_facts.processes(pod.proc)
    work = containers_facts.running_work(running, boot, us=21)
    assert [process.pid for process in work] == [9, 23]


def test_the_start_of_a_process_is_known_to_a_tick_on_the_clock_of_ctime(tmp_path):
    child = subprocess.Popen(["sleep", "60"])
    try:
        probe = tmp_path / "probe"
        probe.write_text("")
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "stat").write_bytes(Path(f"/proc/{child.pid}/stat").read_bytes())
        started_ns = containers_facts.started_at_ns(tmp_path)
    finally:
        child.kill()
        child.wait()
    assert abs(probe.stat().st_ctime_ns - started_ns) < 1_000_000_000


class TestCopies:
    def found(self, pod, *paths, budget=PLENTY, borders=()):
        return copies.find(paths, ["/workspace"], budget, borders=borders, root=str(pod.root))

    def test_the_same_content_on_the_volume_under_any_name_is_a_copy(self, pod):
        pod.write("/root/a", "weights" * 1000)
        pod.write("/root/b", "weightz" * 1000)
        pod.write("/workspace/deep/c", "weights" * 1000)
        assert self.found(pod, "/root/a", "/root/b").paths == {"/root/a"}

    def test_a_copy_in_our_own_trash_or_an_unfinished_rescue_is_none(self, pod):
        pod.write("/root/a", "weights")
        pod.write("/workspace/.devpod_rp/trash/1/a", "weights")
        pod.write("/workspace/.devpod/rescue/.incomplete-1/root/a", "weights")
        assert self.found(pod, "/root/a").paths == set()

    def test_a_copy_on_another_mount_below_the_volume_is_none(self, pod):
        pod.write("/root/a", "weights")
        pod.write("/workspace/tmp/a", "weights")
        assert self.found(pod, "/root/a", borders=["/workspace/tmp"]).paths == set()

    def test_a_link_on_the_volume_is_no_copy(self, pod):
        original = pod.write("/root/a", "weights")
        pod.path("/workspace/a").symlink_to(original)
        assert self.found(pod, "/root/a").paths == set()

    def test_an_empty_file_has_no_copy(self, pod):
        pod.write("/root/a", "")
        pod.write("/workspace/a", "")
        assert self.found(pod, "/root/a").paths == set()

    def test_beyond_the_budget_nothing_is_called_a_copy(self, pod):
        pod.write("/root/a", "weights")
        pod.write("/workspace/a", "weights")
        for budget in (Budget(-1.0, 1 << 30), Budget(30.0, 3)):
            found = self.found(pod, "/root/a", budget=budget)
            assert found.paths == set()
            assert not found.complete

    def test_what_a_rescue_saved_is_known_without_reading_it(self, pod):
        pod.write("/root/a", "weights")
        pod.path("/root/link").symlink_to("/etc/passwd")
        pod.write("/root/empty", "")
        pod.rescues("/root/a", "/root/link", "/root/empty")
        names = ("/root/a", "/root/link", "/root/empty")
        assert self.found(pod, *names, budget=Budget(-1.0, -1)).paths == set(names)
        pod.write("/root/a", "WEIGHTS")
        assert "/root/a" not in self.found(pod, *names).paths

    def test_a_rescued_copy_that_was_removed_or_edited_saves_nothing(self, pod):
        pod.write("/root/a", "weights")
        pod.write("/root/b", "weights2")
        saved = pod.rescues("/root/a", "/root/b")
        pod.path(saved.destination + "/root/a").unlink()
        pod.write(saved.destination + "/root/b", "WEIGHTS2")
        assert self.found(pod, "/root/a", "/root/b").paths == set()


@pytest.mark.slow
def test_a_hundred_thousand_files_are_looked_at_in_about_the_time_of_find(tmp_path):
    pod = Container(tmp_path)
    for folder in range(100):
        directory = pod.path(f"/usr/lib/{folder}")
        directory.mkdir(parents=True)
        for number in range(1000):
            os.close(os.open(directory / str(number), os.O_CREAT))
    pod.boots()
    pod.write("/usr/lib/50/precious")
    assert pod.exposed() == {"/usr/lib/50/precious"}
    stamp = pod.root.parent / "probe"

    find = ["find", str(pod.root), "-xdev", "-newercc", str(stamp)]
    ours = min(_seconds(pod.examine) for _ in range(3))
    theirs = min(_seconds(lambda: subprocess.run(find, check=True, stdout=subprocess.DEVNULL)) for _ in range(3))
    assert ours < 3 * theirs + 0.2, f"scan {ours:.2f} s, find {theirs:.2f} s"


def _seconds(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began
