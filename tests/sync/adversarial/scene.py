"""Where the adversarial cases play: real folders, real agents, real disks of awkward kinds, cleared away afterwards."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp.pod.link import AgentLink
from tests.keeper.rig import Rig
from tests.sync.conftest import Machine, Pair, Pipe

NOBODY = 65534


class Scene:
    """What one case works with. Everything it makes lies below *top* and ends with the case."""

    def __init__(self, top: Path, stack: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self._stack = stack
        self._monkeypatch = monkeypatch

    def pair(self, mode: str = "two-way-safe", name: str = "", command: Callable[[str], str] = str) -> Pair:
        """A folder here, one on a volume, a session between them; *command* wraps what starts the agent."""
        folder = self.top / name
        folder.mkdir(exist_ok=True)
        pair = Rigged(folder, mode, command)
        self._stack.callback(pair.close)
        return pair

    def keeper(self, mode: str = "two-way-safe") -> Rig:
        """A keeper with its watchers between two folders; only the cloud is played."""
        self._monkeypatch.setenv("DEVPOD_RP_HOME", str(self.top / "h"))
        rig = Rig(self.top)
        rig.mode = mode
        self._stack.callback(rig.stop)
        return rig

    def tiny_disk(self, at: Path, megabytes: float) -> None:
        """Mount a disk of so many megabytes (tmpfs) at *at*."""
        self._mount(at, "mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(at))

    def stick(self, at: Path) -> str:
        """Mount what a USB stick has: no two names that differ in case only, no links, no executable bit.

        That is vfat where the kernel has it, else exFAT through FUSE. Returns which.
        """
        return stick(self.top / f"stick{at.name}.img", at, self._stack)

    def image(self, at: Path, megabytes: int = 16) -> None:
        """Mount an ext4 image at *at*."""
        path = self.top / f"ext4{at.name}.img"
        with path.open("wb") as stream:
            stream.truncate(megabytes << 20)
        need_root("mount an image")
        if subprocess.run(["mkfs.ext4", "-q", str(path)], check=False).returncode:
            pytest.skip("no mkfs.ext4 here")
        self._mount(at, "mount", "-o", "loop", str(path), str(at))

    def unmount(self, at: Path) -> None:
        subprocess.run(["umount", "-l", str(at)], check=True)

    def detach_loops(self) -> None:
        """Let go of the images whose disks were ended from outside."""
        for line in _done("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines():
            loop, _, image = line.strip().partition(" ")
            if image.strip().startswith(str(self.top)):
                _done("losetup", "--detach", loop)

    def finally_(self, work: Callable[[], object]) -> None:
        self._stack.callback(work)

    def _mount(self, at: Path, *command: str) -> None:
        need_root("mount a disk")
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip(f"this machine does not let us mount one: {' '.join(command[:3])}")
        self._stack.callback(subprocess.run, ["umount", "-l", str(at)], check=False, capture_output=True)

    @contextlib.contextmanager
    def unprivileged(self) -> Iterator[None]:
        """Act as a user for whom permission bits count; what the scene holds is theirs."""
        self.give_away()
        if os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
                os.setegid(0)

    def give_away(self) -> None:
        """Let everything here belong to the user that :func:`as_nobody` and :meth:`unprivileged` are."""
        if os.geteuid() == 0:
            for folder in [self.top, *self.top.parents]:
                if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
                    folder.chmod(folder.stat().st_mode | 0o011)
            for where, folders, names in os.walk(self.top):
                for each in [where, *(f"{where}/{name}" for name in [*folders, *names])]:
                    os.lchown(each, NOBODY, NOBODY)


def as_nobody(command: str) -> str:
    """*command* run by a user for whom permission bits count."""
    if os.geteuid() != 0:
        return command
    return f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups sh -c {shlex.quote(command)}"


class Wrapped(Machine):
    """A machine whose agent is started by what *command* makes of the command."""

    def __init__(self, command: Callable[[str], str]) -> None:
        super().__init__()
        self._command = command

    def channel(self, command: str, /) -> Pipe:
        return super().channel(self._command(command))


class Rigged(Pair):
    def __init__(self, top: Path, mode: str, command: Callable[[str], str]) -> None:
        super().__init__(top, mode)
        self._command = command

    def connect(self, **more: object) -> AgentLink:
        self.disconnect()
        self.machine = Wrapped(self._command)
        self.link = AgentLink.open(self.machine)
        self.session.attach(self.link, **more)  # type: ignore[arg-type]
        return self.link


def stick(image: Path, at: Path, stack: contextlib.ExitStack) -> str:
    """Mount a FAT of some kind at *at* until *stack* is unwound; skips where there is none."""
    need_root("mount a disk")
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    if "vfat" in Path("/proc/filesystems").read_text() and shutil.which("mkfs.vfat"):
        _done("mkfs.vfat", str(image))
        _done("mount", "-t", "vfat", "-o", "loop,utf8", str(image), str(at))
        stack.callback(_done, "umount", str(at))
        return "vfat"
    if not (shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse") and Path("/dev/fuse").exists()):
        pytest.skip("neither vfat nor exFAT can be mounted here")
    _done("mkfs.exfat", str(image))
    loop = _done("losetup", "--find", "--show", str(image)).strip()
    stack.callback(_done, "losetup", "--detach", loop)
    _done("mount.exfat-fuse", loop, str(at))
    stack.callback(_done, "umount", str(at))
    return "exfat"


def _done(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def need_root(what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"only root can {what}")


def eventually(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def settled(pair: Pair, *, but: tuple[str, ...] = ()) -> None:
    """Nothing moves any more, and both sides are equal but for the paths *but* and what is below them; no litter."""

    def told(files: dict[str, str]) -> dict[str, str]:
        return {path: text for path, text in files.items() if not any(f"{path}/".startswith(f"{b}/") for b in but)}

    quiet(pair)
    assert told(pair.pod.files()) == told(pair.local.files())


def quiet(pair: Pair) -> None:
    """After a few looks at everything nothing moves any more, nothing is left over, and nothing is pending."""
    for _ in range(3):
        pair.sync()
    result = pair.sync()
    moved = (result.uploaded_files, result.downloaded_files, result.deleted, result.deleted_here)
    assert moved == (0, 0, 0, 0), "quiet stays quiet"
    assert pair.session.status().pending == 0, pair.session.status()
    assert pair.litter() == []


def moved(pair: Pair) -> int:
    """How many files one look at everything still moves."""
    result = pair.sync()
    return result.uploaded_files + result.downloaded_files + result.deleted + result.deleted_here
