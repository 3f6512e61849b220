"""One cycle: look at both sides, reconcile, carry the plan out, fold what was acknowledged into the ancestor."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devpod_rp.agent import tree
from devpod_rp.agent.tree import Entry, Snapshot
from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Event, Progress
from devpod_rp.sync import identity
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.reconcile import Mode, Plan, reconcile, same
from devpod_rp.sync.remote import Destination, RemoteTree, learn_digests, survey, wire
from devpod_rp.sync.safety import unexpected_deletions, was_emptied
from devpod_rp.sync.status import Halts
from devpod_rp.sync.transfer import Result, Upload


class Tally:
    """What one cycle did, added up over its passes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.files = self.bytes = self.deleted = 0
        self.deferred: dict[str, str] = {}
        self.no_space: list[Result] = []
        self.stale = False


class Cycles:
    """The trees of both sides as last seen, the ancestor, and the work of bringing them together.

    Not thread-safe: its owner runs one cycle at a time. *conflicts* and *problems* map paths to reasons and are kept
    up to date by every cycle.
    """

    def __init__(
        self, local_root: Path, mode: Mode, rules: IgnoreRules, journal: Journal, halts: Halts, progress: Progress
    ) -> None:
        self._root = local_root
        self._mode = mode
        self._rules = rules
        self._journal = journal
        self._halts = halts
        self._progress = progress
        self.activity = "watching"
        self.pending: set[str] = set()
        self.ancestor = journal.ancestor()
        self._sent = journal.sent()
        self.conflicts: dict[str, str] = dict(journal.get("conflicts", {}))
        self.problems: dict[str, str] = dict(journal.get("problems", {}))
        self.pod_only: set[str] = set()
        self.local: dict[str, Entry] = {}
        self.remote: RemoteTree | None = None
        self._local_unknown: dict[str, str] = {}
        self._digests = journal.digests("local")
        self._remote_digests = journal.digests("remote")

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

    def full(
        self, link: AgentLink, destination: Destination, observed: Collection[str], tally: Tally, trusted: bool
    ) -> None:
        """Look at everything on both sides; *trusted*: the user has said that missing files were deleted on purpose."""
        self.activity = "scanning"
        self._check_local()
        self._rules.reload()
        sent = wire(self._rules.rules)
        with ThreadPoolExecutor(1, thread_name_prefix="devpod-rp-survey") as pool:
            elsewhere = pool.submit(survey, link, destination, sent)
            snapshot = self._scan()
            remote = elsewhere.result()
        if wire(self._rules.rules) != sent:
            remote = survey(link, destination, wire(self._rules.rules))
        self._check_local()
        if was_emptied(self.ancestor, snapshot.entries):
            raise self._halts.local_emptied()
        if was_emptied(self.ancestor, remote.entries) and not remote.unknown:
            raise self._halts.remote_emptied()
        self.problems = dict(self._rules.problems)
        self.local, self._local_unknown = self._portable(snapshot)
        self._digests.learn_all(snapshot.digests())
        self._digests.keep_only(snapshot.stamps)
        self.remote = remote
        self._learn(link, destination, remote, self.local.keys() | self.ancestor.keys() | self._sent.keys())
        self._recognise_sent(remote)
        self.problems.update(self._remote_problems(remote))
        plan = reconcile(self.ancestor, self.local, remote.entries, self._mode, unknown=self._unknown(remote))
        deletions = () if trusted else unexpected_deletions(plan.actions, self.ancestor, observed)
        if deletions:
            raise self._halts.mass_deletion(deletions)
        self.conflicts.clear()
        self.pending.clear()
        self.pod_only = set(plan.pod_only)
        self._carry_out(link, destination, plan, tally)
        self._remote_digests.keep_only(remote.entries)

    def _scan(self) -> Snapshot:
        def tell(seen: int, hashed: int) -> None:
            self._progress(Event("scan", f"{seen} names, {hashed >> 20} MiB read", seen, None, "files"))

        try:
            return tree.scan(str(self._root), keep=self._rules.keep, known=self._digests, progress=tell)
        except OSError as error:
            raise self._halts.local_missing() from error

    # A quick cycle.

    def quick(self, link: AgentLink, destination: Destination, paths: Iterable[str], tally: Tally) -> None:
        """Look at *paths* here only; what the pod holds is believed, and checked by the pod before it is replaced."""
        assert self.remote is not None
        self.activity = "syncing"
        self._check_local()
        changed = self._look_again({path for path in paths if tree.relative(path)})
        self._check_local()
        if was_emptied(self.ancestor, self.local):
            raise self._halts.local_emptied()
        self._learn(link, destination, self.remote, changed)
        for path in changed:
            self.conflicts.pop(path, None)
            self.problems.pop(path, None)
            self.pod_only.discard(path)
            self.pending.discard(path)
        self.problems.update({path: why for path, why in self._local_unknown.items() if path in changed})
        unknown = self._unknown(self.remote)
        plan = reconcile(self.ancestor, self.local, self.remote.entries, self._mode, unknown=unknown, paths=changed)
        self.pod_only |= set(plan.pod_only)
        self._carry_out(link, destination, plan, tally)

    def _look_again(self, paths: set[str]) -> set[str]:
        """Bring the picture of this side up to date at *paths* and below; returns every path that may differ now."""
        seen = tree.look(str(self._root), paths, known=self._digests)
        for path in {*seen.entries, *seen.unknown, *seen.special}:
            if self._rules.ignored(path, _is_folder(seen, path)):
                for part in seen[:4]:
                    part.pop(path, None)
        self._digests.learn_all(seen.digests())
        for folder in [path for path in seen.entries if _is_folder(seen, path)]:
            below = self._scan_below(folder)
            if below is not None:
                seen.entries.update(below.entries)
                seen.unknown.update(below.unknown)
                seen.special.update(below.special)
                self._digests.learn_all(below.digests())
        found, unknown = self._portable(seen)
        # What was at a path or below it and was not found now is gone, or is something else.
        stale = {path for path in paths if path in self.local or path in self._local_unknown}
        containers = {path for path in paths if path in self.local and self.local[path].kind == "dir"}
        if containers:
            stale |= {path for path in self.local if any(above in containers for above in _above(path))}
        for path in stale - found.keys():
            self.local.pop(path, None)
            self._digests.forget(path)
        for path in stale:
            self._local_unknown.pop(path, None)
        self.local.update(found)
        self._local_unknown.update(unknown)
        changed = stale | found.keys() | unknown.keys() | paths
        for path in list(found):
            changed.update(above for above in _above(path) if above not in self.ancestor)
        return changed

    def _scan_below(self, folder: str) -> Snapshot | None:
        known = {
            path[len(folder) + 1 :]: self._digests[path] for path in self._digests if path.startswith(folder + "/")
        }
        self._rules.keep(folder, True)  # reads the folder's own ignore files
        try:
            below = tree.scan(
                str(self._root / folder),
                keep=lambda path, is_dir: self._rules.keep(f"{folder}/{path}", is_dir),
                known=known,
            )
        except OSError:
            return None  # gone again: the event of that follows
        return Snapshot(
            {f"{folder}/{path}": entry for path, entry in below.entries.items()},
            {f"{folder}/{path}": stamp for path, stamp in below.stamps.items()},
            {f"{folder}/{path}": why for path, why in below.unknown.items()},
            {f"{folder}/{path}": what for path, what in below.special.items()},
            {f"{folder}/{path}" for path in below.fresh},
        )

    # Shared.

    def _check_local(self) -> None:
        halt = identity.local_halt(self._journal, self._root, self._halts)
        if halt is not None:
            raise halt

    def _portable(self, snapshot: Snapshot) -> tuple[dict[str, Entry], dict[str, str]]:
        """The entries that can travel, and the paths about which nothing may be decided, with the reason."""
        frozen = {path: f"cannot be read here: {why}" for path, why in snapshot.unknown.items()}
        frozen.update({path: f"a {what} cannot be synchronised" for path, what in snapshot.special.items()})
        for path, entry in snapshot.entries.items():
            if entry.kind == "symlink" and leaves_the_folder(path, entry.target):
                frozen[path] = f"the link points out of the folder ({entry.target})"
        self.problems.update(frozen)
        return {path: entry for path, entry in snapshot.entries.items() if path not in frozen}, frozen

    def _unknown(self, remote: RemoteTree) -> set[str]:
        return {*self._local_unknown, *remote.unknown, *remote.special}

    def _remote_problems(self, remote: RemoteTree) -> dict[str, str]:
        problems = {path: f"cannot be read on the pod: {why}" for path, why in remote.unknown.items()}
        for path, what in remote.special.items():
            if path in self.local:
                problems[path] = f"there is a {what} at this path on the pod"
        return problems

    def _learn(self, link: AgentLink, destination: Destination, remote: RemoteTree, paths: Collection[str]) -> None:
        """Learn the digests that the decision needs.

        A file whose size is neither the ancestor's nor ours is certainly another version: one-way-safe leaves it
        alone, so a growing log or a checkpoint at a known path is never read on the pod.
        """
        wanted: list[str] = []
        for path in paths:
            entry = remote.entries.get(path)
            if entry is None or entry.kind != "file" or entry.digest:
                continue
            known = [self.ancestor.get(path), self.local.get(path), *self._sent.get(path, ())]
            sizes = {version.size for version in known if version is not None}
            if entry.size in sizes:
                wanted.append(path)
            elif sizes:
                remote.entries[path] = entry._replace(digest=f"unread, {entry.size} bytes")
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
        self.activity = "syncing"
        self.pending.update(action.path for action in plan.actions)
        on_their_way = {a.path: a.new for a in plan.actions if a.new is not None and a.new.kind != "dir"}
        self._journal.send(on_their_way)
        for path, entry in on_their_way.items():
            versions = self._sent.setdefault(path, [])
            if entry not in versions:
                versions.append(entry)

        def report(results: list[Result]) -> None:
            self._agree({result.action.path: result.action.new for result in results if result.code is None})
            for result in results:
                self._account(result, tally)

        Upload(link, destination, self._root, report, self._progress).run(plan.actions)

    def _account(self, result: Result, tally: Tally) -> None:
        assert self.remote is not None
        action = result.action
        self.pending.discard(action.path)
        if result.code is None:
            if action.new is None:
                tally.deleted += 1
                self.remote.entries.pop(action.path, None)
                self._remote_digests.forget(action.path)
            else:
                self.remote.entries[action.path] = action.new
                tally.files += action.new.kind != "dir"
                tally.bytes += action.new.size if action.new.kind == "file" else 0
                if result.stamp is not None:
                    self._remote_digests.learn(action.path, result.stamp, action.new.digest)
        elif result.code in ("changed", "not-found"):
            tally.stale = True
            self.pending.add(action.path)
            self._remote_digests.forget(action.path)
        elif result.code in ("unstable", "busy"):
            tally.deferred[action.path] = result.message
            self.pending.add(action.path)
        else:
            self.problems[action.path] = result.message
            if result.code == "no-space":
                tally.no_space.append(result)
                self.pending.add(action.path)

    def _agree(self, changes: dict[str, Entry | None]) -> None:
        if not changes:
            return
        self._journal.agree(changes)
        for path, entry in changes.items():
            self._sent.pop(path, None)
            if entry is None:
                self.ancestor.pop(path, None)
            else:
                self.ancestor[path] = entry

    def save_digests(self) -> None:
        """Remember what was hashed, so that a restart reads nothing twice."""
        self._journal.save_digests("local", self._digests)
        self._journal.save_digests("remote", self._remote_digests)


def _is_folder(snapshot: Snapshot, path: str) -> bool:
    entry = snapshot.entries.get(path)
    return entry is not None and entry.kind == "dir"


def _above(path: str) -> Iterable[str]:
    cut = path.rfind("/")
    while cut > 0:
        yield path[:cut]
        cut = path.rfind("/", 0, cut)
