"""Bringing files of the pod here: streamed, compared by hash with what is there, taken up again after a cut."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.exposure.manifest import Manifest, Saved
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.rescue.taking import LARGEST_WHOLE
from devpod_rp.errors import DevpodError, UsageError, WouldLoseDataError, printable
from devpod_rp.guard import taken
from devpod_rp.guard.arrival import Arrival, CannotKeep, digest, is_full
from devpod_rp.guard.slices import collect
from devpod_rp.guard.taken import Folder, Missing, Nonsense, Offer
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress, silent

_ATTEMPTS = 3
_RUN_FILES = 1000
_RUN_BYTES = 16 << 20
_CHANGING = "it kept changing while it was copied"


class DownloadStopped(WouldLoseDataError):
    """This machine could not take any more; what arrived is complete, and the same command goes on from there."""

    kind = "download-stopped"


@dataclass(frozen=True)
class Download:
    """What is here now. A path in *failed* (with its reason) is not. *stamps* is the state that each file was in."""

    folder: Path
    files: int
    bytes: int
    present: int
    failed: Mapping[str, str]
    stamps: Mapping[str, Stamp] = field(repr=False)

    @property
    def complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, object]:
        failed = [{"path": path, "reason": reason} for path, reason in self.failed.items()]
        return {
            "folder": str(self.folder),
            "files": self.files,
            "bytes": self.bytes,
            "already_here": self.present,
            "failed": failed,
        }


def download(link: AgentLink, paths: Sequence[str], folder: Path, *, progress: Progress = silent) -> Download:
    """Bring *paths* of the pod to *folder*, each below it at its own path, with its mode and time; holes stay holes.

    Every file is compared by hash with the pod's before it counts. After a cut the same call goes on: what is here is
    not sent again, and a large file continues where it stopped. Owners cannot be kept here; they are in the list
    ``.devpod-rescue.json`` in *folder*.

    Raises:
        DownloadStopped: this machine is full.
        UsageError: *folder* cannot be used.
        UnreachableError: the connection died.
    """
    try:
        arrival = Arrival(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used as the folder for the download: {error.strerror}.") from error
    work = _Download(link, arrival, folder, progress)
    try:
        work.run(list(dict.fromkeys(paths)))
    except OSError as error:
        why = "this disk is full" if is_full(error) else error.strerror or str(error)
        raise DownloadStopped(
            f"The download to {folder} stopped after {len(work.saved)} of {len(paths)} files: {why}.",
            hint="make room and run the same command again: it goes on from there.",
        ) from error
    except AgentRefused as refused:
        raise DevpodError(f"The pod did not give its files: {refused.message}.") from refused
    finally:
        with contextlib.suppress(OSError):  # the list can be written by the next run; the files are there
            work.write_list()
    stamps = {saved.path: saved.stamp for saved in work.saved}
    return Download(folder, len(work.saved), work.bytes_kept, work.present, work.failed, stamps)


class _Download:
    def __init__(self, link: AgentLink, arrival: Arrival, folder: Path, progress: Progress) -> None:
        self._link = link
        self._arrival = arrival
        self._folder = folder
        self._progress = progress
        self.saved: list[Saved] = []
        self.failed: dict[str, str] = {}
        self.present = 0
        self.bytes_kept = 0
        self._done_bytes = 0
        self._total_bytes = 0
        self._total_files = 0
        self._twins: dict[tuple[int, Stamp], str] = {}

    def run(self, paths: list[str]) -> None:
        self._total_files = len(paths)
        asked = set(paths)
        folders: list[Folder] = []
        for attempt in range(_ATTEMPTS):
            offers, folders = self._offers(paths, asked)
            self._total_bytes = self._done_bytes + sum(each.stamp.size for each in offers if each.target is None)
            paths = [*self._take_small(offers), *self._take_large(offers)]
            if not paths:
                break
            if attempt + 1 == _ATTEMPTS:
                self.failed.update(dict.fromkeys(paths, _CHANGING))
        self._arrival.dress_folders((each.path, each.mode, each.mtime_ns) for each in folders)
        self._arrival.finish()
        self._arrival.make_durable()
        self._show(0)

    def write_list(self) -> None:
        """Note owners, modes, times and hashes of everything that arrived, now and earlier, beside the files."""
        if not self.saved:
            return
        known = {}
        with contextlib.suppress(OSError, ValueError):
            known = {saved.path: saved for saved in manifest.read(str(self._folder)).saved}
        known.update((saved.path, saved) for saved in self.saved)
        manifest.write(str(self._folder), Manifest(str(self._folder), "", list(known.values()), self.failed))

    def _offers(self, paths: list[str], asked: set[str]) -> tuple[list[Offer], list[Folder]]:
        offers: dict[str, Offer] = {}
        folders: list[Folder] = []
        for each in taken.look(self._link, paths):
            if isinstance(each, Folder):
                folders.append(each)
            elif each.path not in asked:
                raise Nonsense()
            elif isinstance(each, Missing):
                self.failed[each.path] = each.reason
            else:
                offers[each.path] = each
        return [offers[path] for path in paths if path in offers], folders

    # Links and small files: many in one request.

    def _take_small(self, offers: list[Offer]) -> list[str]:
        """Returns the paths to try again."""
        again: list[str] = []
        run: list[Offer] = []
        size = 0
        for offer in offers:
            if offer.target is not None:
                self._attempt(offer, partial(self._take_link, offer))
            elif offer.stamp.size <= LARGEST_WHOLE:
                run.append(offer)
                size += offer.stamp.size
                if size >= _RUN_BYTES or len(run) >= _RUN_FILES:
                    again += self._take_run(run)
                    run, size = [], 0
        return again + self._take_run(run)

    def _take_run(self, offers: list[Offer]) -> list[str]:
        if not offers:
            return []
        again = []
        waiting = {offer.path: offer for offer in offers}
        body = json.dumps([[each.path, list(each.stamp)] for each in offers]).encode("ascii")
        for frame in self._link.stream("take.whole", body):
            for row, content in taken.whole(frame):
                offer = waiting.pop(str(row["path"]), None)
                if offer is None:
                    raise Nonsense()
                if content is None and row.get("code") == "changed":
                    again.append(offer.path)
                elif content is None:
                    self.failed[offer.path] = str(row["reason"])
                else:
                    self._attempt(offer, partial(self._keep, offer, content))
        if waiting:
            raise Nonsense()
        return again

    def _keep(self, offer: Offer, content: bytes) -> None:
        there = self._arrival.holds(offer)
        name = hashlib.blake2b(content, digest_size=32).hexdigest()
        if len(content) != offer.stamp.size:
            raise Nonsense()
        if there is not None and there.read_bytes() == content:
            self._arrival.dress(offer)
            self.present += 1
        elif not self._second_name(offer):
            self._arrival.keep(offer, content)
        self._note(offer, name)
        self._show(len(content))

    def _take_link(self, offer: Offer) -> None:
        if not self._arrival.keep_link(offer):
            self.present += 1
        self._note(offer, None)
        self._show(0)

    # Large files: slice by slice into a part that a later run continues.

    def _take_large(self, offers: list[Offer]) -> list[str]:
        """Returns the paths to try again."""
        again: list[str] = []
        for offer in offers:
            if offer.target is None and offer.stamp.size > LARGEST_WHOLE:
                self._attempt(offer, partial(self._take_slices, offer), again)
        return again

    def _take_slices(self, offer: Offer) -> None:
        there = self._arrival.holds(offer)
        if there is None and self._second_name(offer):
            self._note(offer, self._digest_of(self._twins[(offer.device, offer.stamp)]))
            self._show(offer.stamp.size)
            return
        name = None
        if there is not None:
            name = self._ask_digest(offer)
            if digest(there) == name:
                self._arrival.dress(offer)
                self.present += 1
                self._note(offer, name)
                self._show(offer.stamp.size)
                return
        part = self._arrival.part(offer)
        collect(self._link, offer, part, self._show)
        name = name or self._ask_digest(offer)
        if digest(part) != name:
            part.unlink()
            raise CannotKeep("what arrived here differs from what is on the pod")
        self._arrival.settle(offer, part)
        self._note(offer, name)

    def _ask_digest(self, offer: Offer) -> str:
        self._progress(Event("download", f"Comparing {printable(offer.path)} with the pod"))
        frame = self._link.call("take.digest", path=offer.path, stamp=list(offer.stamp))
        return str(frame.header.get("digest"))

    # Both.

    def _attempt(self, offer: Offer, work: Callable[[], None], again: list[str] | None = None) -> None:
        before = self._done_bytes
        try:
            work()
        except CannotKeep as reason:
            self.failed[offer.path] = str(reason)
        except AgentRefused as refused:
            if refused.code == "changed" and again is not None:
                self._done_bytes = before
                again.append(offer.path)
            else:
                self.failed[offer.path] = refused.message
        except OSError as error:
            if is_full(error):
                raise
            self.failed[offer.path] = error.strerror or str(error)

    def _second_name(self, offer: Offer) -> bool:
        twin = self._twins.get((offer.device, offer.stamp)) if offer.links > 1 else None
        return twin is not None and self._arrival.link(offer, twin)

    def _digest_of(self, path: str) -> str | None:
        return next(saved.digest for saved in self.saved if saved.path == path)

    def _note(self, offer: Offer, name: str | None) -> None:
        self.saved.append(Saved(offer.path, offer.stamp, offer.mode, offer.uid, offer.gid, name, target=offer.target))
        twin = self._twins.setdefault((offer.device, offer.stamp), offer.path)
        if offer.target is None and twin == offer.path:
            self.bytes_kept += offer.stamp.size

    def _show(self, more: int) -> None:
        self._done_bytes += more
        message = f"Bringing {self._total_files} file{'' if self._total_files == 1 else 's'} here"
        self._progress(Event("download", message, self._done_bytes, max(self._total_bytes, self._done_bytes), "bytes"))
