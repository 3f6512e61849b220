"""One cycle: look at both sides, reconcile, carry the plan out, fold what was acknowledged into the ancestor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.abilities import PLAIN
from devpod_rp.agent.files.entries import FILE, relative
from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Progress
from devpod_rp.sync import identity
from devpod_rp.sync.brakes import Brakes
from devpod_rp.sync.carrying import Carrier
from devpod_rp.sync.caveats import Caveats
from devpod_rp.sync.first import creations
from devpod_rp.sync.here import Look, folders_above
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known, Tally
from devpod_rp.sync.lease import Lease
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side, reconcile
from devpod_rp.sync.remote import Destination, RemoteTree, Seen, learn_digests, look_again, survey, wire
from devpod_rp.sync.safety import was_emptied
from devpod_rp.sync.second_look import believed
from devpod_rp.sync.status import Halts
from devpod_rp.sync.throttle import Throttle

_AHEAD_SECONDS = 15.0
_FEW, _MANY = 256, 10_000


@dataclass
class _Ahead:
    """A look at the folder here that began at a monotonic moment, and the *rules* it has gone by until now."""

    look: Look
    rules: list[Any]
    at: float


class Cycles:
    """The work of bringing both sides together, on what is *known* of them.

    Not thread-safe: its owner runs one cycle at a time.
    """

    def __init__(
        self,
        local_root: Path,
        folder: LocalFolder,
        mode: Mode,
        rules: IgnoreRules,
        journal: Journal,
        halts: Halts,
        progress: Progress,
        throttle: Throttle,
        doubt_seconds: float,
    ) -> None:
        self.throttle = throttle
        self._doubt_seconds = doubt_seconds
        self.lease = Lease(journal, local_root, halts)
        self._root = local_root
        self._mode = mode
        self._rules = rules
        self._journal = journal
        self._halts = halts
        self._brakes = Brakes(mode, journal, halts, local_root)
        self.activity = "watching"
        self.known = Known(local_root, rules, journal, halts, progress)
        self.caveats = Caveats(self.known, mode, rules, folder, journal, local_root)
        self._carrier = Carrier(local_root, folder, self.known, self._brakes, progress, throttle)
        self._ahead: _Ahead | None = None
        self._planned: tuple[tuple[int, int], Plan] | None = None
        self._waiting: list[str] = []

    def forget_remote(self) -> None:
        """What the pod held may have changed while nobody was connected: the next cycle surveys it."""
        self.known.remote = None

    # A full cycle.

    def look_ahead(self, enough: Callable[[], bool]) -> None:
        """Look at the folder here, if nobody did yet, for the look at everything that is about to follow; go on with
        it at the next call if that was *enough* for now."""
        if self._ahead is None:
            if self.known.here.seen or identity.local_halt(self._journal, self._root, self._halts) is not None:
                return
            self._rules.reload()
            self._ahead = _Ahead(self.known.here.begin(), [], time.monotonic())
        self._ahead.look.go_on(enough)
        self._ahead.rules = wire(self._rules.rules)
        self.known.trees.there.spell()

    def full(
        self,
        link: AgentLink,
        destination: Destination,
        observed: Collection[str],
        tally: Tally,
        *,
        trusted: bool,
        take_over: bool,
    ) -> None:
        """Look at everything on both sides and carry out what follows.

        *trusted*: the user has looked at a halt and said that what it would do is meant. *take_over*: the user has
        said that another machine which synchronises with the folder shall stop.
        """
        self.activity = "scanning"
        if observed:
            self._ahead = None  # something changed since
        held = self.lease.claim(link, destination, take=take_over)
        fresh = self.known.never_met and not self.known.here.entries
        if fresh and destination.empty and not trusted and self.caveats.disks.there == PLAIN:
            self._first(link, destination, tally, held)
            return
        before = self._planned
        plan = self.look(link, destination)
        held()
        if before is not None and plan is before[1] and not plan.actions:
            return  # nothing has changed since
        self._brakes.check(plan, self.known.ancestor, observed, trusted)
        plan = self._believed(link, destination, plan)
        self.known.conflicts.clear()
        self.known.pending.clear()
        self.known.pod_only = set(plan.pod_only)
        self._carry_out(link, destination, plan, tally)
        self._carry_out_the_rest(link, destination, tally)

    def look(self, link: AgentLink, destination: Destination, *, whole: bool = False) -> Plan:
        """Look at everything on both sides, and say what a full cycle would do.

        Of very many files that are only here, which take a plan of their size and endanger nothing, only the first are
        in it, unless the *whole* is asked for.
        """
        self.activity = "scanning"
        self._check_local()
        self._rules.reload()
        sent = wire(self._rules.rules)
        known, caveats = self.known, self.caveats
        remote = known.remote or RemoteTree(known.trees.there)
        remote.entries.spell()
        with ThreadPoolExecutor(1, thread_name_prefix="devpod-rp-survey") as pool:
            elsewhere = pool.submit(survey, link, destination, sent, None, remote)
            look = self._look_here()
            seen = elsewhere.result()
        if (rules := wire(self._rules.rules)) != sent:
            seen = survey(link, destination, rules, None, remote)
        self._check_local()
        if was_emptied(known.ancestor, () if look is not None and look.is_empty else known.here.entries):
            raise self._halts.local_emptied()
        if was_emptied(known.ancestor, () if seen.is_empty(remote) else remote.entries) and not seen.unknown:
            raise self._halts.remote_emptied()
        if look is not None:
            known.here.take(look)
        remote.take(seen)
        caveats.see_mounts()
        looked_at = (known.here.revision, known.trees.revision)
        if self._planned is not None and self._planned[0] == looked_at and seen.unchanged and known.remote is remote:
            return self._planned[1]  # of the same three trees as before
        known.problems = {**self._rules.problems, **known.here.unknown, **caveats.unmounted}
        known.remote = remote
        differing = known.trees.differing()
        caveats.freeze_unwelcome(remote, differing)
        caveats.learn(link, destination, remote, differing)
        caveats.fit(remote, differing)
        known.recognise_sent(remote)
        known.problems.update({**caveats.remote_problems(remote), **caveats.unfit.paths})
        differing = known.trees.differing()
        self._waiting = []
        plan = self._reconciled(remote, differing if whole else self._first_of(differing))
        self._planned = None if self._waiting else ((known.here.revision, known.trees.revision), plan)
        return plan

    def _first_of(self, paths: Collection[str]) -> Collection[str]:
        """Those of *paths* that a plan is made of now; the others wait. A plan of very many files takes memory of its
        size, and nothing that is decided depends on all that are only here, unless something went from here as well:
        then they may be what it became."""
        split = self.known.trees.only_here(paths) if len(paths) > _MANY else None
        if split is None:
            return paths
        new, others = split
        new.sort()
        self._waiting = new[_MANY:]
        return others + new[:_MANY]

    def _carry_out_the_rest(self, link: AgentLink, destination: Destination, tally: Tally) -> None:
        while self._waiting and self.known.remote is not None:
            some, self._waiting = self._waiting[:_MANY], self._waiting[_MANY:]
            self._carry_out(link, destination, self._reconciled(self.known.remote, some), tally)

    def _reconciled(self, remote: RemoteTree, paths: Collection[str]) -> Plan:
        known, caveats = self.known, self.caveats
        return reconcile(
            known.ancestor,
            known.here.entries,
            remote.entries,
            self._mode,
            unknown=caveats.unknown(remote),
            first=caveats.unfit.first,
            paths=paths,
        )

    def _look_here(self) -> Look | None:
        """A complete look at the folder here; None when everything is as it was."""
        if self._ahead is None and self._planned is not None and self.known.here.unchanged():
            return None
        look = self._begun()
        self.known.here.see(look)
        return look

    def _begun(self) -> Look:
        """A look at the folder here: the one that began ahead, if it goes by the present rules and is not old."""
        ahead, self._ahead = self._ahead, None
        now, rules = time.monotonic(), wire(self._rules.rules)
        good = ahead is not None and ahead.rules == rules and now - ahead.at < _AHEAD_SECONDS
        return ahead.look if ahead is not None and good else self.known.here.begin()

    def _first(self, link: AgentLink, destination: Destination, tally: Tally, held: Callable[[], None]) -> None:
        """Fill an empty folder on the pod. What is found here goes out while the rest is still being looked at; the pod
        makes sure that nothing is at any of the paths. *held* says that no other machine synchronises with it."""
        known = self.known
        self._check_local()
        self._rules.reload()
        look = self._begun()
        known.remote = RemoteTree(known.trees.there)
        known.conflicts.clear()
        known.pending.clear()
        known.pod_only.clear()
        known.problems.clear()

        def found() -> Iterator[list[Action]]:
            for number, actions in enumerate(creations(known.here, look)):
                if number == 0:
                    held()
                    self.activity = "syncing"
                known.pending.update(action.path for action in actions)
                yield actions

        self._carrier.send_found(link, destination, found(), tally)
        self._check_local()
        known.here.take(look)
        self.caveats.see_mounts()
        known.problems.update({**self._rules.problems, **known.here.unknown})

    # A quick cycle.

    def quick(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Collection[str],
        remote_paths: Collection[str],
        observed: Collection[str],
        tally: Tally,
    ) -> None:
        """Look only at *paths* here and at *remote_paths* on the pod, which is believed to be unchanged elsewhere."""
        self.activity = "syncing"
        if not remote_paths and self.caveats.disks.take_all_names:
            paths = self._storm(link, destination, paths, observed, tally)
            paths = self._arrivals(link, destination, paths, observed, tally)
        if paths or remote_paths:
            self._quick(link, destination, paths, remote_paths, observed, tally)

    def _quick(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Collection[str],
        remote_paths: Collection[str],
        observed: Collection[str],
        tally: Tally,
    ) -> None:
        plan = self._look_again(link, destination, paths, remote_paths, observed)
        self._carry_out(link, destination, plan, tally)
        self._carry_out_the_rest(link, destination, tally)

    def _storm(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Collection[str],
        observed: Collection[str],
        tally: Tally,
    ) -> Collection[str]:
        """Where many files were edited, send some while the next are looked at; returns what of *paths* is left.

        Only what is a file on both sides before and after goes this way. All else depends on each other: what went
        may be what came, and much that went at once may be an accident.
        """
        trees = self.known.trees
        edited = [path for path in paths if trees.may_be_edited(path)] if len(paths) > _FEW else []
        if len(edited) <= _FEW:
            return paths
        edited.sort()
        left = set(paths).difference(edited)

        def found() -> Iterator[list[Action]]:
            for at in range(0, len(edited), _FEW):
                plan = self._look_again(link, destination, edited[at : at + _FEW], (), observed)
                left.update(action.path for action in plan.actions if not _is_edit(action))
                self._carrier.note(plan)
                yield [action for action in plan.actions if _is_edit(action)]

        self._carrier.send_found(link, destination, found(), tally)
        return left

    def _arrivals(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Collection[str],
        observed: Collection[str],
        tally: Tally,
    ) -> Collection[str]:
        """Where very many paths are new, bring them there some at a time, which takes less memory; returns what of
        *paths* is left. What went is among these, so that all of it is judged together, after everything came."""
        trees = self.known.trees
        new = [path for path in paths if trees.record(path) is None] if len(paths) > _MANY else []
        if len(new) <= _MANY:
            return paths
        new.sort()  # folders before what is in them
        left = set(paths).difference(new)
        while new:
            self._quick(link, destination, new[:_MANY], (), observed, tally)
            # What was in a folder among these was looked at with it.
            new = [path for path in new[_MANY:] if trees.record(path) is None]
        return left

    def _look_again(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Iterable[str],
        remote_paths: Iterable[str],
        observed: Collection[str],
    ) -> Plan:
        """What follows from a look at *paths* and *remote_paths*, of which nothing is pending any more."""
        assert self.known.remote is not None
        self._planned, self._waiting = None, []
        self._check_local()
        changed = {path for path in paths if relative(path)}
        self.known.here.look_again(changed)
        there = {path for path in remote_paths if relative(path)}
        if there:
            moved = look_again(link, destination, wire(self._rules.rules), there, self.known.remote)
            self.caveats.freeze_unwelcome(self.known.remote, moved)
            changed |= moved
        for path in list(changed):
            changed.update(above for above in folders_above(path) if above not in self.known.ancestor)
        self._check_local()
        if was_emptied(self.known.ancestor, self.known.here.entries):
            raise self._halts.local_emptied()
        if was_emptied(self.known.ancestor, self.known.remote.entries):
            raise self._halts.remote_emptied()
        self.caveats.learn(link, destination, self.known.remote, changed)
        self.caveats.fit(self.known.remote, changed)
        plan = self._reconciled(self.known.remote, self._first_of(changed))
        self._brakes.check(plan, self.known.ancestor, observed, trusted=False)
        plan = self._believed(link, destination, plan)
        for path in changed:
            self.known.conflicts.pop(path, None)
            self.known.problems.pop(path, None)
            self.known.pod_only.discard(path)
            self.known.pending.discard(path)
        named = {**self.known.here.unknown, **self.caveats.unfit.paths}
        self.known.problems.update({path: why for path, why in named.items() if path in changed})
        self.known.pod_only |= set(plan.pod_only)
        return plan

    # What the user decides.

    def carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        """Carry out a plan that the user asked for, made from the present trees."""
        self._carry_out(link, destination, plan, tally)
        for result in plan.actions:
            self.known.pod_only.discard(result.path)

    def learn(self, link: AgentLink, destination: Destination, paths: Collection[str]) -> None:
        """Make sure that the digests of *paths* on the pod are known."""
        assert self.known.remote is not None
        entries = self.known.remote.entries
        wanted = [path for path in paths if path in entries and entries[path].kind == "file"]
        learn_digests(link, destination, self.known.remote, wanted)
        self.caveats.disks.level(self.known.here.entries, self.known.remote.entries, self.known.ancestor, wanted)

    # Shared.

    def _believed(self, link: AgentLink, destination: Destination, plan: Plan) -> Plan:
        return believed(
            plan,
            self.known.ancestor,
            lambda: self._present(survey(link, destination, wire(self._rules.rules))),
            lambda gone: self._brakes.check_gone(gone, self.known.ancestor),
            self._doubt_seconds,
        )

    def _present(self, seen: Seen) -> set[str]:
        """What the pod holds, or may hold where it could not be seen."""
        if not seen.unknown:
            return set(seen.rows)
        unseen, ancestor = seen.unknown.keys(), self.known.ancestor
        hidden = (path for path in ancestor if not unseen.isdisjoint((path, *folders_above(path))))
        return {*seen.rows, *hidden}

    def _check_local(self) -> None:
        halt = identity.local_halt(self._journal, self._root, self._halts)
        if halt is not None:
            raise halt

    def _carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        if plan.actions:
            self._planned = None
            self.activity = "syncing"
        self._carrier.carry_out(link, destination, plan, tally)


def _is_edit(action: Action) -> bool:
    """Whether the action replaces a file of the pod by another version of it."""
    old, new = action.old, action.new
    return action.side is Side.REMOTE and old is not None and new is not None and old.kind == new.kind == FILE
