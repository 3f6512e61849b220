"""Carrying plans out, and folding what became of them into what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Progress
from devpod_rp.sync.brakes import Brakes
from devpod_rp.sync.download import Download
from devpod_rp.sync.ignore import IGNORE_FILES
from devpod_rp.sync.known import Known, Tally
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Action, Plan, Side
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.steps import Result
from devpod_rp.sync.throttle import Throttle
from devpod_rp.sync.transfer import Upload


class Carrier:
    """Carries out what was decided between the folder at *root* and the pod, on what is *known* of both."""

    def __init__(
        self, root: Path, folder: LocalFolder, known: Known, brakes: Brakes, progress: Progress, throttle: Throttle
    ) -> None:
        self._root = root
        self._folder = folder
        self._known = known
        self._brakes = brakes
        self._progress = progress
        self._throttle = throttle

    def note(self, plan: Plan) -> None:
        """*plan* is about to be carried out."""
        self._known.conflicts.update({conflict.path: conflict.reason for conflict in plan.conflicts})
        self._known.agree(plan.agreed)
        self._known.pending.update(action.path for action in plan.actions)

    def carry_out(self, link: AgentLink, destination: Destination, plan: Plan, tally: Tally) -> None:
        """Do all of *plan*, of which *tally* then tells what became."""
        self._known.settle(wait=False)
        self.note(plan)
        going = [action for action in plan.actions if action.side is Side.REMOTE]
        coming = [action for action in plan.actions if action.side is Side.LOCAL]
        if going:
            self._upload(link, destination, tally).run(going)
        if coming:
            ledger = _Ledger(self._known, tally)
            Download(link, destination, self._folder, ledger, self._progress, self._throttle).run(coming)
            self._brakes.deleted_here(sum(action.new is None for action in coming))
            # An ignore file that came decides about others: they are looked at again.
            tally.stale |= any(action.path.rpartition("/")[2] in IGNORE_FILES for action in coming)

    def send_found(
        self, link: AgentLink, destination: Destination, found: Iterable[Sequence[Action]], tally: Tally
    ) -> None:
        """Send files while more of them are *found*; folders come before what is in them."""
        self._known.settle(wait=False)
        self._upload(link, destination, tally).run_found(found)

    def _upload(self, link: AgentLink, destination: Destination, tally: Tally) -> Upload:
        ledger, memory = _Ledger(self._known, tally), self._known.memory()
        return Upload(link, destination, self._root, ledger, memory, self._progress, self._throttle)


class _Ledger:
    """What is *known*, and the *tally* of one cycle; see `steps.Ledger`."""

    def __init__(self, known: Known, tally: Tally) -> None:
        self._known, self._tally = known, tally
        self.sends, self.ask_to_settle, self.settle = known.note_sent, known.ask_to_settle, known.settle

    def done(self, results: Sequence[Result], *, sure: bool = True) -> None:
        self._known.done(results, self._tally, sure=sure)
