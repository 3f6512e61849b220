"""The agent's operations on the container disk: record what the boot left, list what came since, find copies of it."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure import copies, dangling, packages, repositories
from devpod_rp.agent.exposure.baseline import Baseline
from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Change, Changes, Witness, changed_since, look
from devpod_rp.agent.files.digests import ChangedWhileRead, content_digest
from devpod_rp.agent.machine import container, mounts, work
from devpod_rp.agent.machine.container import Process
from devpod_rp.agent.wire import Handler, Refusal, Request

_SECOND_NS = 1_000_000_000
# Files laid down by the container runtime a moment before PID 1 runs; the baseline takes them out again.
_MARGIN_NS = 2 * _SECOND_NS
_BATCH = 2000


class Exposure(NamedTuple):
    """What one look at the container disk found. *changes* leaves out what the baseline covers."""

    survey: mounts.Survey
    baseline: Optional[Baseline]
    since_ns: int
    changes: Changes


def survey_mounts(volume_paths: Optional[Sequence[str]] = None, *, proc: Path = Path("/proc")) -> mounts.Survey:
    text = (proc / "self" / "mountinfo").read_bytes().decode("utf-8", "surrogateescape")
    return mounts.survey(mounts.parse(text), volume_paths)


def examine(
    volume_paths: Optional[Sequence[str]] = None,
    *,
    root: str = "/",
    proc: Path = Path("/proc"),
    witness: Optional[Witness] = None,
) -> Exposure:
    """Look at the container disk below *root* with the mounts and the clock of *proc*; *witness* sees all of it.

    Raises:
        OSError: /proc tells neither mounts nor start time; then nobody can say what would be lost.
        ValueError: the record of the boot is damaged.
    """
    survey = survey_mounts(volume_paths, proc=proc)
    baseline = baselines.load(root)
    oldest_new_ns = since_ns(baseline, proc)
    seals = container.Seals(proc)
    changes = changed_since(
        oldest_new_ns, survey, seals=seals, root=root, leave_out=(baselines.DIRECTORY,), witness=witness
    )
    if baseline is not None:
        changes = changes._replace(found=[change for change in changes.found if not baseline.covers(change)])
    return Exposure(survey, baseline, oldest_new_ns, changes)


def since_ns(baseline: Optional[Baseline], proc: Path = Path("/proc")) -> int:
    """The ctime from which on a file is newer than the container; older ones are the image's.

    Raises:
        OSError: /proc does not tell when the container began.
    """
    born_ns = container.started_at_ns(proc)
    if baseline is not None:
        # The earlier of the two: after a restart in place the disk is older than PID 1, and when the clock was set
        # since the boot, one of the two moments is too late.
        born_ns = min(born_ns, baseline.born_ns)
    return born_ns - _MARGIN_NS


def record_baseline(
    volume_paths: Optional[Sequence[str]] = None,
    *,
    root: str = "/",
    proc: Path = Path("/proc"),
    oldest_seconds: float = 900.0,
    only_after_boot: bool = False,
) -> Dict[str, Any]:
    """Record what is on the container disk now as the boot's own, once.

    Not recorded again over an earlier record, nor on a container older than *oldest_seconds* (its user may have worked
    in it already), nor, with *only_after_boot*, while the start script still runs. The answer says which.
    """
    if baselines.load(root) is not None:
        return {"recorded": False, "reason": "already-recorded"}
    started_ns = container.started_at_ns(proc)
    if time.time_ns() - started_ns > oldest_seconds * _SECOND_NS:
        return {"recorded": False, "reason": "too-late"}
    running = container.processes(proc)
    if only_after_boot and not container.boot_is_over(running):
        return {"recorded": False, "reason": "booting"}
    exposure = examine(volume_paths, root=root, proc=proc)
    boot = Baseline(
        started_ns,
        {change.path: change.stamp for change in exposure.changes.found},
        frozenset((process.pid, process.began) for process in running),
    )
    baselines.store(boot, root)
    return {"recorded": True, "reason": "", "files": len(boot.stamps)}


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {
        "exposure.baseline": partial(_baseline, root, proc),
        "exposure.scan": partial(_scan, root, proc),
        "exposure.copies": partial(_copies, root, proc),
        "exposure.digests": partial(_digests, root),
    }


def _baseline(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    header = request.header
    try:
        answer = record_baseline(
            _paths_or_none(header.get("volume_paths")),
            root=root,
            proc=proc,
            oldest_seconds=float(header.get("oldest_seconds", 900.0)),
            only_after_boot=bool(header.get("only_after_boot", False)),
        )
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    yield answer, b""


def _scan(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Rows ``[path, size, mtime_ns, since, inode, target]`` in batches, then one frame that sums up.

    *since* is "boot" for a file of the baseline that changed later, else "start"; *inode* is "device:number" for
    files with several names, else null.
    """
    began = time.monotonic()
    volume_paths = _paths_or_none(request.header.get("volume_paths"))
    try:
        exposure = examine(volume_paths, root=root, proc=proc)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    changes, baseline = exposure.changes, exposure.baseline
    owned = packages.owned(changes.found, volumes=exposure.survey.volumes, root=root)
    kept = [change for change in changes.found if change.path not in owned.paths]
    cloned = repositories.examine(kept, exposure.survey.volumes, root=root)
    left = [change for change in kept if change.path not in cloned.paths]
    for start in range(0, len(left), _BATCH):
        rows = [_row(change, baseline) for change in left[start : start + _BATCH]]
        yield {"rows": len(rows)}, json.dumps(rows).encode("ascii")
    running = people(baseline, proc)
    summary = {
        "volumes": list(exposure.survey.volumes),
        "disguised": dict(exposure.survey.disguised),
        "baseline": baseline is not None,
        "problems": changes.problems,
        "processes": [each._asdict() for each in work.describe(running, proc)],
        "deleted_but_open": [each._asdict() for each in held(running, root, proc)],
        "dangling": dangling.find({change.path for change in left}, exposure.survey, root=root).links,
        "packages": [package._asdict() for package in owned.packages],
        "repositories": [repository.as_json() for repository in cloned.repositories],
        "scanned": changes.scanned,
        "seconds": time.monotonic() - began,
    }
    yield {"rows": 0}, json.dumps(summary).encode("ascii")


