"""One cycle: look at both sides, reconcile, carry the plan out, fold what was acknowledged into the ancestor."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.tree import Entry, Snapshot, Stamp, relative
from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Progress
from devpod_rp.sync import identity, mount_points
from devpod_rp.sync.brakes import Brakes
from devpod_rp.sync.disks import NOTHING, Disks, Unfit, unfit
from devpod_rp.sync.download import Download
from devpod_rp.sync.here import Here, folders_above
from devpod_rp.sync.ignore import IGNORE_FILES, IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.large import Memory
from devpod_rp.sync.lease import Lease
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side, reconcile, same
from devpod_rp.sync.remote import Destination, RemoteTree, learn_digests, look_again, survey, wire
from devpod_rp.sync.safety import was_emptied
from devpod_rp.sync.second_look import believed
from devpod_rp.sync.status import Halts
from devpod_rp.sync.steps import Result
from devpod_rp.sync.throttle import Throttle
from devpod_rp.sync.transfer import Upload

_AHEAD_SECONDS = 15.0


@dataclass(frozen=True)
class _Ahead:
    """The folder here as it was seen by *rules*, at a monotonic moment."""

    snapshot: Snapshot
    rules: list[Any]
    at: float


class Tally:
    """What one cycle did, added up over its passes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.files = self.bytes = self.deleted = 0
        self.files_here = self.bytes_here = self.deleted_here = 0
        self.deferred: dict[str, str] = {}
        self.no_space: list[Result] = []
        self.stale = False


