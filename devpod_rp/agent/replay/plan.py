"""In which commands a container's missing packages come back. Pure: packages in, commands in their order out."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.exposure.packages import Package

# What a later kind needs is in an earlier one: compilers and git from apt, an environment before what lies in it.
_ORDER = ("apt", "conda-env", "conda", "python", "venv", "pip", "uv", "npm", "git", "huggingface")
_GET_UV = "python3 -m pip install uv"
_APT_LISTS = "apt-get -q update"


class Step(NamedTuple):
    """One command and what it brings back; a step that only prepares others brings nothing."""

    command: str
    packages: Tuple[Package, ...]


def steps(packages: Sequence[Package], *, has_uv: bool) -> List[Step]:
    """The commands for *packages*, those that a package manager takes together in one."""
    found: List[Step] = []
    ranks = {kind: rank for rank, kind in enumerate(_ORDER)}
    together: Dict[Tuple[str, str], List[Package]] = {}
    for each in sorted(packages, key=lambda package: ranks.get(package.kind, len(ranks))):
        together.setdefault((each.kind, each.batch or each.how), []).append(each)
    for (kind, _), members in together.items():
        if kind == "apt":
            found.append(Step(_APT_LISTS, ()))
        if "uv " in (members[0].how + " ")[:3] and not has_uv:
            found.append(Step(_GET_UV, ()))
            has_uv = True
        found.append(Step(_joined(members), tuple(members)))
    return found


def still_to_do(step: Step, missing: Sequence[Package]) -> Optional[Step]:
    """*step* for those of its packages that are *missing* by now; None if it has nothing to bring any more."""
    if not step.packages:
        return step
    return Step(_joined(missing), tuple(missing)) if missing else None


def _joined(members: Sequence[Package]) -> str:
    first = members[0]
    if len(members) == 1:
        return first.how
    return " ".join([first.batch, *(each.how[len(first.batch) + 1 :] for each in members)])