def _copies(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Which of the files named in the body have the same content on a volume: ``[path, ...]``, within the budget."""
    paths = json.loads(request.body)
    if not isinstance(paths, list):
        raise Refusal("bad-request", "exposure.copies needs a list of paths")
    survey = survey_mounts(_paths_or_none(request.header.get("volume_paths")), proc=proc)
    budget = copies.Budget(
        seconds=float(request.header.get("seconds", 20.0)), size_bytes=int(request.header.get("bytes", 4 << 30))
    )
    found = copies.find(paths, survey.volumes, budget, borders=survey.roles, root=root, proc=proc)
    yield {"complete": found.complete}, json.dumps(sorted(found.paths)).encode("ascii")


def _digests(root: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """The content of the regular files named in the body: ``{path: digest}``, without those that cannot be read."""
    paths = json.loads(request.body)
    if not isinstance(paths, list):
        raise Refusal("bad-request", "exposure.digests needs a list of paths")
    found = {}
    for path in paths:
        try:
            found[path] = content_digest(handles.physical(root.rstrip("/"), path), look(path, root=root).stamp)
        except (OSError, ChangedWhileRead):
            continue  # it is not in one state, so nothing equals it
    yield {}, json.dumps(found).encode("ascii")


class Held(NamedTuple):
    """A file without a name (`work.Unnamed`); *name* is what it goes by, empty if a file bears that name itself."""

    path: str
    size: int
    pid: int
    command: str
    descriptor: int
    written: bool
    name: str


def held(running: Sequence[Process], root: str = "/", proc: Path = Path("/proc")) -> List[Held]:
    """The files that only processes of *running* hold."""
    found = []
    for each in work.deleted_but_open(running, proc):
        name = handles.name(each.path, each.pid, each.descriptor)
        found.append(Held(*each, name="" if os.path.lexists(root.rstrip("/") + name) else name))
    return found


def people(baseline: Optional[Baseline], proc: Path) -> List[Process]:
    """The processes that people started."""
    if baseline is None:
        return []  # nothing tells the boot's processes from the user's
    return container.running_work(container.processes(proc), baseline.processes, os.getpid())


def _row(change: Change, baseline: Optional[Baseline]) -> List[Any]:
    since = "boot" if baseline is not None and change.path in baseline.stamps else "start"
    inode = "{0}:{1}".format(change.device, change.stamp.inode) if change.links > 1 else None
    return [change.path, change.stamp.size, change.stamp.mtime_ns, since, inode, change.target]


def _paths_or_none(value: Any) -> Optional[List[str]]:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(path, str) and path.startswith("/") for path in value):
        raise Refusal("bad-request", "volume paths must be a list of absolute paths")
    return value


OPERATIONS = operations()