class Cycles:
    """The trees of both sides as last seen, the ancestor, and the work of bringing them together.

    Not thread-safe: its owner runs one cycle at a time. *conflicts* and *problems* map paths to reasons and are kept
    up to date by every cycle.
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
        self._folder = folder
        self._mode = mode
        self._rules = rules
        self._journal = journal
        self._halts = halts
        self._progress = progress
        self._brakes = Brakes(mode, journal, halts, local_root)
        self.activity = "watching"
        self.pending: set[str] = set()
        self.ancestor = journal.ancestor()
        self._sent = journal.sent()
        self.conflicts: dict[str, str] = dict(journal.get("conflicts", {}))
        self.problems: dict[str, str] = dict(journal.get("problems", {}))
        self.pod_only: set[str] = set()
        self.here = Here(local_root, rules, journal.digests("local"), halts, progress)
        self.remote: RemoteTree | None = None
        self._ahead: _Ahead | None = None
        self._planned: tuple[int, Plan] | None = None
        self._remote_digests = journal.digests("remote")
        self.disks = Disks()
        self._unfit: Unfit = NOTHING
        self._unmounted: dict[str, str] = {}

    def forget_remote(self) -> None:
        """What the pod held may have changed while nobody was connected: the next cycle surveys it."""
        self.remote = None

    def void(self) -> None:
        """Start over as if the sides had never met: the next cycle is a union, in which nothing is deleted."""
        self._journal.void()
        self.ancestor.clear()
        self._sent.clear()
        self._remote_digests.clear()
        self.remote = None

    # A full cycle.

    def look_ahead(self) -> None:
        """Look at the folder here, if nobody did yet, for the look at everything that is about to follow."""
        if self.here.entries or identity.local_halt(self._journal, self._root, self._halts) is not None:
            return
        self._rules.reload()
        snapshot = self.here.scan()
        self.here.digests.learn_all(snapshot.digests())
        self._journal.save_digests("local", self.here.digests)
        self._ahead = _Ahead(snapshot, wire(self._rules.rules), time.monotonic())

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
        plan = self.look(link, destination)
        held()
        self._brakes.check(plan, self.ancestor, observed, trusted)
        plan = self._believed(link, destination, plan)
        self.conflicts.clear()
        self.pending.clear()
        self.pod_only = set(plan.pod_only)
        self._carry_out(link, destination, plan, tally)
        if self.remote is not None:
            self._remote_digests.keep_only(self.remote.entries)

    def look(self, link: AgentLink, destination: Destination) -> Plan:
        """Look at everything on both sides, and say what a full cycle would do."""
        self.activity = "scanning"
        self._check_local()
        self._rules.reload()
        sent = wire(self._rules.rules)
        with ThreadPoolExecutor(1, thread_name_prefix="devpod-rp-survey") as pool:
            elsewhere = pool.submit(survey, link, destination, sent, None, self.remote)
            snapshot = self._seen_ahead(sent) or self.here.scan()
            remote = elsewhere.result()
        if wire(self._rules.rules) != sent:
            remote = survey(link, destination, wire(self._rules.rules))
        self._check_local()
        if was_emptied(self.ancestor, snapshot.entries):
            raise self._halts.local_emptied()
        if was_emptied(self.ancestor, remote.entries) and not remote.unknown:
            raise self._halts.remote_emptied()
        self.here.take(snapshot)
        self._see_mounts()
        if self._planned is not None and self._planned[0] == self.here.revision and remote is self.remote:
            return self._planned[1]  # of the same three trees as before
        self.problems = {**self._rules.problems, **self.here.unknown, **self._unmounted}
        self.remote = remote
        self._freeze_unwelcome(remote, remote.entries)
        self._learn(link, destination, remote, self.here.entries.keys() | self.ancestor.keys() | self._sent.keys())
        self._fit(remote, self.here.entries.keys() | remote.entries.keys())
        self._recognise_sent(remote)
        self.problems.update({**self._remote_problems(remote), **self._unfit.paths})
        plan = reconcile(
            self.ancestor,
            self.here.entries,
            remote.entries,
            self._mode,
            unknown=self._unknown(remote),
            first=self._unfit.first,
        )
        self._planned = (self.here.revision, plan)
        return plan

    def _seen_ahead(self, rules: list[Any]) -> Snapshot | None:
        ahead, self._ahead = self._ahead, None
        good = ahead is not None and ahead.rules == rules and time.monotonic() - ahead.at < _AHEAD_SECONDS
        return ahead.snapshot if ahead is not None and good else None

    # A quick cycle.

    def quick(
        self,
        link: AgentLink,
        destination: Destination,
        paths: Iterable[str],
        remote_paths: Iterable[str],
        observed: Collection[str],
        tally: Tally,
    ) -> None:
        """Look only at *paths* here and at *remote_paths* on the pod, which is believed to be unchanged elsewhere."""
        assert self.remote is not None
        self._planned = None
        self.activity = "syncing"
        self._check_local()
        changed = self.here.look_again({path for path in paths if relative(path)})
        there = {path for path in remote_paths if relative(path)}
        if there:
            moved = look_again(link, destination, wire(self._rules.rules), there, self.remote)
            self._freeze_unwelcome(self.remote, moved)
            changed |= moved
        for path in list(changed):
            changed.update(above for above in folders_above(path) if above not in self.ancestor)
        self._check_local()
        if was_emptied(self.ancestor, self.here.entries):
            raise self._halts.local_emptied()
        if was_emptied(self.ancestor, self.remote.entries):
            raise self._halts.remote_emptied()
        self._learn(link, destination, self.remote, changed)
        self._fit(self.remote, changed)
        plan = reconcile(
            self.ancestor,
            self.here.entries,
            self.remote.entries,
            self._mode,
            unknown=self._unknown(self.remote),
            first=self._unfit.first,
            paths=changed,
        )
        self._brakes.check(plan, self.ancestor, observed, trusted=False)
        plan = self._believed(link, destination, plan)
        for path in changed:
            self.conflicts.pop(path, None)
            self.problems.pop(path, None)
            self.pod_only.discard(path)
            self.pending.discard(path)
        named = {**self.here.unknown, **self._unfit.paths}
        self.problems.update({path: why for path, why in named.items() if path in changed})
        self.pod_only |= set(plan.pod_only)
        self._carry_out(link, destination, plan, tally)

    # What the user decides.

    def carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        """Carry out a plan that the user asked for, made from the present trees."""
        self._carry_out(link, destination, plan, tally)
        for result in plan.actions:
            self.pod_only.discard(result.path)

    def learn(self, link: AgentLink, destination: Destination, paths: Collection[str]) -> None:
        """Make sure that the digests of *paths* on the pod are known."""
        assert self.remote is not None
        entries = self.remote.entries
        wanted = [path for path in paths if path in entries and entries[path].kind == "file"]
        learn_digests(link, destination, self.remote, wanted, self._remote_digests)
        self.disks.level(self.here.entries, self.remote.entries, self.ancestor, wanted)

    # Shared.

    def _believed(self, link: AgentLink, destination: Destination, plan: Plan) -> Plan:
        return believed(
            plan,
            self.ancestor,
            lambda: self._present(survey(link, destination, wire(self._rules.rules))),
            lambda gone: self._brakes.check_gone(gone, self.ancestor),
            self._doubt_seconds,
        )

    def _present(self, remote: RemoteTree) -> set[str]:
        """What the pod holds, or may hold where it could not be seen."""
        if not remote.unknown:
            return set(remote.entries)
        hidden = (path for path in self.ancestor if not remote.unknown.keys().isdisjoint((path, *folders_above(path))))
        return {*remote.entries, *hidden}

    def _see_mounts(self) -> None:
        known, mounted = set(self._journal.get("mounts", ())), mount_points.below(self._root)
        self._unmounted = mount_points.unmounted(known, mounted, self.here.entries)
        # One that holds nothing that is kept in step need not be remembered.
        now = {path for path in mounted if path in self.here.entries or path in self.ancestor} | self._unmounted.keys()
        if now != known:
            self._journal.put(mounts=sorted(now))

    def _fit(self, remote: RemoteTree, paths: Collection[str]) -> None:
        """See what the disks of both sides make of names and executable bits."""
        self.disks.level(self.here.entries, remote.entries, self.ancestor, paths)
        self._unfit = self.disks.unfit(self.here.entries, remote.entries, self.ancestor)

    def _check_local(self) -> None:
        halt = identity.local_halt(self._journal, self._root, self._halts)
        if halt is not None:
            raise halt

    def _unknown(self, remote: RemoteTree) -> set[str]:
        return {*self.here.unknown, *remote.unknown, *remote.special, *self._unfit.paths, *self._unmounted}

    def _freeze_unwelcome(self, remote: RemoteTree, paths: Collection[str]) -> None:
        """Where the pod's files come here: what must not be put here is frozen, whatever the pod says."""
        if self._mode is Mode.TWO_WAY_SAFE:
            remote.unknown.update(self.unwelcome([path for path in paths if path not in self.ancestor], remote))

    def unwelcome(self, paths: Collection[str], remote: RemoteTree | None = None) -> dict[str, str]:
        """Those of *paths* on the pod that must not come here, with the reason."""
        entries = (remote or self.remote or RemoteTree()).entries
        found: dict[str, str] = {}
        for path in paths:
            entry = entries.get(path)
            if entry is None:
                continue
            if entry.kind == "symlink" and leaves_the_folder(path, entry.target):
                found[path] = f"the link points out of the folder ({entry.target})"
            elif path not in self.here.entries and self._rules.ignored(path, entry.kind == "dir"):
                found[path] = "an ignore rule leaves it out"
        if self._mode is not Mode.TWO_WAY_SAFE:
            asked = {path: entries[path] for path in paths if path in entries}
            found.update(unfit(asked, self.here.entries, self.ancestor, self._folder.abilities(), "this side's").paths)
        return found

    def _remote_problems(self, remote: RemoteTree) -> dict[str, str]:
        problems = {path: f"not taken from the pod: {why}" for path, why in remote.unknown.items()}
        for path, what in remote.special.items():
            if path in self.here.entries:
                problems[path] = f"there is a {what} at this path on the pod"
        return problems

    def _learn(self, link: AgentLink, destination: Destination, remote: RemoteTree, paths: Collection[str]) -> None:
        """Learn the digests that the decision needs.

        A file whose size is neither the ancestor's nor ours is certainly another version, so a growing log or a
        checkpoint at a known path is never read on the pod just to find that out.
        """
        wanted: list[str] = []
        exact = self._mode is Mode.ONE_WAY_REPLICA  # what is overwritten there is named by its digest
        for path in paths:
            entry = remote.entries.get(path)
            if entry is None or entry.kind != "file" or entry.digest:
                continue
            known = [self.ancestor.get(path), self.here.entries.get(path), *self._sent.get(path, ())]
            sizes = {version.size for version in known if version is not None}
            if exact or entry.size in sizes:
                wanted.append(path)
            elif sizes:
                remote.entries[path] = entry._replace(digest=f"unread, {entry.size} bytes")
        if exact:
            wanted = [path for path, entry in remote.entries.items() if entry.kind == "file" and not entry.digest]
        learn_digests(link, destination, remote, wanted, self._remote_digests)

    def _recognise_sent(self, remote: RemoteTree) -> None:
        """A version that we sent and that is there was done, although its answer got lost: it is the ancestor now.

        Else a file edited here again after a cut connection would look like a conflict with our own former edit.
        """
        self._agree(
            {
                path: version
                for path, versions in self._sent.items()
                for version in versions
                if same(version, remote.entries.get(path))
            }
        )

    def _carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        self.conflicts.update({conflict.path: conflict.reason for conflict in plan.conflicts})
        self._agree(dict(plan.agreed))
        if not plan.actions:
            return
        self._planned = None
        self.activity = "syncing"
        self.pending.update(action.path for action in plan.actions)

        def report(results: list[Result]) -> None:
            self._agree({result.action.path: result.action.new for result in results if result.code is None})
            for result in results:
                self._account(result, tally)

        going = [action for action in plan.actions if action.side is Side.REMOTE]
        coming = [action for action in plan.actions if action.side is Side.LOCAL]
        if going:
            memory, before = self._memory(), self._note_sent
            Upload(link, destination, self._root, report, self._progress, before, memory, self.throttle).run(going)
        if coming:
            Download(link, destination, self._folder, report, self._progress, self.throttle).run(coming)
            self._brakes.deleted_here(sum(action.new is None for action in coming))
            # An ignore file that came decides about others: they are looked at again.
            tally.stale |= any(action.path.rpartition("/")[2] in IGNORE_FILES for action in coming)

    def _memory(self) -> Memory:
        def stamp(path: str) -> Stamp | None:
            known, entry = self._remote_digests.get(path), self.ancestor.get(path)
            return known[0] if known is not None and entry is not None and known[1] == entry.digest else None

        return Memory(self.here.contents, self._journal, self._held, stamp)

    def _held(self) -> dict[str, str]:
        """Which path on the pod holds which content."""
        assert self.remote is not None
        there = self.remote.entries.items()
        return {entry.digest: path for path, entry in there if entry.kind == "file" and entry.digest}

    def _note_sent(self, actions: Sequence[Action]) -> None:
        on_their_way = {a.path: a.new for a in actions if a.new is not None and a.new.kind != "dir"}
        self._journal.send(on_their_way)
        for path, entry in on_their_way.items():
            versions = self._sent.setdefault(path, [])
            if entry not in versions:
                versions.append(entry)

    def _account(self, result: Result, tally: Tally) -> None:
        action = result.action
        self.pending.discard(action.path)
        if result.code is None:
            (self._done_here if action.side is Side.LOCAL else self._done_there)(result, tally)
        elif result.code in ("changed", "not-found"):
            tally.stale = True
            self.pending.add(action.path)
            self._remote_digests.forget(action.path)
        elif result.code in ("unstable", "busy"):
            tally.deferred[action.path] = result.message
            self.pending.add(action.path)
        else:
            self.problems[action.path] = result.message
            if result.code == "no-space" and action.side is Side.REMOTE:
                tally.no_space.append(result)
                self.pending.add(action.path)

    def _done_there(self, result: Result, tally: Tally) -> None:
        assert self.remote is not None
        action = result.action
        if action.new is None:
            tally.deleted += 1
            self.remote.put(action.path, None)
            self._remote_digests.forget(action.path)
            return
        self.remote.put(action.path, action.new)
        tally.files += action.new.kind != "dir"
        tally.bytes += action.new.size if action.new.kind == "file" else 0
        if result.stamp is not None:
            self._remote_digests.learn(action.path, result.stamp, action.new.digest)

    def _done_here(self, result: Result, tally: Tally) -> None:
        assert self.remote is not None
        action = result.action
        self.here.written(action.path, action.new)
        if action.new is None:
            tally.deleted_here += 1
            return
        self.remote.put(action.path, action.new)
        tally.files_here += action.new.kind != "dir"
        tally.bytes_here += action.new.size if action.new.kind == "file" else 0
        if result.stamp is not None:
            self._remote_digests.learn(action.path, result.stamp, action.new.digest)

    def _agree(self, changes: dict[str, Entry | None]) -> None:
        if not changes:
            return
        self._planned = None
        self._journal.agree(changes)
        for path, entry in changes.items():
            self._sent.pop(path, None)
            if entry is None:
                self.ancestor.pop(path, None)
            else:
                self.ancestor[path] = entry

    def save_digests(self) -> None:
        """Remember what was hashed, so that a restart reads nothing twice."""
        self._journal.save_digests("local", self.here.digests)
        self._journal.save_digests("remote", self._remote_digests)
