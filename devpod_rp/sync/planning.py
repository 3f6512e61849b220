"""What follows from a look at both sides: of everything, or of what was heard of."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.entries import relative
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync import identity
from devpod_rp.sync.brakes import Brakes
from devpod_rp.sync.caveats import Caveats
from devpod_rp.sync.here import Look, folders_above
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known
from devpod_rp.sync.reconcile import Mode, Plan, reconcile
from devpod_rp.sync.remote import Destination, RemoteTree, Seen, look_again, survey, wire
from devpod_rp.sync.safety import was_emptied
from devpod_rp.sync.second_look import believed
from devpod_rp.sync.status import Halts

MANY = 5_000
"""A plan of more files than this is made and carried out in pieces."""

_AHEAD_SECONDS = 15.0


@dataclass
class _Ahead:
    """A look at the folder here that began at a monotonic moment, and the *rules* it has gone by until now."""

    look: Look
    rules: list[Any]
    at: float


class Planning:
    """Looks at both sides, believes what it sees, and says what to do about it, on what is *known* of them.

    Every look raises SyncHalted when something looks like an accident. *planned* is the plan of the last look at
    everything, as long as it is whole and nothing was done since.
    """

    def __init__(
        self,
        root: Path,
        mode: Mode,
        rules: IgnoreRules,
        journal: Journal,
        halts: Halts,
        known: Known,
        caveats: Caveats,
        brakes: Brakes,
        doubt_seconds: float,
    ) -> None:
        self._root = root
        self._mode = mode
        self._rules = rules
        self._journal = journal
        self._halts = halts
        self._known = known
        self._caveats = caveats
        self._brakes = brakes
        self._doubt_seconds = doubt_seconds
        self._ahead: _Ahead | None = None
        self._planned: tuple[tuple[int, int], Plan] | None = None
        self._waiting: list[str] = []

    @property
    def planned(self) -> Plan | None:
        return None if self._planned is None else self._planned[1]

    def forget(self) -> None:
        """Something is about to be done: the last plan holds no more."""
        self._planned = None

    def forget_ahead(self) -> None:
        """Something changed here since the look ahead."""
        self._ahead = None

    def look_ahead(self, enough: Callable[[], bool]) -> None:
        """Look at the folder here, if nobody did yet, for the look at everything that is about to follow; go on with
        it at the next call if that was *enough* for now."""
        if self._ahead is None:
            if self._known.here.seen or identity.local_halt(self._journal, self._root, self._halts) is not None:
                return
            self._rules.reload()
            self._ahead = _Ahead(self._known.here.begin(), [], time.monotonic())
        self._ahead.look.go_on(enough)
        self._ahead.rules = wire(self._rules.rules)
        self._known.trees.there.spell()

    def begin(self) -> Look:
        """Begin, or go on with, a look at the folder here that is to be believed."""
        self.check_local()
        self._rules.reload()
        return self._begun()

    def look(self, link: AgentLink, destination: Destination, *, whole: bool = False) -> Plan:
        """Look at everything on both sides, and say what a full cycle does.

        Of very many files that are only here, which take a plan of their size and endanger nothing, only the first are
        in it, unless the *whole* is asked for.
        """
        self.check_local()
        self._rules.reload()
        sent = wire(self._rules.rules)
        known, caveats = self._known, self._caveats
        remote = known.remote or RemoteTree(known.trees.there)
        remote.entries.spell()
        with ThreadPoolExecutor(1, thread_name_prefix="devpod-rp-survey") as pool:
            elsewhere = pool.submit(survey, link, destination, sent, None, remote)
            look = self._look_here()
            seen = elsewhere.result()
        if (rules := wire(self._rules.rules)) != sent:
            seen = survey(link, destination, rules, None, remote)
        self.check_local()
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
        split = self._known.trees.only_here(paths) if len(paths) > MANY else None
        if split is None:
            return paths
        new, others = split
        new.sort()
        self._waiting = new[MANY:]
        return others + new[:MANY]

    def rest(self) -> Iterator[Plan]:
        """What follows for the files that the last plan left waiting, one plan after the other was carried out."""
        while self._waiting and self._known.remote is not None:
            some, self._waiting = self._waiting[:MANY], self._waiting[MANY:]
            yield self._reconciled(self._known.remote, some)

    def look_again(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Iterable[str],
        remote_paths: Iterable[str],
        observed: Collection[str],
    ) -> Plan:
        """What follows from a look at *paths* and *remote_paths*, of which nothing is pending any more."""
        assert self._known.remote is not None
        self._planned, self._waiting = None, []
        self.check_local()
        changed = {path for path in paths if relative(path)}
        self._known.here.look_again(changed)
        there = {path for path in remote_paths if relative(path)}
        if there:
            moved = look_again(link, destination, wire(self._rules.rules), there, self._known.remote)
            self._caveats.freeze_unwelcome(self._known.remote, moved)
            changed |= moved
        for path in list(changed):
            changed.update(above for above in folders_above(path) if above not in self._known.ancestor)
        self.check_local()
        if was_emptied(self._known.ancestor, self._known.here.entries):
            raise self._halts.local_emptied()
        if was_emptied(self._known.ancestor, self._known.remote.entries):
            raise self._halts.remote_emptied()
        self._caveats.learn(link, destination, self._known.remote, changed)
        self._caveats.fit(self._known.remote, changed)
        plan = self._reconciled(self._known.remote, self._first_of(changed))
        self._brakes.check(plan, self._known.ancestor, observed, trusted=False)
        plan = self.believe(link, destination, plan)
        for path in changed:
            self._known.conflicts.pop(path, None)
            self._known.problems.pop(path, None)
            self._known.pod_only.discard(path)
            self._known.pending.discard(path)
        named = {**self._known.here.unknown, **self._caveats.unfit.paths}
        self._known.problems.update({path: why for path, why in named.items() if path in changed})
        self._known.pod_only |= set(plan.pod_only)
        return plan

    def believe(self, link: AgentLink, destination: Destination, plan: Plan) -> Plan:
        """*plan*, without what came back on the pod since; see `second_look`."""
        return believed(
            plan,
            self._known.ancestor,
            lambda: self._present(survey(link, destination, wire(self._rules.rules))),
            lambda gone: self._brakes.check_gone(gone, self._known.ancestor),
            self._doubt_seconds,
        )

    def _present(self, seen: Seen) -> set[str]:
        """What the pod holds, or may hold where it could not be seen."""
        if not seen.unknown:
            return set(seen.rows)
        unseen, ancestor = seen.unknown.keys(), self._known.ancestor
        hidden = (path for path in ancestor if not unseen.isdisjoint((path, *folders_above(path))))
        return {*seen.rows, *hidden}

    def check_local(self) -> None:
        """Raises SyncHalted unless the folder here is the one that is synchronised."""
        halt = identity.local_halt(self._journal, self._root, self._halts)
        if halt is not None:
            raise halt

    def _reconciled(self, remote: RemoteTree, paths: Collection[str]) -> Plan:
        known, caveats = self._known, self._caveats
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
        if self._ahead is None and self._planned is not None and self._known.here.unchanged():
            return None
        look = self._begun()
        self._known.here.see(look)
        return look

    def _begun(self) -> Look:
        """A look at the folder here: the one that began ahead, if it goes by the present rules and is not old."""
        ahead, self._ahead = self._ahead, None
        now, rules = time.monotonic(), wire(self._rules.rules)
        good = ahead is not None and ahead.rules == rules and now - ahead.at < _AHEAD_SECONDS
        return ahead.look if ahead is not None and good else self._known.here.begin()
