"""What is known of both sides, and what became of each action: the memory that cycles work on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from devpod_rp.agent.files.entries import FILE, FOLDER, Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.errors import UnreachableError
from devpod_rp.progress import Progress
from devpod_rp.sync.here import Here
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.large import Memory
from devpod_rp.sync.reconcile import Action, Side, same
from devpod_rp.sync.remote import RemoteTree
from devpod_rp.sync.status import Halts
from devpod_rp.sync.steps import Result
from devpod_rp.sync.trees import AncestorTree, Trees
from devpod_rp.sync.unsettled import Answer, Unsettled

_FEW, _MANY = 500, 20_000


class Count:
    """What was done on one side: *files* and *bytes* that came there, and what was *deleted*."""

    def __init__(self) -> None:
        self.files = self.bytes = self.deleted = 0

    def add(self, came: Sequence[Entry | None]) -> None:
        """Each of *came* took the place of what was there; None: nothing did."""
        self.deleted += came.count(None)
        self.files += sum(new is not None and new.kind != FOLDER for new in came)
        self.bytes += sum(new.size for new in came if new is not None and new.kind == FILE)


class Tally:
    """What one cycle did, added up over its passes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.there, self.here = Count(), Count()
        self.deferred: dict[str, str] = {}
        self.no_space: list[Result] = []
        self.stale = False


