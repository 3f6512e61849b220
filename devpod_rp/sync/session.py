"""The synchronisation of one folder with one pod: look at both sides, decide, carry out, remember what was done.

A session outlives connections: :meth:`Session.attach` gives it a link to work with, a lost link only detaches it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.abilities import Abilities
from devpod_rp.errors import ConfigurationError, SyncError, UnreachableError
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Progress, silent
from devpod_rp.sync.branch import branch
from devpod_rp.sync.choices import Choices, Moment
from devpod_rp.sync.cycle import Cycles
from devpod_rp.sync.disks import Disks
from devpod_rp.sync.ignore import IGNORE_FILES, Explanation, IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Tally
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.meeting import Meeting
from devpod_rp.sync.no_room import volume_full
from devpod_rp.sync.reconcile import Mode, Plan
from devpod_rp.sync.remote import Destination, RemoteNews, ask, listen, wire
from devpod_rp.sync.second_look import DOUBT_SECONDS
from devpod_rp.sync.standing import Standing
from devpod_rp.sync.status import (
    CycleResult,
    Halts,
    SyncHalted,
    SyncStatus,
)
from devpod_rp.sync.throttle import Throttle
from devpod_rp.sync.why import Reason, why

log = logging.getLogger(__name__)

_MEANT = ("mass-deletion", "replica-asks")
"""Halts that ask whether a plan is meant."""

_OTHER_MACHINE = "other-machine"
"""The halt that asks whether to take over; all others ask whether the folders are the right ones."""

_PASSES = 3
"""How often a cycle looks again because the pod changed under it, before it leaves the rest to the next one."""


class Session:
    """Keeps *remote_root* on the pod equal to *local_root* here, as far as *mode* allows.

    What must be remembered lies in *state_dir*; one process at a time may attach with it. *ignore* are patterns on top
    of the ignore files. *remote_state* is where the pod keeps trash and staging, outside the folder but on its file
    system; by default beside it. *bytes_per_second* limits what is sent, and what is fetched. *volume_bytes* is the
    size of the pod's volume, if known: a network volume cannot say it. *doubt_seconds* is how long nothing more must
    go from the pod before what went there goes from here.

    Raises:
        ConfigurationError: an unknown mode, or one that this system cannot carry out.
    """

    def __init__(
        self,
        *,
        local_root: Path,
        remote_root: str,
        state_dir: Path,
        mode: str = Mode.ONE_WAY_SAFE.value,
        ignore: Sequence[str] = (),
        progress: Progress = silent,
        remote_state: str | None = None,
        bytes_per_second: float | None = None,
        volume_bytes: int | None = None,
        doubt_seconds: float = DOUBT_SECONDS,
    ) -> None:
        self._mode = _supported(mode)
        self._volume_bytes = volume_bytes
        self._local_root = Path(os.path.realpath(local_root))
        self._remote_root = os.path.normpath(remote_root).replace(os.sep, "/")
        self._halts = Halts(str(self._local_root), self._remote_root)
        self._rules = IgnoreRules(self._local_root, ignore)
        self._folder = LocalFolder(self._local_root, state_dir)
        if self._mode is Mode.TWO_WAY_SAFE:
            LocalFolder.demand_support()
        self._journal = Journal(state_dir)
        self._cycles = Cycles(
            self._local_root,
            self._folder,
            self._mode,
            self._rules,
            self._journal,
            self._halts,
            progress,
            Throttle(bytes_per_second),
            doubt_seconds,
        )
        known = self._cycles.known
        self._standing = Standing(self._journal, known)
        self._meeting = Meeting(
            self._local_root, self._remote_root, remote_state, state_dir, self._journal, known, self._halts
        )
        self._cycle_lock = threading.Lock()
        self._link: AgentLink | None = None
        self._destination: Destination | None = None
        self._observed: frozenset[str] = frozenset()

    # Connections.

    def attach(self, link: AgentLink, *, accept_fresh_remote: bool = False) -> None:
        """Make sure that both folders are who they were, and work with *link* from now on.

        With *accept_fresh_remote* a pod folder that is not the known one is joined as in a first synchronisation: for
        callers that have just made the pod's volume themselves.

        Raises:
            SyncHalted: a folder is gone, was replaced or came back fresh; see :meth:`accept`.
            SyncError: another process synchronises with this state directory.
            LinkLost, AgentRefused: the agent does not answer, or cannot work in the folder.
        """
        with self._cycle_lock:
            self._meeting.lock_process()
            self.detach()
            try:
                self._destination = self._meet(link, accept_fresh_remote)
            except SyncHalted as halt:
                self._standing.halt(halt)
                raise
            self._link = link
            self._cycles.meet_again(link, self._destination)
            self._standing.forget_halt(but=_MEANT)

    @property
    def attached(self) -> bool:
        """Whether there is a link to work with; it may be dead all the same."""
        return self._link is not None

    def detach(self) -> None:
        """Forget the link; the session can be attached again."""
        self._link = self._destination = None

    def release(self) -> None:
        """Let another machine synchronise with the pod's folder, until the next look at everything.

        Raises:
            LinkLost: the connection died.
        """
        with self._cycle_lock:
            if self._link is not None and self._destination is not None:
                self._cycles.lease.release(self._link, self._destination)

    def close(self) -> None:
        """Detach, and let another process attach."""
        with self._cycle_lock:
            self.detach()
            self._cycles.known.save()
            self._journal.close()
            self._meeting.unlock_process()

    def accept(self) -> None:
        """The user has looked at the halt and wants to go on.

        After a mass deletion the next full cycle carries it out; where another machine synchronises too, it takes
        over; after any other halt the next attach or cycle joins both sides like a first synchronisation, in which
        nothing is deleted on either.
        """
        halted = self._journal.get("halted")
        if halted is not None:
            self._journal.put(accepted=halted["reason"], halted=None)

    # Synchronising.

    def look_ahead(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Look at the folder here while the connection is still being made, so that the first cycle need not; until
        that is *enough* for now. The next call, or the cycle, goes on with it.

        For callers that hear from before this call on what changes here, and tell :meth:`synchronise`.
        """
        with self._cycle_lock:
            self._cycles.look_ahead(enough)

    def settled(self) -> bool:
        """Whether the pod has said that its disk has what it was sent, or cannot say it any more; until then
        :meth:`rest` would wait for it."""
        with self._cycle_lock, suppress(UnreachableError):  # the next cycle notices
            return self._cycles.known.settle(wait=False)
        return True

    def rest(self) -> bool:
        """There is nothing else to do: remember what was hashed, which a cycle leaves for later when it is much, and
        say whether it was."""
        with self._cycle_lock:
            return self._cycles.known.save()

    @property
    def overlooks(self) -> bool:
        """Whether a look at everything would find what nothing else told of: a file that was edited under another of
        its names."""
        return self._cycles.known.here.overlooks

    @property
    def follows_the_pod(self) -> bool:
        """Whether what happens on the pod calls for a cycle."""
        return self._mode is not Mode.ONE_WAY_SAFE

    @property
    def destination(self) -> Destination | None:
        """The folder on the pod as it was recognised; None while detached."""
        return self._destination

    def listen(self) -> Iterator[RemoteNews]:
        """What changes on the pod; see :func:`devpod_rp.sync.remote.listen`. Where that calls for no cycle, it comes
        only after :meth:`ask_pod`.

        Raises:
            SyncError: not attached.
        """
        link, destination = self._attached()
        return listen(link, destination, self.rules(), hold=not self.follows_the_pod)

    def ask_pod(self, mark: int) -> bool:
        """Make :meth:`listen` yield what happened on the pod until now, and then *mark*; False when it cannot."""
        link, _destination = self._attached()
        return ask(link, mark)

    def rules(self) -> list[Any]:
        """The ignore rules that the last scan has read, as plain data."""
        return wire(self._rules.rules)

    def synchronise(
        self, paths: frozenset[str] | None = None, remote_paths: frozenset[str] = frozenset()
    ) -> CycleResult:
        """Bring both sides together as far as the mode allows.

        With *paths* (observed changes here, relative; and *remote_paths*, those on the pod) only these are looked at,
        else everything.

        Raises:
            SyncHalted: something looks like an accident; nothing was deleted, and status() says what to do.
            VolumeFullError: the pod's disk has no room for some files; the others are done.
            LinkLost: the connection died; attach again and synchronise.
            SyncError: not attached.
        """
        with self._cycle_lock:
            link, destination = self._attached()
            if paths:
                self._observed = self._observed | paths if self._observed else paths
            tally = Tally()
            try:
                destination = self._joined(link, destination)
                full = self._run(link, destination, paths, remote_paths, tally)
            except UnreachableError:
                self.detach()
                raise
            except SyncHalted as halt:
                self._standing.halt(halt)
                raise
            except AgentRefused as refusal:
                if refusal.code != "changed":
                    raise
                replaced = self._halts.remote_replaced()
                self._standing.halt(replaced)
                raise replaced from refusal
            finally:
                self._cycles.activity = "watching"
                self._standing.write()
            self._observed = frozenset()
            self._standing.forget_halt()
            self._journal.put(last_synced_at=datetime.now(timezone.utc).isoformat(timespec="seconds"))
            if tally.no_space:
                raise volume_full(link, destination, tally.no_space, self._volume_bytes)
            return self._standing.result(full, tally)

    # What the user decides; each looks at both sides first and raises as `synchronise` does.

    def plan(self) -> Plan:
        """What a full cycle would do now; nothing is changed."""
        with self._at_work() as (link, destination):
            return self._cycles.look(link, destination)

    def resolve(self, path: str, keep: str) -> list[str]:
        """End the conflict at *path* by keeping "local", "pod" or "both"; returns the paths written."""
        return self._choose(lambda choices, tally: choices.resolve(path, keep, tally))

    def pull(self, paths: Sequence[str] = ()) -> list[str]:
        """Bring here what only the pod has or changed, below *paths* or all of it; returns what came."""
        return self._choose(lambda choices, tally: choices.pull(paths, tally))

    def undo(self, path: str | None = None, at: str | None = None) -> list[str]:
        """Bring back the version of *path* (or everything of the moment) that was replaced or deleted last, or *at* the
        moment of that name."""
        return self._choose(lambda choices, _tally: choices.undo(path, at))

    def trash(self, path: str | None = None) -> list[Moment]:
        """What :meth:`undo` can bring back, below *path* or all of it, the newest first; nothing is changed."""
        with self._at_work() as (link, destination):
            return Choices(self._cycles, self._folder, link, destination).trash(path)

    def why(self, path: str) -> Reason:
        """Which rule decided about *path*; from memory when nothing is attached."""
        known, explanation = self._cycles.known, self.explain(path)
        ignored_by = f"{explanation.rule} ({explanation.source})" if explanation.ignored else None
        remote = known.remote
        here = known.here.entries if known.here.seen else known.ancestor
        pod = remote.entries if remote else None
        frozen = self._cycles.caveats.frozen()
        names = known.here.names(path)
        return why(
            path, known.ancestor, here, pod, self._mode, frozen, ignored_by, names=names, connected=self.attached
        )

    def _choose(self, work: Callable[[Choices, Tally], list[str]]) -> list[str]:
        self.synchronise()
        tally = Tally()
        with self._at_work() as (link, destination):
            try:
                written = work(Choices(self._cycles, self._folder, link, destination), tally)
            finally:
                self._standing.write()
        if tally.no_space:
            raise volume_full(link, destination, tally.no_space, self._volume_bytes)
        self.synchronise()
        return written

    @contextmanager
    def _at_work(self) -> Iterator[tuple[AgentLink, Destination]]:
        """The connection, while nobody else works with it; one that dies meanwhile is let go of."""
        with self._cycle_lock:
            link, destination = self._attached()
            try:
                yield link, destination
            except UnreachableError:
                self.detach()
                raise
            finally:
                self._cycles.activity = "watching"

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Whether a relative path takes no part, by the rules that the last scan has read."""
        return self._rules.ignored(path, is_folder)

    def explain(self, path: str) -> Explanation:
        """The ignore rule that decides about a relative path."""
        return self._rules.explain(path, (self._local_root / path).is_dir())

    def status(self) -> SyncStatus:
        """How things stand; from the journal when nothing is attached."""
        activity = "disconnected" if self._link is None else self._cycles.activity
        waiting = len(self._cycles.known.pending | self._observed)
        here = branch(self._local_root) if self._rules.ignored(".git", True) else None
        return replace(self._standing.status(activity, self._mode.value, waiting), branch=here)

    # One cycle.

    def _run(
        self,
        link: AgentLink,
        destination: Destination,
        paths: frozenset[str] | None,
        remote_paths: frozenset[str],
        tally: Tally,
    ) -> bool:
        """Run a quick or a full cycle, and look again while the pod changes under us; True when it was a full one."""
        rules_changed = any(path.rpartition("/")[2] in IGNORE_FILES for path in paths or ())
        # While halted only a look at everything can tell that the accident is over: a quick cycle would write into an
        # emptied folder, and the next look would take what is missing there for deletions that were meant.
        halted = self._standing.halted is not None
        full = paths is None or rules_changed or halted or self._cycles.known.remote is None
        if not full:
            self._cycles.quick(link, destination, paths or (), remote_paths, self._observed, tally)
        for _ in range(_PASSES):
            if not full and not tally.stale:
                break
            full, tally.stale = True, False
            accepted = self._journal.get("accepted")
            trusted, take_over = accepted in _MEANT, accepted == _OTHER_MACHINE
            self._cycles.full(link, destination, self._observed, tally, trusted=trusted, take_over=take_over)
            self._journal.put(accepted=None)
            if not tally.stale:
                break
        return full

    # Who the folders are.

    def _meet(self, link: AgentLink, accept_fresh_remote: bool) -> Destination:
        destination = self._meeting.recognise(link, accept_fresh_remote)
        both_ways = self._mode is Mode.TWO_WAY_SAFE
        here = self._folder.abilities() if both_ways else Abilities(keeps_executable=os.name != "nt")
        self._cycles.caveats.disks = Disks(here, destination.abilities, both_ways)
        return destination

    def _joined(self, link: AgentLink, destination: Destination) -> Destination:
        """After the user accepted a halt while attached: join both folders as they are now."""
        accepted = self._journal.get("accepted")
        if accepted is None or accepted in (*_MEANT, _OTHER_MACHINE):
            return destination
        self._cycles.known.void()
        self._destination = self._meet(link, accept_fresh_remote=True)
        self._journal.put(accepted=None)
        return self._destination

    def _attached(self) -> tuple[AgentLink, Destination]:
        if self._link is None or self._destination is None:
            raise SyncError("The synchronisation has no connection to the pod.", hint="devpod-rp up connects it.")
        return self._link, self._destination


def _supported(mode: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        names = ", ".join(known.value for known in Mode)
        raise ConfigurationError(f"Unknown sync mode {mode!r}.", hint=f"Known modes: {names}.") from None
