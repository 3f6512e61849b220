"""What editors bring to a pod is there again in the next container: linked, or out of an archive."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.servers import archives, keeping
from devpod_rp.agent.servers.keeping import ARCHIVED, LINKED
from devpod_rp.agent.servers.slowness import slowness
from devpod_rp.agent.wire import Request

ABC = ".vscode-server/bin/abc"
STABLE = ".cursor-server/cli/servers/Stable-abc/server"
PROGRAM = ".vscode-server/code-abc"


class Pod:
    """A home that dies, and a store that does not."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.store = base / "volume" / "store"
        self.choice = base / "run" / "editor-servers"
        self.home.mkdir()
        self.store.mkdir(parents=True)
        self.seen: dict[str, str] = {}

    def brings(self, server: str, text: str = "1", at: Path | None = None) -> Path:
        """A server as an editor leaves it, or a program of its."""
        place = (at or self.home) / server
        if "/code-" in server:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            place.chmod(0o755)
            return place
        name = "cursor-server" if "cursor" in server else "code-server"
        (place / "bin").mkdir(parents=True)
        (place / "bin" / name).write_text(f"#!/bin/sh\necho {text}\n")
        (place / "bin" / name).chmod(0o755)
        (place / "node_modules" / "deep").mkdir(parents=True)
        (place / "node_modules" / "deep" / "größe.js").write_text(text)
        (place / "node_modules" / "latest").symlink_to("deep")
        os.utime(place / "node_modules" / "latest", (1_600_000_000, 1_600_000_000), follow_symlinks=False)
        os.utime(place / "node_modules" / "deep" / "größe.js", (1_600_000_000, 1_600_000_000))
        return place

    def keep(self) -> list[str]:
        return archives.keep(str(self.home), str(self.store), self.seen)

    def kept(self) -> list[str]:
        return sorted(each.server for each in archives.archives(str(self.store)))

    def next_container(self, wanted: str = ARCHIVED) -> dict[str, Any]:
        """The container disk is wiped; an agent settles in the new one."""
        shutil.rmtree(self.home)
        self.home.mkdir()
        self.choice.unlink(missing_ok=True)
        self.seen = {}
        if wanted == LINKED:
            linked = self.store / "home" / ".vscode-server"
            linked.mkdir(parents=True, exist_ok=True)
            (self.home / ".vscode-server").symlink_to(linked)
        self.choose(wanted)
        return self.ask("servers.settle", store=str(self.store))

    def choose(self, wanted: str, fresh: bool = True) -> str:
        volume = str(self.store.parent)
        return str(self.ask("servers.choose", volume=volume, wanted=wanted, fresh=fresh)["how"])

    def ask(self, op: str, **header: Any) -> dict[str, Any]:
        ((answer, _),) = keeping.operations(str(self.home), str(self.choice))[op](Request(header, b""))
        return answer


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def picture(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        name, status = str(path.relative_to(place)), path.lstat()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.read_bytes(), status.st_mode, int(status.st_mtime))
    return found


@pytest.mark.parametrize("server", [ABC, STABLE, PROGRAM])
def test_a_server_is_there_again_after_a_wipe(pod: Pod, server: str) -> None:
    before = picture(pod.brings(server))
    assert pod.keep() == [], "it may still be coming"
    assert pod.keep() == [server]
    assert pod.keep() == []
    assert pod.next_container() == {"unpacked": 1, "left": {}}
    assert picture(pod.home / server) == before
    assert [pod.keep(), pod.keep()] == [[], []], "what came out of an archive is not archived again"


def test_what_still_changes_waits(pod: Pod) -> None:
    place = pod.brings(ABC)
    pod.keep()
    (place / "late.js").write_text("late")
    assert pod.keep() == []
    assert pod.keep() == [ABC]


def test_an_archive_follows_what_changed(pod: Pod) -> None:
    place = pod.brings(ABC)
    pod.keep(), pod.keep()
    (place / "patch.js").write_text("patched")
    pod.keep(), pod.keep()
    assert pod.kept() == [ABC]
    pod.next_container()
    assert (pod.home / ABC / "patch.js").read_text() == "patched"