class Known:
    """The trees of both sides as last seen, and the ancestor.

    *remote* is None while nobody has looked at the pod since there is a connection. *conflicts* and *problems* map
    paths to reasons, *pending* names what is not done, *pod_only* what only the pod has or changed.
    """

    def __init__(
        self, local_root: Path, rules: IgnoreRules, journal: Journal, halts: Halts, progress: Progress
    ) -> None:
        self._journal = journal
        self._about_here = (local_root, rules, halts, progress)
        self.remote: RemoteTree | None = None
        self.conflicts: dict[str, str] = dict(journal.get("conflicts", {}))
        self.problems: dict[str, str] = dict(journal.get("problems", {}))
        self.pending: set[str] = set()
        self.pod_only: set[str] = set()
        self._agreed: set[str] = set()
        self._unsettled = Unsettled()
        self._boot_id: str | None = None

    # Read from the journal when they are first needed, which is while a connection is being made.

    @cached_property
    def trees(self) -> Trees:
        return self._journal.trees()

    @cached_property
    def sent(self) -> dict[str, list[Entry]]:
        """Versions on their way to the pod of which no answer is known, by path."""
        return self._journal.sent()

    @cached_property
    def here(self) -> Here:
        local_root, rules, halts, progress = self._about_here
        return Here(local_root, rules, self.trees.here, halts, progress)

    @property
    def ancestor(self) -> AncestorTree:
        return self.trees.ancestor

    @property
    def never_met(self) -> bool:
        """Whether nothing was ever agreed on, nor is anything on its way."""
        return not self.ancestor and not self.sent

    def void(self) -> None:
        """Start over as if the sides had never met: the next cycle is a union, in which nothing is deleted."""
        self.trees.part()
        self._agreed = set()
        self._unsettled.clear()
        self._journal.void(self.trees)
        self.sent.clear()
        self.remote = None

    def agree(self, changes: Mapping[str, Entry | None]) -> None:
        """Both sides are known to be the same there."""
        for path, entry in changes.items():
            if entry is None:
                self.ancestor.drop(path)
            else:
                self.ancestor.put(path, entry)
        self._remember_agreed(changes.keys())

    def _remember_agreed(self, paths: Collection[str]) -> None:
        """Write down that both sides agree about *paths*; what is much waits for :meth:`save`. Until then the journal
        says that it is on its way, from which another process finds out that it arrived."""
        for path in paths:
            self.sent.pop(path, None)
        self._agreed.update(paths)
        if not _FEW < len(self._agreed) <= _MANY:
            self._save_agreed()

    def _save_agreed(self) -> None:
        if self._agreed:
            self._journal.agree(self.trees, self._agreed)
            self._agreed = set()

    # What is on its way.

    def note_sent(self, actions: Sequence[Action]) -> None:
        """These are about to be sent."""
        noted = {path: new for path, _side, _old, new in actions if new is not None and new.kind != FOLDER}
        if not noted.keys().isdisjoint(self.sent.keys()):
            noted = {path: entry for path, entry in noted.items() if entry not in self.sent.get(path, ())}
        self._unsettled.discard(noted)
        if not self._agreed.isdisjoint(noted):
            self._save_agreed()  # it answers what was sent before, not this
        self._journal.send(noted)
        for path, entry in noted.items():
            self.sent.setdefault(path, []).append(entry)

    def recognise_sent(self, remote: RemoteTree) -> None:
        """A version that we sent and that is there was done, although its answer got lost: it is the ancestor now.

        Else a file edited here again after a cut connection would look like a conflict with our own former edit.
        """
        self.agree(
            {
                path: version
                for path, versions in self.sent.items()
                for version in versions
                if same(version, remote.entries.get(path))
            }
        )

    def memory(self) -> Memory:
        """What a transfer need not look up again."""
        there = self.trees.there

        def stamp(path: str) -> Stamp | None:
            known, entry = there.recall(path), self.ancestor.get(path)
            return known[0] if known is not None and entry is not None and known[1] == entry.digest else None

        return Memory(self.here.contents, self._journal, self.trees.held_there, stamp)

    # What became of it.

    def done(self, results: Collection[Result], tally: Tally, *, sure: bool = True) -> None:
        """Fold in what became of actions, and add it to *tally*. What is not *sure* is only written down by
        :meth:`settle`."""
        assert self.remote is not None
        folded: list[str] = []
        met: list[tuple[str, Entry, Stamp | None]] = []
        came: dict[Side, list[Entry | None]] = {Side.LOCAL: [], Side.REMOTE: []}
        for result in results:
            (path, side, _old, new), code, _message, stamp = result
            if code is not None:
                self._leave(result, tally)
                continue
            folded.append(path)
            came[side].append(new)
            if side is Side.LOCAL:
                self.here.written(path, new)
            if new is None:
                self.remote.put(path, None)
                self.ancestor.drop(path)
            else:
                met.append((path, new, stamp))
        tally.here.add(came[Side.LOCAL])
        tally.there.add(came[Side.REMOTE])
        if met:
            self.remote.token = None
            self.trees.meet(met)
        self.pending.difference_update(folded)
        if sure:
            self._remember_agreed(folded)
        else:
            self._unsettled.add(folded)

    def _leave(self, result: Result, tally: Tally) -> None:
        """The action was not carried out."""
        action, code = result.action, result.code
        self.pending.add(action.path)
        if code in ("changed", "not-found"):
            tally.stale = True
            if self.remote is not None:
                self.remote.doubt(action.path)
        elif code in ("unstable", "busy"):
            tally.deferred[action.path] = result.message
        else:
            self.problems[action.path] = result.message
            if code == "no-space" and action.side is Side.REMOTE:
                tally.no_space.append(result)
            else:
                self.pending.discard(action.path)

    # What the pod may not have on its disk yet.

    def ask_to_settle(self, question: Callable[[], Answer]) -> None:
        """*question* asks the pod to see to it that all that was folded in until now would survive a power cut there.
        Raises LinkLost."""
        self._unsettled.ask(question)

    def settle(self, *, wait: bool) -> bool:
        """Write down what the pod says would survive a power cut there; returns whether it has no question left to
        answer. Raises LinkLost."""
        while (paths := self._unsettled.take(wait=wait)) is not None:
            self._remember_agreed(paths)
        return not self._unsettled.waits

    def meet_again(self, boot_id: str | None) -> bool:
        """There is another connection, and nothing is known of what the pod has now. If its machine was started anew,
        it may have lost what it had not on its disk: then only what was written down is known; returns whether there
        was such."""
        self.remote = None
        self._unsettled.forget_questions()
        same_machine, self._boot_id = boot_id is not None and boot_id == self._boot_id, boot_id
        if same_machine or not self._unsettled:
            return False
        self._save_agreed()
        self._unsettled.clear()
        for name in ("trees", "sent", "here"):
            vars(self).pop(name, None)
        return True

    @property
    def unsettled(self) -> bool:
        return bool(self._unsettled)

    # What was seen.

    def save_few(self) -> None:
        """Remember what was seen, unless it is so much that it has to wait for :meth:`save`."""
        if "trees" in vars(self) and len(self.trees.unsaved) <= _FEW and not self._unsettled:
            self._journal.save(self.trees)

    def save(self) -> bool:
        """Remember what was seen, so that a restart reads nothing twice and is told nothing twice; whether it was
        much."""
        if "here" in vars(self):
            self.here.forget_contents()
        with suppress(UnreachableError):  # the next cycle notices
            self.settle(wait=True)
        much = False
        if "trees" in vars(self):
            much = len(self.trees.unsaved) > _FEW
            for tree in (self.trees.here, self.trees.there):
                if tree.lacking > _FEW:
                    tree.spell()
            self._save_agreed()
            if not self._unsettled:
                self._journal.save(self.trees)
        return much
