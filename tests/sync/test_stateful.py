"""Random lives of two people on two real folders, driven by hypothesis: no version that only one side had is ever lost.

After Hughes, Pierce, Arts and Norell, "Mysteries of Dropbox": the model is the set of everything anybody wrote last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Folder, Pair

NAMES = ["a", "b", "a/x", "a/y", "b/x", "a/x/deep", "c.txt"]
ANCHORS = {f"anchor{number}": "stays" for number in range(12)}


class Lives(RuleBasedStateMachine):
    """Two users, a cycle now and then, a lost connection, a restarted client. Every text written is unique."""

    mode = "two-way-safe"

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="lives-"))
        self.pair = Pair(self.top, self.mode)
        self.pair.both(ANCHORS).synced()
        self.count = 0
        self.heard: dict[str, set[str]] = {"here": set(), "pod": set()}

    def teardown(self) -> None:
        self.pair.close()
        shutil.rmtree(self.top)

    # What people do.

    @rule(side=st.sampled_from(["here", "pod"]), path=st.sampled_from(NAMES), big=st.booleans())
    def write(self, side: str, path: str, big: bool) -> None:
        target = self._target(side, path)
        if target is not None and not (target.is_dir() and not target.is_symlink()):
            self.count += 1
            if target.is_symlink():
                self._take_away(target)
            else:
                self._forgotten(target)
            target.write_text(f"{side} wrote version {self.count} " * (2000 if big else 1))

    @rule(side=st.sampled_from(["here", "pod"]), path=st.sampled_from(NAMES))
    def delete(self, side: str, path: str) -> None:
        target = self._target(side, path)
        if target is not None:
            self._take_away(target)

    @rule(side=st.sampled_from(["here", "pod"]), path=st.sampled_from(NAMES))
    def make_folder(self, side: str, path: str) -> None:
        target = self._target(side, path)
        if target is not None and not target.is_dir():
            self._take_away(target)
            target.mkdir()

    @rule(side=st.sampled_from(["here", "pod"]), path=st.sampled_from(NAMES), executable=st.booleans())
    def chmod(self, side: str, path: str, executable: bool) -> None:
        target = self._target(side, path)
        if target is not None and target.is_file() and not target.is_symlink():
            target.chmod(0o755 if executable else 0o644)

    @rule(side=st.sampled_from(["here", "pod"]), path=st.sampled_from(NAMES))
    def link(self, side: str, path: str) -> None:
        target = self._target(side, path)
        if target is not None:
            self._take_away(target)
            os.symlink("c.txt", target)

    @rule(side=st.sampled_from(["here", "pod"]), one=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def rename(self, side: str, one: str, other: str) -> None:
        source, target = self._target(side, one), self._target(side, other)
        inside = other.startswith(one + "/") or one.startswith(other + "/") or one == other
        if source is not None and target is not None and os.path.lexists(source) and not inside:
            self._take_away(target)
            source.rename(target)

    # What the synchronisation does.

    @rule()
    def full_cycle(self) -> None:
        self._cycle(lambda: self.pair.sync())

    @rule()
    def quick_cycle(self) -> None:
        here, pod = self.heard["here"], self.heard["pod"]
        if here or pod:
            self._cycle(lambda: self.pair.sync(*here, pod=tuple(pod)))

    @rule()
    def restart(self) -> None:
        self.pair.restart()

    @precondition(lambda self: self.pair.conflicts())
    @rule(keep=st.sampled_from(["local", "pod", "both"]))
    def resolve(self, keep: str) -> None:
        self.full_cycle()
        for path in self.pair.conflicts()[:1]:
            there = self.pair.pod.root / path
            if keep == "both" and (there.is_dir() or there.is_symlink()):
                keep = "local"
            self._cycle(lambda: self.pair.session.resolve(path, keep))  # noqa: B023

    # What must always be true.

    @invariant()
    def no_version_is_lost(self) -> None:
        missing = self._wanted() - self._everywhere()
        assert not missing, f"lost: {sorted(each[:40] for each in missing)}"

    @invariant()
    def no_litter(self) -> None:
        assert self.pair.litter() == []

    # Helpers.

    wanted: set[str]

    def _wanted(self) -> set[str]:
        """What a person put there or left there with a last deed, and did not take away again."""
        return self.__dict__.setdefault("_texts", set())

    def _cycle(self, run: object) -> None:
        self._wanted().update(self._texts_in(self.pair.local.root), self._texts_in(self.pair.pod.root))
        try:
            run()  # type: ignore[operator]
        except SyncHalted:
            self.pair.session.accept()
            return
        self.heard = {"here": set(), "pod": set()}

    def _forgotten(self, target: Path) -> None:
        """A person overwrites or deletes with their own hands: that version need not be kept by us."""
        for file in [target, *(target.rglob("*") if target.is_dir() else ())]:
            if file.is_file() and not file.is_symlink():
                text = file.read_text()
                others = [self.pair.local.root, self.pair.pod.root]
                held = sum(text in self._texts_in(root) for root in others)
                if held <= 1:
                    self._wanted().discard(text)

    def _take_away(self, target: Path) -> None:
        self._forgotten(target)
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)

    def _target(self, side: str, path: str) -> Path | None:
        """The place of *path*, if the folders above it are real ones; noted as heard of."""
        folder: Folder = self.pair.local if side == "here" else self.pair.pod
        target = folder.root / path
        for above in list(target.relative_to(folder.root).parents)[:-1]:
            if not (folder.root / above).is_dir() or (folder.root / above).is_symlink():
                return None
        self.heard[side].add(path)
        return target

    def _everywhere(self) -> set[str]:
        roots = [self.pair.local.root, self.pair.pod.root, self.pair.volume / ".devpod_rp/trash"]
        roots.append(self.top / "state/local/trash")
        return set().union(*(self._texts_in(root) for root in roots))

    @staticmethod
    def _texts_in(root: Path) -> set[str]:
        return {
            path.read_text() for path in root.rglob("*") if path.is_file() and not path.is_symlink()
        } if root.exists() else set()  # fmt: skip


class OneWay(Lives):
    mode = "one-way-safe"

    def _cycle(self, run: object) -> None:
        before = self.pair.local.files()
        resolving = bool(self.pair.conflicts())
        super()._cycle(run)
        if not resolving:
            assert self.pair.local.files() == before, "one-way never touches this side by itself"


class Replica(OneWay):
    """The pod's own versions go, but to the trash, and never more than the user was asked about."""

    mode = "one-way-replica"


class Settling(Lives):
    """After quiet and two full cycles both sides are equal, but for the conflicts."""

    def teardown(self) -> None:
        try:
            for _ in range(4):
                self._cycle(lambda: self.pair.sync())
            conflicts = self.pair.conflicts()

            def disputed(path: str) -> bool:
                return any(f"{path}/".startswith(f"{each}/") or f"{each}/".startswith(f"{path}/") for each in conflicts)

            def told(files: dict[str, str]) -> dict[str, str]:
                return {path: text for path, text in files.items() if not disputed(path)}

            assert told(self.pair.local.files()) == told(self.pair.pod.files())
            result = self.pair.sync()
            moved = (result.uploaded_files, result.downloaded_files, result.deleted, result.deleted_here)
            assert moved == (0, 0, 0, 0), "quiet stays quiet"
        finally:
            super().teardown()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [Lives, OneWay, Replica, Settling])
def test_no_history_loses_a_version(machine: type[Lives]) -> None:
    examples = int(os.environ.get("DEVPOD_RP_HISTORIES", "25"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
