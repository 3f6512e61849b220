"""A disk that is kept comes back: every name of it, and nothing over what is somebody else's."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import subprocess

import pytest

from devpod_rp.agent.archive import chunks, index, racks
from devpod_rp.agent.disk import keeping, putting_back
from devpod_rp.agent.disk.delta import Choice
from devpod_rp.agent.exposure import copies
from devpod_rp.agent.files import fitting
from devpod_rp.agent.rescue.keepsakes import NoLoss
from devpod_rp.agent.wire import Refusal
from tests.agent.disk.kept import Pod

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
ODD = ["new\nline", "sp ace", "ünï", b"not-utf8-\xff".decode("utf-8", "surrogateescape"), "-dash", "l" * 200]


@pytest.fixture
def old(tmp_path):
    pod = Pod(tmp_path / "old")
    assert pod.census()
    return pod


@pytest.fixture
def new(tmp_path, old):
    """Called when the old pod is done: the next one, on the same volume."""

    def start(lay=None, image=old.image, census=True):
        pod = Pod(tmp_path / f"new-{len(os.listdir(tmp_path))}", lay, image).taken_over_from(old)
        if census:
            assert pod.census()
        return pod

    return start


def work_in(pod):
    """Everything a disk can have."""
    pod.write("/etc/app.conf", "edited\n")
    os.unlink(pod.path("/usr/share/doc/tool/readme"))
    os.rmdir(pod.path("/usr/share/doc/tool"))
    script = pod.write("/opt/own/run.sh", "#!/bin/sh\n")
    script.chmod(0o4751)
    os.utime(script, ns=(1, 1_234_567_890_123_456_789))
    pod.write("/root/.bashrc", "written by the start\nand by a person\n")
    pod.path("/opt/own/link").symlink_to("/nowhere/else")
    pod.path("/opt/own/empty").mkdir(mode=0o711)
    pod.write("/opt/own/one", "two names")
    os.link(pod.path("/opt/own/one"), pod.path("/opt/own/two"))
    with open(pod.write("/opt/own/sparse", ""), "r+b") as stream:
        stream.truncate(40 << 20)
        stream.seek(9_000_000)
        stream.write(b"in the middle")
    pod.write("/opt/own/big", os.urandom(9 << 20))
    pod.write("/opt/own/nothing", "")
    for name in ODD:
        pod.write("/opt/own/odd/" + name, name.encode("utf-8", "surrogateescape"))
    pod.path("/usr/bin/tool").chmod(0o700)
    os.unlink(pod.path("/usr/bin/alias"))
    pod.path("/usr/bin/alias").symlink_to("python3")
    pod.write("/root/.cache/thing", "cache")
    if os.geteuid() == 0:
        os.chown(script, 1234, 5678)
        script.chmod(0o4751)
        os.chown(pod.path("/opt/own/empty"), 1234, 99)
    os.utime(pod.path("/opt/own"), ns=(1, 987_654_321_000_000_000))


def test_everything_comes_back_as_it_was_and_nothing_else(old, new):
    work_in(old)
    before = old.look()
    kept = old.keep()
    assert kept["failed"] == {}
    pod = new()
    done = pod.restore()
    assert done["conflicts"] == {}
    after = pod.look()
    assert before.pop("/root/.cache/thing")
    assert {path: (traits, after.get(path)) for path, traits in before.items() if after.get(path) != traits} == {}
    assert set(after) == set(before)
    assert pod.path("/opt/own/one").stat().st_ino == pod.path("/opt/own/two").stat().st_ino
    assert pod.path("/opt/own/sparse").stat().st_blocks * 512 < 2 << 20
    assert hashlib.sha256(pod.path("/opt/own/sparse").read_bytes()).digest() == _sparse()
    assert pod.path("/opt/own/big").stat().st_size == 9 << 20


def _sparse():
    content = bytearray(40 << 20)
    content[9_000_000 : 9_000_000 + 13] = b"in the middle"
    return hashlib.sha256(content).digest()


def test_twice_is_once_and_the_guard_counts_it_as_saved(old, new):
    work_in(old)
    old.keep()
    pod = new()
    first = pod.restore()
    before = pod.look()
    again = pod.restore()
    assert (again["files"], again["deleted"], again["conflicts"]) == (0, 0, {})
    assert again["present"] == first["files"] + first["present"]
    assert pod.look() == before
    assert pod.restore(unless_done=True)["name"] is None
    paths = ["/opt/own/run.sh", "/etc/app.conf", "/opt/own/link", "/opt/own/two"]
    assert _saved(pod, paths) == set(paths)
    pod.write("/etc/app.conf", "edited again\n")
    assert _saved(pod, paths) == set(paths) - {"/etc/app.conf"}


def test_what_is_kept_is_saved_until_it_changes(old):
    work_in(old)
    paths = ["/opt/own/run.sh", "/etc/app.conf", "/opt/own/big"]
    assert _saved(old, paths) == set()
    old.keep()
    assert _saved(old, paths) == set(paths)
    old.write("/etc/app.conf", "again\n")
    assert _saved(old, paths) == set(paths) - {"/etc/app.conf"}
    for data in old.store().glob("*/disk.tar.*"):
        os.truncate(data, 10)
    assert _saved(old, paths) == set(), "half an archive saves nothing"


def _saved(pod, paths):
    nothing_read = copies.Budget(60.0, 0)
    return copies.find(paths, ["/workspace"], nothing_read, root=str(pod.root), proc=pod.proc).paths


def test_tar_alone_gets_at_it(old, tmp_path):
    work_in(old)
    kept = old.keep()
    directory = old.store() / kept["name"]
    data = next(directory.glob("disk.tar.*"))
    command = ["zstd", "-dc"] if data.suffix == ".zst" else ["gzip", "-dc"]
    plain = tmp_path / "plain.tar"
    with open(plain, "wb") as stream:
        subprocess.run([*command, str(data)], stdout=stream, check=True)
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(["tar", "-xpf", plain, "-C", out], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for path in ("/opt/own/run.sh", "/opt/own/sparse", "/opt/own/big", "/etc/app.conf", "/opt/own/two"):
        assert (out / path[1:]).read_bytes() == old.path(path).read_bytes(), path
    assert sorted(os.listdir(os.fsencode(out / "opt/own/odd"))) == sorted(
        name.encode("utf-8", "surrogateescape") for name in ODD
    )
    assert os.readlink(out / "opt/own/link") == "/nowhere/else"
    assert not (out / "root/.cache/thing").exists()


def test_another_version_in_the_image_is_a_named_conflict_and_both_are_there(old, new):
    old.write("/etc/app.conf", "edited\n")
    old.write("/opt/mine", "mine\n")
    old.keep()

    def lay(pod):
        pod.write("/etc/app.conf", "from a newer image\n")
        pod.write("/opt/mine", "the image has one, too\n")

    pod = new(lay)
    done = pod.restore()
    assert set(done["conflicts"]) == {"/etc/app.conf", "/opt/mine"}
    assert pod.path("/etc/app.conf").read_text() == "from a newer image\n"
    assert pod.path("/etc/app.conf.devpod-kept").read_text() == "edited\n"
    assert pod.path("/opt/mine.devpod-kept").read_text() == "mine\n"
    assert set(pod.restore()["conflicts"]) == set(done["conflicts"])
    assert not list(pod.path("/etc").glob("*kept-2")), "what lies beside is not put there twice"
    assert _saved(pod, ["/opt/mine.devpod-kept"]) == {"/opt/mine.devpod-kept"}


def test_what_a_person_made_since_stays(old, new):
    work_in(old)
    old.keep()
    pod = new()
    pod.write("/opt/own/run.sh", "somebody's\n")
    pod.write("/etc/app.conf", "somebody's edit\n")
    pod.write("/usr/share/doc/tool/readme", "somebody reads it\n")
    done = pod.restore()
    assert pod.path("/opt/own/run.sh").read_text() == "somebody's\n"
    assert pod.path("/etc/app.conf").read_text() == "somebody's edit\n"
    assert pod.path("/usr/share/doc/tool/readme").read_text() == "somebody reads it\n"
    assert {"/opt/own/run.sh", "/etc/app.conf", "/usr/share/doc/tool/readme"} <= set(done["conflicts"])
    pod.restore("/etc/app.conf", overwrite=True)
    assert pod.path("/etc/app.conf").read_text() == "edited\n"


def test_what_a_person_deleted_after_it_was_put_back_stays_deleted(old, new):
    work_in(old)
    old.keep()
    pod = new()
    pod.restore()
    os.unlink(pod.path("/opt/own/run.sh"))
    pod.restore()
    assert not pod.path("/opt/own/run.sh").exists()


def test_a_part_of_an_older_one_changes_nothing_about_the_rest(old, new):
    old.write("/opt/a", "first")
    first = old.keep()["name"]
    old.write("/opt/a", "second")
    old.write("/opt/b", "b")
    old.keep()
    pod = new()
    pod.restore()
    os.unlink(pod.path("/opt/b"))
    assert pod.restore("/opt/a", name=first, overwrite=True)["files"] == 1
    assert pod.path("/opt/a").read_text() == "first"
    assert _saved(pod, ["/opt/a"]) == set(), "of another archive than the one that is watched over"
    assert pod.restore(unless_done=True, if_begun=True)["name"] is None
    assert not pod.path("/opt/b").exists()


def test_another_image_gets_what_people_own_and_not_its_system(old, new):
    work_in(old)
    old.write("/data/set.csv", "1,2")
    old.keep()
    pod = new(image="another:2.0")
    done = pod.restore()
    assert pod.path("/data/set.csv").exists()
    assert pod.path("/opt/own/run.sh").exists()
    assert pod.path("/etc/app.conf").read_text() == "from the image\n"
    assert pod.path("/usr/share/doc/tool/readme").exists()
    assert done["left"] > 0
    everything = pod.restore(everything=True)
    assert everything["left"] == 0
    assert pod.path("/etc/app.conf").read_text() == "edited\n"


def test_an_archive_that_could_not_be_put_back_is_never_pruned(old, new):
    work_in(old)
    first = old.keep()["name"]
    pod = new(image="another:2.0")
    pod.restore()
    for turn in range(4):
        pod.write("/opt/turn", str(turn))
        pod.keep()
    names = [each["name"] for each in pod.archives()]
    assert first in names
    assert len(names) == 3
    assert pod.restore(name=first, everything=True)["left"] == 0
    pod.write("/opt/turn", "last")
    pod.keep()
    assert len(pod.archives()) == 2


def test_a_symlink_on_the_way_is_never_followed(old, new, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    old.write("/opt/own/deep/file", "x")
    old.keep()
    pod = new()
    pod.path("/opt").mkdir()
    pod.path("/opt/own").symlink_to(outside)
    done = pod.restore()
    assert os.listdir(outside) == []
    assert "/opt/own/deep/file" in done["conflicts"]


def test_a_folder_that_became_a_link_and_a_file_that_became_a_folder(tmp_path):
    def lay(pod):
        pod.write("/opt/models/a", "a")
        pod.write("/opt/flag", "flag")

    old = Pod(tmp_path / "old", lay)
    old.census()
    os.unlink(old.path("/opt/models/a"))
    os.rmdir(old.path("/opt/models"))
    old.path("/opt/models").symlink_to("/workspace/models")
    os.unlink(old.path("/opt/flag"))
    old.write("/opt/flag/inside", "now a folder")
    old.keep()
    pod = Pod(tmp_path / "new", lay).taken_over_from(old)
    pod.census()
    assert pod.restore()["conflicts"] == {}
    assert os.readlink(pod.path("/opt/models")) == "/workspace/models"
    assert pod.path("/opt/flag/inside").read_text() == "now a folder"


def test_what_each_start_makes_anew_gives_way_to_what_a_person_made_of_it(old, new):
    os.unlink(old.path("/root/rc"))
    old.path("/root/rc").symlink_to("mine")
    old.write("/root/.bashrc", "mine\n")
    old.keep()
    pod = new()
    assert pod.restore()["conflicts"] == {}
    assert os.readlink(pod.path("/root/rc")) == "mine"
    assert pod.path("/root/.bashrc").read_text() == "mine\n"


def test_what_a_start_removed_itself_is_no_deletion(old, new):
    os.unlink(old.path("/tmp/of-the-start"))
    assert old.keep()["about"]["deleted"] == 0


def test_what_was_done_once_to_this_disk_is_not_done_again(old, new):
    for stage in ("on_create", "post_create", "post_start"):
        old.write("/run/devpod_rp/hooks/" + stage, stage)
    old.keep()
    pod = new()
    pod.restore()
    assert sorted(os.listdir(pod.path("/run/devpod_rp/hooks"))) == ["on_create", "post_create"]


def test_without_a_census_at_the_start_deletions_are_not_kept_and_edits_are(tmp_path):
    old = Pod(tmp_path / "old")
    work_in(old)
    assert old.census(fresh=False)
    kept = old.keep()
    assert kept["about"]["base_known"] is False
    assert kept["about"]["deleted"] == 0
    pod = Pod(tmp_path / "new").taken_over_from(old)
    pod.census()
    assert pod.restore()["conflicts"] == {}
    assert pod.path("/etc/app.conf").read_text() == "edited\n"
    assert pod.path("/usr/share/doc/tool/readme").exists()


def test_only_virtual_environments_and_named_paths_where_that_is_wished(old, new):
    old.write("/opt/venv/pyvenv.cfg", "home = /usr/bin\n")
    old.write("/opt/venv/lib/python3/site-packages/pkg/__init__.py", "x = 1\n")
    old.write("/root/notes", "notes")
    old.write("/srv/cfg/a", "a")
    old.keep(everything=False, below=("/srv/cfg",), venvs=True)
    pod = new()
    pod.restore()
    assert pod.path("/opt/venv/lib/python3/site-packages/pkg/__init__.py").exists()
    assert pod.path("/srv/cfg/a").exists()
    assert not pod.path("/root/notes").exists()


def test_an_unchanged_disk_needs_no_second_archive(old, new):
    work_in(old)
    first = old.keep()
    pod = new()
    pod.restore()
    again = pod.keep()
    assert (again["fresh"], again["name"]) == (False, first["name"])
    pod.write("/opt/own/more", "more")
    more = pod.keep()
    assert more["fresh"]
    os.unlink(pod.path("/opt/own/more"))
    assert pod.keep()["fresh"]
    assert len(pod.archives()) == 2, "the last two are kept"


def test_a_volume_that_is_none_is_refused(old):
    old.write("/opt/x", "x")
    old.mounted(["20 1 0:50 / / rw,relatime - overlay overlay rw,upperdir=/up"])
    with pytest.raises(Refusal, match="it is a directory on the container disk"):
        old.keep()


def test_no_room_leaves_the_earlier_archive_and_no_remains(old, monkeypatch):
    old.write("/opt/x", "x")
    first = old.keep()["name"]
    old.write("/opt/big", os.urandom(9 << 20))
    monkeypatch.setattr(fitting, "room", lambda *_: 1 << 20)
    with pytest.raises(Refusal) as refused:
        old.keep()
    assert refused.value.code == "no-space"
    assert [each["name"] for each in old.archives()] == [first]
    assert sorted(os.listdir(old.store())) == [".lock", first]


def test_a_volume_that_gives_back_other_bytes_is_noticed(old, monkeypatch):
    old.write("/opt/x", "x" * 100_000)
    honest = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: honest(fd, size, at)[:-1] + b"?")
    with pytest.raises(Refusal, match="other bytes"):
        old.keep()
    assert old.archives() == []


def test_a_damaged_archive_is_refused_and_says_so(old, new):
    work_in(old)
    directory = old.store() / old.keep()["name"]
    data = next(directory.glob("disk.tar.*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    pod = new()
    with pytest.raises(Refusal, match="damaged"):
        pod.restore()
    assert pod.ask("disk.list", volume="/workspace", environment="proj")[0]["done"] is False


def test_two_at_once_are_refused(old):
    old.write("/opt/x", "x")
    old.keep()
    with open(old.store() / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old.write("/opt/y", "y")
        with pytest.raises(Refusal) as refused:
            old.keep()
    assert refused.value.code == "busy"


def test_a_file_that_is_written_meanwhile_is_kept_in_its_last_state_or_named(old, monkeypatch):
    old.write("/opt/log", "one\n")
    old.write("/opt/other", "other\n")
    looks = []
    real = keeping.differences

    def meanwhile(*arguments, **options):
        looks.append(1)
        if len(looks) == 2:
            old.write("/opt/log", "one\ntwo\n")
            os.unlink(old.path("/opt/other"))
            old.write("/opt/later", "later\n")
        return real(*arguments, **options)

    monkeypatch.setattr(keeping, "differences", meanwhile)
    kept = old.keep()
    held = index.read(str(old.store() / kept["name"]))
    assert {entry.path for entry in held.entries if entry.kind == "f"} == {"/opt/log", "/opt/later"}
    assert _saved(old, ["/opt/log", "/opt/later"]) == {"/opt/log", "/opt/later"}


def test_a_full_container_disk_says_so_and_is_taken_up_again(old, new, monkeypatch):
    work_in(old)
    old.keep()
    pod = new()
    real, calls = os.pwrite, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, "full")
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Refusal) as refused:
        pod.restore()
    assert refused.value.code == "no-space"
    assert pod.restore(unless_done=True)["conflicts"] == {}
    assert pod.look("/opt") == old.look("/opt")


@pytest.mark.parametrize("cut", [1, 2, 9, 14, 16])
def test_cut_off_at_any_point_it_is_taken_up_and_ends_the_same(old, new, cut):
    work_in(old)
    old.keep()
    pod = new()
    archive = racks.Rack(str(pod.store())).newest()
    directory = f"/workspace/.devpod/disk/proj/{archive.name}"
    steps = putting_back.put_back(archive, directory, putting_back.Wish(pod.image), root=str(pod.root), proc=pod.proc)
    for _ in range(cut):
        next(steps)
    steps.close()
    assert pod.restore(unless_done=True)["conflicts"] == {}
    before, after = old.look(), pod.look()
    del before["/root/.cache/thing"]
    assert after == before


@pytest.mark.parametrize("cut", [1, 5, 12, 25, 30])
def test_keeping_that_is_cut_off_changes_nothing(old, cut):
    old.write("/opt/x", "x")
    first = old.keep()["name"]
    work_in(old)
    choice = Choice(NoLoss([]))
    steps = keeping.keep(keeping.Order("/workspace", "proj", old.image, choice), root=str(old.root), proc=old.proc)
    for _ in range(cut):
        next(steps)
    steps.close()
    assert [each["name"] for each in old.archives()] == [first]
    assert sorted(os.listdir(old.store())) == [".lock", first]


@pytest.mark.parametrize("packing", ["zstd", "gzip"])
def test_chunks_are_read_from_any_place_and_proved(tmp_path, packing):
    if packing == "zstd" and chunks.best().name != "zstd":
        pytest.skip("no zstd here")
    descriptor = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    content = os.urandom(5 << 20) + b"same " * (2 << 20)
    assert len(content) > 3 * chunks.CHUNK
    packer = chunks.Packer(descriptor, chunks.named(packing), 1 << 30)
    for start in range(0, len(content), 700_001):
        packer.write(content[start : start + 700_001])
    pieces = packer.close()
    reader = chunks.Unpacker(descriptor, chunks.named(packing), pieces)
    for at, size in ((0, 10), (5 << 20, 20), (4 << 20, 6 << 20), (1, 3), (len(content) - 5, 5)):
        assert b"".join(reader.read(at, size)) == content[at : at + size]
    with pytest.raises(chunks.CopyDiffers):
        list(reader.read(len(content) - 2, 3))
    reader.close()
    os.close(descriptor)


def test_another_packing_is_refused_by_name():
    with pytest.raises(ValueError, match="lz77"):
        chunks.named("lz77")


def test_the_account_names_what_was_kept(old):
    work_in(old)
    kept = old.keep()
    about = old.archives()[0]
    assert about["name"] == kept["name"]
    assert about["image"] == old.image
    assert about["files"] > 10
    assert about["deleted"] == 2
    assert 0 < about["stored"] < about["size"]
    assert json.loads((old.store() / kept["name"] / "about.json").read_text())["version"] == 1
    assert putting_back.is_due(kept["directory"], str(old.root))
