"""What would be lost, as a tree that a person can read and choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devpod_rp.cli.ui import size
from devpod_rp.errors import printable
from devpod_rp.spec.durations import spoken

if TYPE_CHECKING:
    from devpod_rp.guard.classify import Rebuildable, Risk
    from devpod_rp.guard.report import Report
    from devpod_rp.guard.running import Process

_LINES = 24
_PER_FOLDER = 8
_SHOWN = 8
_COMMAND = 100
_HEAVY_BYTES = 10_000_000


@dataclass
class _Node:
    """A folder: its files, its folders, and what they come to."""

    name: str
    files: list[Risk] = field(default_factory=list)
    folders: dict[str, _Node] = field(default_factory=dict)
    count: int = 0
    bytes: int = 0
    kinds: dict[str, None] = field(default_factory=dict)


def lines(report: Report, where: str) -> Iterator[str]:
    """The report in lines: totals, the tree of what would be lost, and what else there is to know."""
    counted = f"{report.scanned_files} files looked at in {report.seconds:.1f} s"
    if report.volume_missing:
        yield f"warning: the volume is no volume: {report.volume_missing}; what lies there is lost like all else."
    if report.safe_to_stop:
        end = "delete" if where == "volume" else "stop"
        yield f"Safe to {end}: nothing exists only on the {where} ({counted})."
    if report.sole_copies:
        many = "1 file" if len(report.sole_copies) == 1 else f"{len(report.sole_copies)} files"
        exists = "exists" if len(report.sole_copies) == 1 else "exist"
        yield f"{many} ({size(report.size)}) {exists} only on the {where} ({counted}):"
        yield from tree(report.sole_copies)
    if report.unkept is not None:
        yield f"The container disk is to be kept and was not: {printable(report.unkept)}"
    if report.kept_disks:
        last = report.kept_disks[-1]
        yield f"Kept on the volume: the disk of {last.created_at}, {last.files} files ({size(last.stored)} packed)"
    if report.keeps_disk:
        yield "A stop keeps the whole container disk on the volume first (keep_disk)."
    for repository in report.repositories[:_SHOWN]:
        if repository.sole_copy or repository.uncommitted or repository.untracked:
            yield f"  git {printable(repository.path)}: {printable(repository.wording())}"
    for problem in report.problems[:_SHOWN]:
        yield f"  could not look into {printable(problem.path)}: {printable(problem.reason)}"
    if len(report.problems) > _SHOWN:
        yield f"  and {len(report.problems) - _SHOWN} more places"
    if report.rebuildable:
        heaviest = sorted(report.rebuildable, key=lambda each: -each.size)
        names = ", ".join(_weighed(each) for each in heaviest[:_SHOWN])
        more = f" and {len(report.rebuildable) - _SHOWN} more" if len(report.rebuildable) > _SHOWN else ""
        yield f"Can be brought back: {names}{more}"
    for link in report.dangling[:_SHOWN]:
        yield f"  {printable(link.path)} will point to nothing: {printable(link.target)} is on the container disk"
    for process in report.processes[:5]:
        yield f"  still running: {_process(process)}"
    if len(report.processes) > 5:
        yield f"  and {len(report.processes) - 5} more processes"


def _weighed(rebuildable: Rebuildable) -> str:
    heavy = rebuildable.size >= _HEAVY_BYTES
    return printable(rebuildable.name) + (f" ({size(rebuildable.size)})" if heavy else "")


def _process(process: Process) -> str:
    command = printable(process.command)
    shown = command if len(command) <= _COMMAND else command[: _COMMAND - 1] + "…"
    facts = [f"pid {process.pid}", f"for {spoken(process.seconds)}"]
    facts += [f"{size(process.gpu_memory_mb << 20)} of GPU memory"] if process.gpu_memory_mb else []
    facts += [printable(process.about)] if process.about else []
    return f"{shown} ({', '.join(facts)})"


def tree(risks: Iterable[Risk], most: int = _LINES) -> Iterator[str]:
    """*risks* by folder, largest first, with sizes and reasons, in at most about *most* lines."""
    root = _Node("")
    for risk in risks:
        _put(root, risk)
    drawn = list(_draw(_joined(root), "  ", most))
    width = min(max((len(left) for left, _, _ in drawn), default=0), 60)
    for left, amount, reason in drawn:
        yield f"{left.ljust(width)}  {amount.rjust(8)}  {reason}".rstrip()


def _put(root: _Node, risk: Risk) -> None:
    node = root
    _count(node, risk)
    for name in risk.path.split("/")[1:-1]:
        node = node.folders.setdefault(name, _Node(name))
        _count(node, risk)
    node.files.append(risk)


def _count(node: _Node, risk: Risk) -> None:
    node.count += 1
    node.bytes += risk.size
    node.kinds[risk.kind] = None


def _joined(node: _Node) -> _Node:
    """A folder that holds nothing but one folder is one line with it."""
    while not node.files and len(node.folders) == 1:
        [below] = node.folders.values()
        node = _Node(f"{node.name}/{below.name}", below.files, below.folders, below.count, below.bytes, below.kinds)
    return node


def _draw(node: _Node, indent: str, most: int) -> Iterator[tuple[str, str, str]]:
    """(tree, size, reason) of the folder's line and of what is in it, as far as *most* lines go."""
    name = printable(node.name if node.name.startswith("/") else f"/{node.name}" if indent == "  " else node.name)
    many = "" if node.count == 1 else f"{node.count} files"
    yield f"{indent}{name.rstrip('/')}/", size(node.bytes), many
    folders = sorted((_joined(each) for each in node.folders.values()), key=lambda each: -each.bytes)
    entries: list[_Node | Risk] = [*node.files, *folders]
    entries.sort(key=lambda each: -(each.bytes if isinstance(each, _Node) else each.size))
    room = max(1, min(_PER_FOLDER, most - 1))
    shown = entries if len(entries) <= room else entries[: max(1, room // 2)]
    left = most - 1 - len(shown)
    for number, entry in enumerate(shown):
        last = number == len(shown) - 1 and len(shown) == len(entries)
        arm, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if not isinstance(entry, _Node):
            yield f"{indent}{arm}{printable(entry.path.rsplit('/', 1)[1])}", size(entry.size), _short(entry.reason)
            continue
        if left < 1:
            yield f"{indent}{arm}{printable(entry.name)}/", size(entry.bytes), _summary(entry)
            continue
        inside = list(_draw(entry, "", left + 1))
        left -= len(inside) - 1
        for line, (text, amount, reason) in enumerate(inside):
            yield indent + (arm if line == 0 else below) + text, amount, reason
    if len(shown) < len(entries):
        rest = entries[len(shown) :]
        count = sum(each.count if isinstance(each, _Node) else 1 for each in rest)
        total = sum(each.bytes if isinstance(each, _Node) else each.size for each in rest)
        yield f"{indent}└─ and {count} more files", size(total), "check --json lists them all"


def _short(reason: str) -> str:
    """The reason without what the line above the tree says of all of them."""
    return printable(reason.partition(", only on the ")[0])


def _summary(node: _Node) -> str:
    return f"{node.count} files: {', '.join(list(node.kinds)[:4])}"
