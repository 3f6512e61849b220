"""What a git repository on the container disk would lose, in words, and what that means for its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devpod_rp.guard.classify import Rebuildable, Risk


@dataclass(frozen=True)
class Repository:
    """A repository outside the volume, as the agent saw it.

    *unpushed* counts the commits that no remote has, by branch ("HEAD": detached, "tags": under no branch). With
    *sole_copy* its history would be lost; else *comes_back* tells how to clone it, and only what is uncommitted or
    untracked is at risk, file by file. *unknown* says why nobody could look into it.
    """

    path: str
    branch: str | None
    unpushed: Mapping[str, int]
    stashes: int
    staged: int
    uncommitted: int
    untracked: int
    remotes: tuple[str, ...]
    sole_copy: bool
    comes_back: Rebuildable | None
    unknown: str | None

    def wording(self) -> str:
        """What is not on any remote, as one would say it; "all of it is on its remote" if nothing is missing."""
        if self.unknown:
            return self.unknown
        words = [f"{_many(count, 'commit')} on {branch}" for branch, count in self.unpushed.items()]
        if words:
            words[-1] += " not pushed" if self.remotes else " and no remote"
        words += [_many(self.stashes, "stash", "es")] if self.stashes else []
        words += [f"{_many(self.staged, 'file')} only staged"] if self.staged else []
        words += [f"{_many(self.uncommitted, 'file')} uncommitted"] if self.uncommitted else []
        words += [f"{_many(self.untracked, 'file')} untracked"] if self.untracked else []
        return ", ".join(words) or "all of it is on its remote"

    def as_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "branch": self.branch,
            "unpushed": dict(self.unpushed),
            "stashes": self.stashes,
            "staged": self.staged,
            "uncommitted": self.uncommitted,
            "untracked": self.untracked,
            "remotes": list(self.remotes),
            "sole_copy": self.sole_copy,
            "summary": self.wording(),
        }


def read(document: Mapping[str, Any]) -> Repository:
    return Repository(
        path=document["path"],
        branch=document["branch"],
        unpushed=document["unpushed"],
        stashes=document["stashes"],
        staged=document["staged"],
        uncommitted=document["uncommitted"],
        untracked=document["untracked"],
        remotes=tuple(document["remotes"]),
        sole_copy=document["sole_copy"],
        comes_back=Rebuildable(**document["package"]) if document["package"] else None,
        unknown=document["unknown"],
    )


def relevant(repositories: Iterable[Repository], risks: Iterable[Risk]) -> tuple[Repository, ...]:
    """Those whose loss is one: a repository in a tool's cache, all files of which are noise, is not."""
    folders = {folder for risk in risks for folder in _folders(risk.path)}
    return tuple(each for each in repositories if not each.sole_copy or each.path in folders)


def clones(repositories: Iterable[Repository]) -> tuple[Rebuildable, ...]:
    """Those that come back with one command."""
    return tuple(each.comes_back for each in repositories if each.comes_back)


def explained(risks: Iterable[Risk], repositories: Sequence[Repository]) -> list[Risk]:
    """*risks* with the reason that its repository gives for each file in one."""
    by_path = {each.path: each for each in repositories}
    return [_explained(risk, by_path) for risk in risks]


def _explained(risk: Risk, by_path: Mapping[str, Repository]) -> Risk:
    for folder in _folders(risk.path):
        repository = by_path.get(folder)
        if repository is not None:
            what = repository.wording() if repository.sole_copy else "not in any commit that is on its remote"
            return replace(
                risk, reason=risk.reason.replace(", only on the", f", in a git repository ({what}), only on the")
            )
    return risk


def _folders(path: str) -> Iterator[str]:
    """The directories that *path* lies in, innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def _many(count: int, what: str, plural: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else plural}"
