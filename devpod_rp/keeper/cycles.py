"""Running the session's cycles, so that what the watcher heard and what a scan sees are never out of step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp.sync.status import SyncHalted

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.sync.session import Session
    from devpod_rp.sync.status import CycleResult

_LOOKS = 3
_DEFERRED_LOOKS = 10


@dataclass(frozen=True)
class Done:
    """What one or several cycles did together."""

    uploaded_files: int = 0
    uploaded_bytes: int = 0
    deleted: int = 0
    deferred: frozenset[str] = frozenset()
    full: bool = False

    def and_(self, result: CycleResult) -> Done:
        return Done(
            self.uploaded_files + result.uploaded_files,
            self.uploaded_bytes + result.uploaded_bytes,
            self.deleted + result.deleted,
            result.deferred,
            self.full or result.full,
        )


class Cycles:
    """*session* with a connection.

    *settle* waits a moment and returns the paths that were heard of meanwhile. *listen* is called after each look at
    everything, which may have read other rules, and says whether everything must be looked at again; where the session
    follows the pod also before the first look.
    """

    def __init__(
        self, session: Session, settle: Callable[[], frozenset[str]], listen: Callable[[AgentLink], bool]
    ) -> None:
        self._session = session
        self._listen = listen
        self._settle = settle
        self._attached_to: AgentLink | None = None
        self._done = Done()

    def detach(self) -> None:
        self._session.detach()
        self._attached_to = None

    def quick(self, link: AgentLink, paths: frozenset[str], remote_paths: frozenset[str]) -> Done:
        """Synchronise *paths* here and *remote_paths* on the pod only."""
        self._done = Done()
        self._attach(link)
        self._synchronise(paths, remote_paths)
        return self._done

    def full(self, link: AgentLink, paths: frozenset[str]) -> Done:
        """Synchronise everything; *paths* are the ones heard of and not yet synchronised."""
        self._done = Done()
        self._everything(link, paths, _LOOKS)
        return self._done

    def flush(self, link: AgentLink, paths: frozenset[str], remote_paths: frozenset[str] | None = None) -> Done:
        """Synchronise everything that was written before this call, also files that were being written at first.

        With *remote_paths* the caller knows that nothing but these changed on the pod, and nothing but *paths* here.
        """
        self._done = Done()
        if remote_paths is None:
            late = self._settle()
            self._everything(link, paths | late if late else paths, _LOOKS)  # of very many, no copy without need
        else:
            self._attach(link)
            self._synchronise(paths, remote_paths)
            if self._session.overlooks:
                self._synchronise(None)
        for _ in range(_DEFERRED_LOOKS):
            if not self._done.deferred:
                break
            deferred = self._done.deferred
            self._synchronise(deferred | self._settle(), deferred if self._session.follows_the_pod else frozenset())
        return self._done

    def _everything(self, link: AgentLink, paths: frozenset[str], looks: int) -> None:
        """What was heard of goes first: a deletion that was heard of is a wish, while one that a scan alone sees may be
        an unmounted disk. For the same reason a mass deletion is believed to be an accident only when the watcher,
        which is a moment behind the scan, has nothing more to say."""
        try:
            self._attach(link)
            if not paths or not self._synchronise(paths).full:
                self._synchronise(None)
            if self._listen(link):
                self._synchronise(None)
        except SyncHalted as halt:
            late = self._settle() if halt.reason == "mass-deletion" and looks > 1 else frozenset()
            if not late:
                raise
            self._everything(link, late, looks - 1)

    def _synchronise(self, paths: frozenset[str] | None, remote_paths: frozenset[str] = frozenset()) -> CycleResult:
        result = self._session.synchronise(paths, remote_paths)
        self._done = self._done.and_(result)
        return result

    def _attach(self, link: AgentLink) -> None:
        if self._attached_to is not link:
            self._attached_to = None
            self._session.attach(link)
            # Where nothing depends on it, a first upload is not slowed down by hearing of itself.
            if self._session.follows_the_pod:
                self._listen(link)
            self._attached_to = link
