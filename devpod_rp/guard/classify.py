"""What the files that only the container disk holds mean to their owner. Pure: rows and rules in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from devpod_rp.agent.exposure.recipes import package
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.guard.rules import Kind, Recipe, Rules

OTHER = Kind("other", "unknown kind", rank=99)


@dataclass(frozen=True)
class Found:
    """One name that is newer than the container, as the agent saw it.

    *after_boot*: the boot had left this file and it was changed since. *inode* tells files with several names; it is
    None for those with one. *target* is set for symbolic links.
    """

    path: str
    size: int
    mtime_ns: int = 0
    after_boot: bool = False
    inode: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Risk:
    """One file that a stop would destroy. *other_names* are further hard links to it, counted and saved with it."""

    path: str
    size: int
    kind: str
    reason: str
    sole_copy: bool = True
    other_names: tuple[str, ...] = ()
    mtime_ns: int = 0

    def as_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "size": self.size,
            "kind": self.kind,
            "reason": self.reason,
            "sole_copy": self.sole_copy,
            "other_names": list(self.other_names),
        }


@dataclass(frozen=True)
class Rebuildable:
    """Something that is lost and comes back with the command *how*.

    *batch* is the beginning of *how* after which others can be named as well, *mark* the path that is there once it is
    there (empty where it comes back by itself), *needs* a path that *how* needs.
    """

    kind: str
    name: str
    how: str
    batch: str = ""
    mark: str = ""
    needs: str = ""
    size: int = 0

    def as_json(self) -> dict[str, object]:
        return {"kind": self.kind, "name": self.name, "how": self.how, "size": self.size}


@dataclass(frozen=True)
class LeftOut:
    """Files that one rule says are no loss."""

    rule: str
    why: str
    files: int
    size: int

    def as_json(self) -> dict[str, object]:
        return {"rule": self.rule, "why": self.why, "files": self.files, "bytes": self.size}


@dataclass(frozen=True)
class Verdict:
    at_risk: tuple[Risk, ...]
    rebuildable: tuple[Rebuildable, ...]
    left_out: tuple[LeftOut, ...]


def judge(found: Iterable[Found], rules: Rules, volume_path: str | None) -> Verdict:
    """Sort *found* into what is at risk (most precious first, then largest), what comes back, and what is no loss.

    A file that no rule knows is at risk. A file with several names is at risk once if any of its names is, under the
    first such name. A link into the volume loses nothing but itself, so it is listed and is no sole copy.
    """
    risks: dict[str, Risk] = {}
    rebuildable: dict[tuple[str, str], Rebuildable] = {}
    left_out: dict[str, LeftOut] = {}
    for one in sorted(found, key=lambda one: one.path):
        rule = _no_loss(one, rules)
        if rule is not None:
            before = left_out.get(rule.rule, rule)
            left_out[rule.rule] = replace(before, files=before.files + 1, size=before.size + one.size)
            continue
        recipe = None if rules.own_precious.match(one.path) else rules.rebuildable.match(one.path)
        if recipe is not None:
            made = _made(recipe.subject, recipe.words)
            before_it = rebuildable.get((made.name, made.mark), made)
            rebuildable[(made.name, made.mark)] = replace(before_it, size=before_it.size + one.size)
            continue
        key = one.inode or one.path
        if key in risks:
            risks[key] = replace(risks[key], other_names=(*risks[key].other_names, one.path))
        else:
            risks[key] = _risk(one, rules, volume_path)
    return Verdict(
        tuple(most_precious_first(risks.values(), rules)),
        tuple(rebuildable.values()),
        tuple(left_out[name] for name in left_out),
    )


def most_precious_first(risks: Iterable[Risk], rules: Rules) -> list[Risk]:
    """Sole copies before others, then by kind in the order of the rules table, then largest first."""
    return sorted(
        risks, key=lambda risk: (not risk.sole_copy, rules.ranks.get(risk.kind, OTHER.rank), -risk.size, risk.path)
    )


def rescue_order(risks: Iterable[Risk]) -> list[Risk]:
    """*risks*, sorted by kind, in the order in which a volume that is too small takes them: of each kind the newest
    first, of equally new ones the smallest.
    """
    every = list(risks)
    kinds = {kind: rank for rank, kind in enumerate(dict.fromkeys(risk.kind for risk in every))}
    return sorted(every, key=lambda risk: (kinds[risk.kind], -risk.mtime_ns, risk.size, risk.path))


def _made(recipe: Recipe, words: Mapping[str, str]) -> Rebuildable:
    return Rebuildable(**package(recipe.kind, recipe.name, recipe.how, words, by_itself=recipe.by_itself)._asdict())


def _no_loss(one: Found, rules: Rules) -> LeftOut | None:
    if rules.own_precious.match(one.path) is not None:
        return None
    for matcher in (rules.own_ignored, rules.noise, rules.history):
        match = matcher.match(one.path)
        if match is not None and not (match.subject.boot and one.after_boot):
            return LeftOut(match.subject.name, match.subject.why, 0, 0)
    return None


def _risk(one: Found, rules: Rules, volume_path: str | None) -> Risk:
    match = rules.own_precious.match(one.path) or rules.precious.match(one.path)
    kind = match.subject if match else OTHER
    if one.target is not None:
        into_volume = volume_path is not None and (
            one.target == volume_path or lies_below(one.target, volume_path.rstrip("/"))
        )
        if into_volume and "/../" not in one.target + "/":
            return Risk(
                one.path,
                one.size,
                kind.name,
                f"link into the volume ({one.target})",
                sole_copy=False,
                mtime_ns=one.mtime_ns,
            )
        return Risk(
            one.path, one.size, kind.name, f"link to {one.target}, only on the container disk", mtime_ns=one.mtime_ns
        )
    since = "changed since the container booted" if one.after_boot else "new since the container started"
    reason = f"{kind.reason}, {since}, only on the container disk"
    return Risk(one.path, one.size, kind.name, reason, mtime_ns=one.mtime_ns)
