"""What was installed in a container and dies with it, noted on the volume, so that the next container can have it too.

A note tells of one run of a container: what was *found* in it, and what it *carried* over from runs before because
nobody has installed that again yet. So a run in which nothing is brought back loses nothing of the note either, and
what somebody uninstalled does not come back.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine.container import identity

FOLDER = ".devpod/replay"
_ANSWER = DIRECTORY + "/replay.json"
_VERSION = 1


class Note(NamedTuple):
    """*container* is the run that it tells of (`container.identity`)."""

    container: str
    found: List[Package]
    carried: List[Package]


class Answer(NamedTuple):
    """What became of the offer in this container. *state* is "done", "declined" or "forgotten"; *left* names what a
    replay could not bring back."""

    state: str
    left: List[Tuple[str, ...]]


def location(volume: str, name: str) -> str:
    return os.path.join(volume, FOLDER, name + ".json")


def read(path: str) -> Optional[Note]:
    """The note at *path*, None if there is none.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        with open(path, "rb") as stream:
            document = json.loads(stream.read())
        if document["version"] != _VERSION:
            raise ValueError("written by another version")
        found, carried = ([Package(**each) for each in document[key]] for key in ("found", "carried"))
        return Note(str(document["container"]), found, carried)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("{0} cannot be read: {1}".format(path, error)) from error


def keep(
    volume: str,
    name: str,
    found: Sequence[Package],
    *,
    unseen: Collection[str] = (),
    root: str = "/",
    proc: Path = Path("/proc"),
) -> None:
    """Note on *volume* for environment *name* that *found* is what packages brought to this container.

    *unseen* are kinds that were not looked for.

    Raises:
        OSError: the volume does not take it.
        ValueError: there is a note that cannot be read; it is not replaced.
    """
    path = location(root.rstrip("/") + volume, name)
    earlier = read(path)
    fresh = renewed(earlier, identity(proc), found, answer(root), unseen)
    if earlier is None and not fresh.found:
        return
    if earlier != fresh:
        write(path, fresh)


def renewed(
    earlier: Optional[Note],
    container: str,
    found: Sequence[Package],
    answer: Optional[Answer],
    unseen: Collection[str] = (),
) -> Note:
    """The note after *found* is what a look at *container* saw; *answer* is what became of the offer there."""
    carried: List[Package] = []
    if earlier is not None and earlier.container == container:
        found = [*found, *(each for each in earlier.found if each.kind in unseen)]
    if earlier is not None:
        carried = earlier.carried if earlier.container == container else [*earlier.found, *earlier.carried]
    if answer is not None and answer.state == "forgotten":
        carried = []
    if answer is not None and answer.state == "done":
        left = set(answer.left)
        carried = [each for each in carried if each.key in left]
    there = {each.key for each in found}
    return Note(container, list(found), [each for each in _once(carried) if each.key not in there])


def missing(note: Optional[Note], container: str, root: str = "/") -> List[Package]:
    """What *note* has and *container* lacks; what was uninstalled in this very container is not missed."""
    if note is None:
        return []
    prefix = root.rstrip("/")
    wanted = note.carried if note.container == container else [*note.found, *note.carried]
    return [each for each in _once(wanted) if each.mark and not os.path.lexists(prefix + each.mark)]


def write(path: str, note: Note) -> None:
    """Raises OSError where the volume does not take it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    document = {
        "version": _VERSION,
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "container": note.container,
        "found": [each._asdict() for each in note.found],
        "carried": [each._asdict() for each in note.carried],
    }
    write_atomically(path, json.dumps(document, indent=1).encode("ascii"), mode=0o600)


def answer(root: str = "/") -> Optional[Answer]:
    """What became of the offer in this container; None if nobody was asked yet, or it was cut off."""
    try:
        with open(root.rstrip("/") + _ANSWER, "rb") as stream:
            document = json.loads(stream.read())
        return Answer(str(document["state"]), [tuple(each) for each in document["left"]])
    except FileNotFoundError:
        return None


def store_answer(given: Answer, root: str = "/") -> None:
    write_atomically(root.rstrip("/") + _ANSWER, json.dumps(given._asdict()).encode("ascii"), mode=0o600)


def _once(packages: Iterable[Package]) -> List[Package]:
    first: Dict[Tuple[str, ...], Package] = {}
    for each in packages:
        first.setdefault(each.key, each)
    return list(first.values())