def test_what_the_editor_removed_is_not_brought_back(pod: Pod) -> None:
    place = pod.brings(ABC)
    pod.keep(), pod.keep()
    shutil.rmtree(place)
    pod.keep()
    assert pod.kept() == []


def test_the_newest_two_versions_are_kept(pod: Pod) -> None:
    for number in range(4):
        place = pod.brings(f".vscode-server/bin/v{number}")
        os.utime(place, (1_600_000_000 + number, 1_600_000_000 + number))
        pod.keep(), pod.keep()
    assert pod.kept() == [".vscode-server/bin/v2", ".vscode-server/bin/v3"]
    assert pod.keep() == []


def test_linked_servers_become_archives_and_linked_again(pod: Pod) -> None:
    linked = pod.store / "home"
    before = picture(pod.brings(ABC, at=linked))
    pod.next_container(ARCHIVED)
    assert picture(pod.home / ABC) == before
    assert not (linked / ABC).exists()
    pod.next_container(LINKED)
    assert picture(linked / ABC) == before
    assert pod.kept() == []


def test_a_folder_that_is_linked_is_not_archived(pod: Pod) -> None:
    pod.next_container(LINKED)
    pod.brings(ABC)
    assert [pod.keep(), pod.keep()] == [[], []]


def test_a_broken_archive_is_named_and_gone(pod: Pod) -> None:
    pod.brings(ABC)
    pod.keep(), pod.keep()
    (kept,) = archives.archives(str(pod.store))
    Path(kept.archive).write_bytes(Path(kept.archive).read_bytes()[:3000])
    answer = pod.next_container()
    assert list(answer["left"]) == [ABC]
    assert (pod.kept(), (pod.home / ABC).exists()) == ([], False)
    assert not list((pod.home / ABC).parent.iterdir()), "nothing half-made is left"


def test_what_ran_in_the_container_before_is_forgotten(pod: Pod) -> None:
    linked = pod.store / "home" / ".vscode-server"
    stale = [".abc.pid", ".abc.log", ".abc.token", ".cli.abc.log", "cli/servers/Stable-abc/pid.txt"]
    stale += ["cli/servers/Stable-abc/log.txt", "cli/servers/Stable-b.staging/x", "bin/abc/vscode-remote-lock.root.abc"]
    kept = ["extensions/a.log", "data/Machine/settings.json", "bin/abc/bin/code-server"]
    for name in (*stale, *kept):
        (linked / name).parent.mkdir(parents=True, exist_ok=True)
        (linked / name).write_text("x")
    pod.next_container(LINKED)
    assert [name for name in stale if (linked / name).exists()] == []
    assert [name for name in kept if not (linked / name).exists()] == []


def test_the_choice_holds_as_long_as_the_container(pod: Pod) -> None:
    assert pod.choose(ARCHIVED) == ARCHIVED
    assert pod.choose(LINKED) == ARCHIVED
    assert json.loads(pod.choice.read_text())[0] == ARCHIVED


def test_a_container_that_nobody_chose_for_has_them_linked(pod: Pod) -> None:
    assert pod.choose(ARCHIVED, fresh=False) == LINKED


def test_a_volume_is_judged_by_its_locks_and_by_small_files(tmp_path: Path) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    ticks = itertools.count()
    held = threading.Event()
    assert slowness(str(tmp_path), clock=lambda: 0.0, patience_seconds=60) == ""
    assert "No locks available" in slowness(str(tmp_path), lock=no_locks, patience_seconds=60)
    assert "ms" in slowness(str(tmp_path), clock=lambda: float(next(ticks)), patience_seconds=60)
    assert "does not answer" in slowness(str(tmp_path), lock=lambda *_: held.wait() and None, patience_seconds=0.2)
    held.set()
    (tmp_path / "file").write_text("no folder")
    assert "Not a directory" in slowness(str(tmp_path / "file"), patience_seconds=60)
