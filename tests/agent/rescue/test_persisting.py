"""What is kept on the volume: content moves there without a loss, a link takes its place at every start."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devpod_rp.agent.rescue import persisting
from devpod_rp.agent.rescue.persisting import Wish
from devpod_rp.agent.wire import Refusal, Request
from tests.agent.containers import OVERLAY_ROOT, VOLUME, Container

STORE = "/workspace/.devpod/persist/proj"
HISTORY = Wish("~/.bash_history", False)
SERVER = Wish("~/.vscode-server", True)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    monkeypatch.setenv("HOME", "/root")
    container = Container(tmp_path)
    container.write("/root/.profile", "image")
    return container


def keep(pod: Container, *wishes: Wish, fresh: bool = False) -> dict[str, str]:
    operation = persisting.operations(str(pod.root), pod.proc)["persist.link"]
    header = {"volume": "/workspace", "store": STORE, "fresh": fresh}
    ((_, body),) = operation(Request(header, json.dumps(wishes).encode()))
    left: dict[str, str] = json.loads(body)
    return left


def kept(pod: Container, path: str) -> Path:
    return pod.path(f"{STORE}/home/{path}")


def is_link(pod: Container, path: str) -> bool:
    name = pod.path("/root/" + path)
    return name.is_symlink() and os.readlink(name) == f"{STORE}/home/{path}"


def wiped(pod: Container, path: str) -> None:
    """The container disk is new, the volume is not."""
    pod.path("/root/" + path).unlink()


def test_what_is_nowhere_yet_becomes_a_link_that_works(pod: Container) -> None:
    pod.boots()
    assert keep(pod, HISTORY, SERVER) == {}
    assert is_link(pod, ".bash_history")
    assert is_link(pod, ".vscode-server")
    assert kept(pod, ".vscode-server").is_dir(), "mkdir below it works at once"
    assert not kept(pod, ".bash_history").exists(), "a file appears when it is written"
    kept(pod, ".bash_history").write_text("made through the link")


def test_asking_again_changes_nothing(pod: Container) -> None:
    pod.boots()
    keep(pod, HISTORY, SERVER)
    kept(pod, ".vscode-server/settings").write_text("mine")
    before = kept(pod, ".vscode-server").stat().st_mtime_ns
    assert keep(pod, HISTORY, SERVER) == {}
    assert kept(pod, ".vscode-server").stat().st_mtime_ns == before
    assert kept(pod, ".vscode-server/settings").read_text() == "mine"


def test_what_is_there_moves_with_modes_times_links_and_holes(pod: Container) -> None:
    pod.boots()
    script = pod.write("/root/.vscode-server/bin/code", "#!/bin/sh\n")
    script.chmod(0o750)
    os.utime(script, ns=(5, 1_600_000_000_123_456_789))
    pod.path("/root/.vscode-server/bin/latest").symlink_to("code")
    pod.path("/root/.vscode-server/empty").mkdir(mode=0o711)
    sparse = pod.path("/root/.vscode-server/sparse")
    with sparse.open("wb") as file:
        file.truncate(64 << 20)
    odd = os.fsencode(pod.path("/root/.vscode-server")) + b"/caf\xe9\n"
    with open(odd, "wb") as file:
        file.write(b"odd")
    os.mkfifo(pod.path("/root/.vscode-server/pipe"))
    assert keep(pod, SERVER) == {}
    assert is_link(pod, ".vscode-server")
    there = kept(pod, ".vscode-server")
    assert (there / "bin/code").read_text() == "#!/bin/sh\n"
    assert (there / "bin/code").stat().st_mode & 0o7777 == 0o750
    assert (there / "bin/code").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert os.readlink(there / "bin/latest") == "code"
    assert (there / "empty").stat().st_mode & 0o7777 == 0o711
    assert (there / "sparse").stat().st_blocks < 1000
    assert Path(os.fsdecode(os.fsencode(there) + b"/caf\xe9\n")).read_bytes() == b"odd"
    assert not list(there.rglob("*.devpod-part"))


def test_after_a_wipe_the_version_on_the_volume_is_there_again_and_the_images_is_not_in_its_way(pod: Container) -> None:
    pod.write("/root/.jupyter/config.py", "the image's")
    pod.write("/root/.jupyter/other.py", "only the image has it")
    pod.boots()
    kept(pod, ".jupyter").mkdir(parents=True)
    kept(pod, ".jupyter/config.py").write_text("mine, of last week")
    assert keep(pod, Wish("~/.jupyter", True)) == {}
    assert is_link(pod, ".jupyter")
    assert kept(pod, ".jupyter/config.py").read_text() == "mine, of last week"
    assert kept(pod, ".jupyter/other.py").read_text() == "only the image has it"
    assert not pod.path(f"{STORE}/replaced").exists()


def test_of_two_versions_that_somebody_made_the_newer_counts_and_the_older_is_kept(pod: Container) -> None:
    pod.boots()
    keep(pod, HISTORY)
    kept(pod, ".bash_history").write_text("of before")
    wiped(pod, ".bash_history")
    pod.write("/root/.bash_history", "a program put a file in the link's place")
    assert keep(pod, HISTORY) == {}
    assert is_link(pod, ".bash_history")
    assert kept(pod, ".bash_history").read_text() == "a program put a file in the link's place"
    (older,) = pod.path(f"{STORE}/replaced").rglob(".bash_history")
    assert older.read_text() == "of before"


def test_at_a_start_what_the_boot_made_does_not_replace_what_somebody_made(pod: Container) -> None:
    pod.boots()
    kept(pod, ".jupyter").mkdir(parents=True)
    kept(pod, ".jupyter/config.py").write_text("mine, of last week")
    pod.write("/root/.jupyter/config.py", "written by the start script")
    assert keep(pod, Wish("~/.jupyter", True), fresh=True) == {}
    assert kept(pod, ".jupyter/config.py").read_text() == "mine, of last week"


def test_what_somebody_uses_stays_and_is_named(pod: Container) -> None:
    pod.boots()
    pod.write("/root/.vscode-server/log", "open")
    pod.runs(77, "node server.js")
    (pod.proc / "77" / "fd").mkdir()
    (pod.proc / "77" / "fd" / "3").symlink_to("/root/.vscode-server/log")
    (pod.proc / "77" / "cwd").symlink_to("/")
    (pod.proc / "77" / "exe").symlink_to("/usr/bin/node")
    assert "process 77" in keep(pod, SERVER)["~/.vscode-server"]
    assert pod.path("/root/.vscode-server/log").read_text() == "open"
    assert not is_link(pod, ".vscode-server")


def test_a_link_of_the_users_own_stays(pod: Container) -> None:
    pod.boots()
    pod.path("/root/.bash_history").symlink_to("/workspace/my-history")
    assert "/workspace/my-history" in keep(pod, HISTORY)["~/.bash_history"]
    assert os.readlink(pod.path("/root/.bash_history")) == "/workspace/my-history"


def test_a_file_where_the_volume_has_a_folder_stays_and_so_does_the_folder(pod: Container) -> None:
    pod.boots()
    kept(pod, ".bash_history").mkdir(parents=True)
    (kept(pod, ".bash_history") / "inner").write_text("theirs")
    pod.write("/root/.bash_history", "mine")
    assert "folder" in keep(pod, HISTORY)["~/.bash_history"]
    assert pod.path("/root/.bash_history").read_text() == "mine"
    assert (kept(pod, ".bash_history") / "inner").read_text() == "theirs"


def test_a_path_in_a_kept_folder_needs_nothing(pod: Container) -> None:
    pod.boots()
    assert keep(pod, Wish("~/.config", True)) == {}
    # In a pod the link leads to the volume; here the disk is a folder, so the link is made to lead there.
    pod.path("/root/.config").unlink()
    pod.path("/root/.config").symlink_to(kept(pod, ".config"))
    kept(pod, ".config/gh").mkdir()
    assert keep(pod, Wish("~/.config/gh", True)) == {}
    assert kept(pod, ".config/gh").is_dir()
    assert not kept(pod, ".config/gh").is_symlink()


def test_a_path_outside_the_home(pod: Container) -> None:
    pod.boots()
    pod.write("/etc/mytool.conf", "a = 1")
    assert keep(pod, Wish("/etc/mytool.conf", False)) == {}
    assert os.readlink(pod.path("/etc/mytool.conf")) == f"{STORE}/disk/etc/mytool.conf"
    assert pod.path(f"{STORE}/disk/etc/mytool.conf").read_text() == "a = 1"


@pytest.mark.parametrize("cut", range(1, 12))
def test_cut_off_anywhere_nothing_is_lost_and_the_next_start_goes_on(
    pod: Container, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    pod.boots()
    files = {f"a/{number}": f"content {number}" for number in range(3)} | {"b": "two", "c/d/e": "three"}
    for path, content in files.items():
        pod.write(f"/root/.vscode-server/{path}", content)

    class Cut(BaseException):
        pass

    steps = 0

    def counting(step: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **more: object) -> object:
            nonlocal steps
            steps += 1
            if steps == cut:
                raise Cut
            return step(*arguments, **more)

        return counted

    with monkeypatch.context() as faults:
        for name in ("rename", "unlink", "rmdir"):
            faults.setattr(os, name, counting(getattr(os, name)))
        with pytest.raises(Cut):
            keep(pod, SERVER)
    places = (pod.path("/root/.vscode-server"), kept(pod, ".vscode-server"))
    for path, content in files.items():
        assert content in [(place / path).read_text() for place in places if (place / path).is_file()]
    assert keep(pod, SERVER) == {}
    assert is_link(pod, ".vscode-server")
    assert {path: (kept(pod, ".vscode-server") / path).read_text() for path in files} == files


@pytest.mark.parametrize("mounts", [(OVERLAY_ROOT,), (OVERLAY_ROOT, VOLUME.replace("/workspace", "/elsewhere"))])
def test_a_volume_that_is_only_a_folder_is_refused(tmp_path: Path, mounts: tuple[str, ...]) -> None:
    pod = Container(tmp_path, mounts)
    pod.boots()
    operation = persisting.operations(str(pod.root), pod.proc)["persist.link"]
    body = json.dumps([["~/.bash_history", False]]).encode()
    with pytest.raises(Refusal, match="is no volume that outlives a stop"):
        list(operation(Request({"volume": "/workspace", "store": STORE}, body)))
    assert not pod.path("/root/.bash_history").exists()
