"""Thousands of random lives of two people under the three-way rule alone: files, folders, links, bits and deletions, in
all three modes, with plans that are carried out in part, answers that get lost, paths that cannot be read, and a memory
that is gone. What only one side had is never lost, and quiet means equal.

Pure, so that they are many; the same on real folders is in test_stateful.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.reconcile import Mode, Plan, Side, reconcile, same
from tests.sync.test_reconcile import NAMES, carried_out, entry

pytestmark = [pytest.mark.slow]

HISTORIES = int(os.environ.get("DEVPOD_RP_RULE_HISTORIES", "700"))
"""In each mode."""

SIDES = st.sampled_from(list(Side))
KINDS = st.sampled_from(["file", "file", "file", "bit", "link", "folder", "gone", "gone"])
EDIT = st.tuples(st.just("edit"), SIDES, st.sampled_from(NAMES), KINDS)
WHOLE = st.just(("cycle", None, None, None))
BROKEN = st.tuples(st.just("cycle"), st.integers(0, 6), st.integers(0, 6), st.sampled_from([None, *NAMES]))
# In rounds, because what two people do between two cycles is what the rule is about.
ROUND = st.tuples(st.lists(EDIT, min_size=2, max_size=8), st.one_of(WHOLE, WHOLE, WHOLE, BROKEN, st.just(("forget",))))
LIVES = st.lists(ROUND, min_size=2, max_size=8).map(
    lambda rounds: [step for edits, end in rounds for step in (*edits, end)]
)


@dataclass
class World:
    """Both trees, what they last agreed on, and what lies in the trash."""

    mode: Mode
    ancestor: dict[str, Entry] = field(default_factory=dict)
    sides: dict[Side, dict[str, Entry]] = field(default_factory=lambda: {Side.LOCAL: {}, Side.REMOTE: {}})
    trash: set[Entry] = field(default_factory=set)
    numbers: count[int] = field(default_factory=count)

    def edit(self, side: Side, path: str, kind: str) -> None:
        """What a person does at *path*, as far as a file system allows it; every file written is unique."""
        tree = self.sides[side]
        folders = ["/".join(path.split("/")[:cut]) for cut in range(1, path.count("/") + 1)]
        if any(tree.get(folder, entry("1")).kind != "dir" for folder in folders):
            if kind == "gone" or any(folder in tree and tree[folder].kind != "dir" for folder in folders):
                return
            tree.update({folder: entry("/") for folder in folders})
        if kind == "bit":
            if path in tree and tree[path].kind == "file":
                tree[path] = tree[path]._replace(executable=not tree[path].executable)
            return
        if kind == "folder" and path in tree and tree[path].kind == "dir":
            return
        for below in [each for each in tree if each == path or each.startswith(path + "/")]:
            del tree[below]
        if kind == "folder":
            tree[path] = entry("/")
        elif kind == "link":
            tree[path] = entry(f"->link {next(self.numbers)}")
        elif kind == "file":
            tree[path] = entry(f"content {next(self.numbers)}")

    def cycle(self, done: int | None = None, answered: int | None = None, unknown: str | None = None) -> Plan:
        """One cycle, of which *done* actions are carried out and *answered* of these are known to be (None: all)."""
        here, there = dict(self.sides[Side.LOCAL]), dict(self.sides[Side.REMOTE])
        hidden = () if unknown is None else (unknown,)
        seen = {each: text for each, text in there.items() if unknown is None or not _below(each, unknown)}
        plan = reconcile(self.ancestor, here, seen, self.mode, unknown=hidden)
        actions = plan.actions if done is None else plan.actions[:done]
        partly = Plan(actions, plan.conflicts, plan.agreed, plan.pod_only)
        before = {Side.LOCAL: here, Side.REMOTE: there}
        self.sides[Side.LOCAL], self.sides[Side.REMOTE] = carried_out(partly, here, there)
        self.trash |= {each.old for each in actions if each.old is not None and each.old.kind != "dir"}
        known = actions if answered is None else actions[:answered]
        for path, agreed in [*plan.agreed.items(), *((each.path, each.new) for each in known)]:
            self.ancestor.pop(path, None) if agreed is None else self.ancestor.update({path: agreed})
        self._nothing_lost(before)
        if unknown is not None:
            touched = [each.path for each in actions if _below(each.path, unknown)]
            assert touched == [], "what could not be read is frozen with all below it"
        return plan

    def _nothing_lost(self, before: dict[Side, dict[str, Entry]]) -> None:
        now = [*self.sides[Side.LOCAL].values(), *self.sides[Side.REMOTE].values()]
        for side, tree in before.items():
            for path, version in tree.items():
                if version.kind == "dir" or _held(version, now):
                    continue
                assert _held(version, self.trash), f"{side} {path}: {version} is nowhere"
                agreed = same(version, self.ancestor_before.get(path))
                by_order = self.mode is Mode.ONE_WAY_REPLICA and side is Side.REMOTE
                assert agreed or by_order, f"{side} {path}: {version}, which only one side had, is only in the trash"
        if self.mode is not Mode.TWO_WAY_SAFE:
            assert self.sides[Side.LOCAL] == before[Side.LOCAL], "this side is never touched"

    def step(self, step: tuple[object, ...]) -> None:
        self.ancestor_before = dict(self.ancestor)
        if step[0] == "edit":
            self.edit(step[1], step[2], step[3])  # type: ignore[arg-type]
        elif step[0] == "cycle":
            done, answered, unknown = step[1:]
            self.cycle(done, None if done is None else min(done, answered), unknown)  # type: ignore[arg-type,call-overload]
        else:
            self.ancestor = {}

    def settle(self) -> Plan:
        for _ in range(3):
            self.ancestor_before = dict(self.ancestor)
            plan = self.cycle()
        return plan


def _below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _held(version: Entry, versions: object) -> bool:
    """Whether its content is among *versions*; the bit goes with the content that last had it."""
    found = (each for each in versions if each.kind == version.kind)  # type: ignore[attr-defined]
    return any(each.digest == version.digest and each.target == version.target for each in found)


def _live(mode: Mode, steps: list[tuple[object, ...]]) -> None:
    world = World(mode)
    for step in steps:
        world.step(step)
    last = world.settle()
    assert last.actions == (), "quiet stays quiet"
    event(f"{'some' if last.conflicts else 'no'} conflicts at the end")
    disputed = [conflict.path for conflict in last.conflicts]
    here, there = world.sides[Side.LOCAL], world.sides[Side.REMOTE]
    for path in here.keys() | there.keys():
        if same(here.get(path), there.get(path)):
            continue
        near = any(_below(path, each) or _below(each, path) for each in disputed)
        # What the pod alone has or changed stays there, in the folder it is in.
        changed = (each for each in there.keys() | {path} if not same(there.get(each), world.ancestor.get(each)))
        the_pods = mode is Mode.ONE_WAY_SAFE and any(_below(each, path) for each in changed)
        assert near or the_pods, f"{path} differs: {here.get(path)}, {there.get(path)}"
    if mode is Mode.ONE_WAY_REPLICA:
        assert not disputed


MANY = settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(LIVES)
def test_no_life_loses_anything_two_way(steps: list[tuple[object, ...]]) -> None:
    _live(Mode.TWO_WAY_SAFE, steps)


@MANY
@given(LIVES)
def test_no_life_loses_anything_one_way(steps: list[tuple[object, ...]]) -> None:
    _live(Mode.ONE_WAY_SAFE, steps)


@MANY
@given(LIVES)
def test_no_life_loses_anything_as_a_replica(steps: list[tuple[object, ...]]) -> None:
    _live(Mode.ONE_WAY_REPLICA, steps)
