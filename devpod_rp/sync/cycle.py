"""One cycle: look at both sides, carry out what follows, fold what was acknowledged into the ancestor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from devpod_rp.agent.files.abilities import PLAIN
from devpod_rp.agent.files.entries import FILE
from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Progress
from devpod_rp.sync.brakes import Brakes
from devpod_rp.sync.carrying import Carrier
from devpod_rp.sync.caveats import Caveats
from devpod_rp.sync.first import creations
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known, Tally
from devpod_rp.sync.lease import Lease
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.planning import MANY, Planning
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side
from devpod_rp.sync.remote import Destination, RemoteTree, learn_digests
from devpod_rp.sync.status import Halts
from devpod_rp.sync.throttle import Throttle

_FEW = 256


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
        self.lease = Lease(journal, local_root, halts)
        self.activity = "watching"
        self.known = known = Known(local_root, rules, journal, halts, progress)
        self.caveats = Caveats(known, mode, rules, folder, journal, local_root)
        self._rules = rules
        self._brakes = brakes = Brakes(mode, journal, halts, local_root)
        self._planning = Planning(local_root, mode, rules, journal, halts, known, self.caveats, brakes, doubt_seconds)
        self._carrier = Carrier(local_root, folder, known, brakes, progress, throttle)

    def meet_again(self, link: AgentLink, destination: Destination) -> None:
        """What the pod held may have changed while nobody was connected: the next cycle surveys it."""
        if self.known.meet_again(link.hello.boot_id):
            self._planning.forget_ahead()
        if self.known.unsettled:
            self.known.ask_to_settle(lambda: link.ask("files.settle", **destination.fields()))

    # A full cycle.

    def look_ahead(self, enough: Callable[[], bool]) -> None:
        """See :meth:`Planning.look_ahead`."""
        self._planning.look_ahead(enough)

    def look(self, link: AgentLink, destination: Destination) -> Plan:
        """Look at everything on both sides, and say all that a full cycle would do."""
        self.activity = "scanning"
        return self._planning.look(link, destination, whole=True)

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
            self._planning.forget_ahead()
        held = self.lease.claim(link, destination, take=take_over)
        fresh = self.known.never_met and not self.known.here.entries
        if fresh and destination.empty and not trusted and self.caveats.disks.there == PLAIN:
            self._first(link, destination, tally, held)
            return
        before = self._planning.planned
        plan = self._planning.look(link, destination)
        held()
        if plan is before and not plan.actions:
            return  # nothing has changed since
        self._brakes.check(plan, self.known.ancestor, observed, trusted)
        plan = self._planning.believe(link, destination, plan)
        self.known.conflicts.clear()
        self.known.pending.clear()
        self.known.pod_only = set(plan.pod_only)
        self._carry_out_all(link, destination, plan, tally)

    def _first(self, link: AgentLink, destination: Destination, tally: Tally, held: Callable[[], None]) -> None:
        """Fill an empty folder on the pod. What is found here goes out while the rest is still being looked at; the pod
        makes sure that nothing is at any of the paths. *held* says that no other machine synchronises with it."""
        known = self.known
        look = self._planning.begin()
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
        self._planning.check_local()
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
            plan = self._planning.look_again(link, destination, paths, remote_paths, observed)
            self._carry_out_all(link, destination, plan, tally)

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
                plan = self._planning.look_again(link, destination, edited[at : at + _FEW], (), observed)
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
        new = [path for path in paths if trees.record(path) is None] if len(paths) > MANY else []
        if len(new) <= MANY:
            return paths
        new.sort()  # folders before what is in them
        left = set(paths).difference(new)
        while new:
            plan = self._planning.look_again(link, destination, new[:MANY], (), observed)
            self._carry_out_all(link, destination, plan, tally)
            # What was in a folder among these was looked at with it.
            new = [path for path in new[MANY:] if trees.record(path) is None]
        return left

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

    def _carry_out_all(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        """Carry out *plan*, and then what follows for the files that it left waiting."""
        self._carry_out(link, destination, plan, tally)
        for more in self._planning.rest():
            self._carry_out(link, destination, more, tally)

    def _carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        if plan.actions:
            self._planning.forget()
            self.activity = "syncing"
        self._carrier.carry_out(link, destination, plan, tally)


def _is_edit(action: Action) -> bool:
    """Whether the action replaces a file of the pod by another version of it."""
    old, new = action.old, action.new
    return action.side is Side.REMOTE and old is not None and new is not None and old.kind == new.kind == FILE
