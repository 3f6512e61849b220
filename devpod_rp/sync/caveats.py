"""What nothing may be decided about, and what must be known before anything is decided."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from devpod_rp.pod.link import AgentLink
from devpod_rp.sync import mount_points
from devpod_rp.sync.disks import NOTHING, Disks, Unfit, unfit
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Mode
from devpod_rp.sync.remote import Destination, RemoteTree, learn_digests


class Caveats:
    """Those about what is *known* of both sides; *disks* are theirs.

    *unfit* is what a disk cannot hold, *unmounted* what lies on a disk here that is not mounted.
    """

    def __init__(
        self, known: Known, mode: Mode, rules: IgnoreRules, folder: LocalFolder, journal: Journal, local_root: Path
    ) -> None:
        self._known = known
        self._mode = mode
        self._rules = rules
        self._folder = folder
        self._journal = journal
        self._root = local_root
        self.disks = Disks()
        self.unfit: Unfit = NOTHING
        self.unmounted: dict[str, str] = {}

    def see_mounts(self) -> None:
        """See which disks are mounted in the folder here."""
        here, ancestor = self._known.here.entries, self._known.ancestor
        known, mounted = set(self._journal.get("mounts", ())), mount_points.below(self._root)
        self.unmounted = mount_points.unmounted(known, mounted, here)
        # One that holds nothing that is kept in step need not be remembered.
        now = {path for path in mounted if path in here or path in ancestor} | self.unmounted.keys()
        if now != known:
            self._journal.put(mounts=sorted(now))

    def fit(self, remote: RemoteTree, paths: Collection[str]) -> None:
        """See what the disks of both sides make of names and executable bits."""
        known = self._known
        self.disks.level(known.here.entries, remote.entries, known.ancestor, paths)
        self.unfit = self.disks.unfit(known.here.entries, remote.entries, known.ancestor)

    def unknown(self, remote: RemoteTree) -> set[str]:
        """The paths about which nothing may be decided."""
        return {*self._known.here.unknown, *remote.unknown, *remote.special, *self.unfit.paths, *self.unmounted}

    def frozen(self) -> dict[str, str]:
        """The same, as far as both sides were seen, with the reasons."""
        there = self._known.remote
        unseen = {} if there is None else {**there.unknown, **there.special}
        return {**self._known.here.unknown, **unseen, **self.unfit.paths, **self.unmounted}

    def freeze_unwelcome(self, remote: RemoteTree, paths: Collection[str]) -> None:
        """Where the pod's files come here: what must not be put here is frozen, whatever the pod says."""
        if self._mode is Mode.TWO_WAY_SAFE:
            remote.unknown.update(self.unwelcome([path for path in paths if path not in self._known.ancestor]))

    def unwelcome(self, paths: Collection[str]) -> dict[str, str]:
        """Those of *paths* on the pod that must not come here, with the reason."""
        entries = self._known.trees.there
        found: dict[str, str] = {}
        for path in paths:
            entry = entries.get(path)
            if entry is None:
                continue
            if entry.kind == "symlink" and leaves_the_folder(path, entry.target):
                found[path] = f"the link points out of the folder ({entry.target})"
            elif path not in self._known.here.entries and self._rules.ignored(path, entry.kind == "dir"):
                found[path] = "an ignore rule leaves it out"
        if self._mode is not Mode.TWO_WAY_SAFE:
            asked, known = {path: entries[path] for path in paths if path in entries}, self._known
            disk = self._folder.abilities()
            found.update(unfit(asked, known.here.entries, known.ancestor, disk, "this side's").paths)
        return found

    def remote_problems(self, remote: RemoteTree) -> dict[str, str]:
        """What a person should know of the pod's folder."""
        problems = {path: f"not taken from the pod: {why}" for path, why in remote.unknown.items()}
        for path, what in remote.special.items():
            if path in self._known.here.entries:
                problems[path] = f"there is a {what} at this path on the pod"
        return problems

    def learn(self, link: AgentLink, destination: Destination, remote: RemoteTree, paths: Collection[str]) -> None:
        """Learn the digests that the decision needs.

        A file whose size is neither the ancestor's nor ours is certainly another version, so a growing log or a
        checkpoint at a known path is never read on the pod just to find that out.
        """
        wanted: list[str] = []
        known = self._known
        exact = self._mode is Mode.ONE_WAY_REPLICA  # what is overwritten there is named by its digest
        for path in paths:
            entry = remote.entries.get(path)
            if entry is None or entry.kind != "file" or entry.digest:
                continue
            versions = [known.ancestor.get(path), known.here.entries.get(path), *known.sent.get(path, ())]
            sizes = {version.size for version in versions if version is not None}
            if exact or entry.size in sizes:
                wanted.append(path)
        learn_digests(link, destination, remote, wanted)
