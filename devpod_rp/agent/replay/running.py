"""Bringing back in this container what the last one had installed: logged, and proved by what is there then.

The commands run one after the other, detached from whoever asked: when the connection dies, the one that runs comes
to its own end and the later ones do not begin, and the next replay goes on with what is still missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.machine.container import identity
from devpod_rp.agent.replay import note as notes
from devpod_rp.agent.replay.note import Answer
from devpod_rp.agent.replay.plan import steps, still_to_do
from devpod_rp.agent.wire import Handler, Refusal, Request

LOG = DIRECTORY + "/replay.log"
_LOOK_SECONDS = 0.1
_TOLD_SECONDS = 0.5
_TAIL_BYTES = 4000
_REASON = 300
# Nobody is there to be asked, a configuration that was edited stays, another one's lock is waited for, and a system's
# Python that wants to be left alone (PEP 668) was overruled before.
_ENVIRON = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DPKG_FORCE": "confold",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "UV_BREAK_SYSTEM_PACKAGES": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "CONDA_ALWAYS_YES": "1",
}

Steps = Iterator[Tuple[Dict[str, Any], bytes]]


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {
        "replay.note": partial(_note, root, proc),
        "replay.offer": partial(_offer, root, proc),
        "replay.run": partial(_run, root, proc),
        "replay.decline": partial(_decline, root, proc),
    }


def _note(root: str, proc: Path, request: Request) -> Steps:
    """Op ``replay.note {volume, name}``, body: a JSON list of packages, all that were found in this container."""
    volume, name = _place(request)
    try:
        found = [Package(**each) for each in json.loads(request.body)]
    except (ValueError, TypeError) as error:
        raise Refusal("bad-request", "replay.note needs a list of packages") from error
    try:
        notes.keep(volume, name, found, root=root, proc=proc)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    yield {}, b""


def _offer(root: str, proc: Path, request: Request) -> Steps:
    """Op ``replay.offer {volume, name}``: ``{answer}`` (null: not asked yet), body ``{commands, packages}``."""
    volume, name = _place(request)
    given = notes.answer(root)
    lacking = _lacking(volume, name, root, proc)
    planned = steps(lacking, has_uv=shutil.which("uv") is not None)
    body = {"commands": [each.command for each in planned], "packages": [each._asdict() for each in lacking]}
    yield {"answer": given.state if given else None}, json.dumps(body).encode("ascii")


def _decline(root: str, proc: Path, request: Request) -> Steps:
    """Op ``replay.decline {volume, name, forget}``: this container goes without; with *forget* all later ones, too."""
    volume, name = _place(request)
    forget = request.header.get("forget") is True
    notes.store_answer(Answer("forgotten" if forget else "declined", []), root)
    if forget:
        path = notes.location(root.rstrip("/") + volume, name)
        notes.write(path, notes.Note(identity(proc), [], []))
    yield {}, b""


def _run(root: str, proc: Path, request: Request) -> Steps:
    """Op ``replay.run {volume, name}``: frames ``{step, of, command}``, then a body ``{done, failed}``.

    *failed* has ``[name, reason]`` for each package that is not there at the end.
    """
    volume, name = _place(request)
    lacking = _lacking(volume, name, root, proc)
    prefix = root.rstrip("/")
    failed: Dict[Tuple[str, ...], str] = {}
    ready = []
    for each in lacking:
        if each.needs and not os.path.exists(prefix + each.needs):
            failed[each.key] = "{0} is not there; if it was rescued, `devpod-rp rescue restore` brings it".format(
                each.needs
            )
        else:
            ready.append(each)
    planned = steps(ready, has_uv=shutil.which("uv") is not None)
    os.makedirs(prefix + DIRECTORY, mode=0o700, exist_ok=True)
    with open(prefix + LOG, "ab") as log:
        os.fchmod(log.fileno(), 0o600)
        for number, planned_step in enumerate(planned, 1):
            # An environment brings some packages of its own along.
            step = still_to_do(planned_step, _not_there(planned_step.packages, prefix))
            if step is None:
                continue
            place = {"step": number, "of": len(planned)}
            for _ in _carried_out(step.command, log):
                yield dict(place, command=step.command), b""
            for each in _not_there(step.packages, prefix):
                if len(step.packages) > 1:
                    # One that cannot be had must not keep the others away.
                    for _ in _carried_out(each.how, log):
                        yield dict(place, command=each.how), b""
                if _not_there([each], prefix):
                    failed[each.key] = _last_words(prefix + LOG)
    notes.store_answer(Answer("done", list(failed)), root)
    names = {each.key: "{0} {1}".format(each.kind, each.name) for each in lacking}
    outcome = {
        "done": [names[each.key] for each in lacking if each.key not in failed],
        "failed": [[names[key], reason] for key, reason in failed.items()],
    }
    yield {}, json.dumps(outcome).encode("ascii")


def _carried_out(command: str, log: Any) -> Iterator[None]:
    """Run *command* to its end; yields now and then. Whether it brought anything is for others to see."""
    log.write("\n$ {0}\n".format(command).encode("utf-8", "surrogateescape"))
    log.flush()
    running = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={**os.environ, **_ENVIRON},
        start_new_session=True,
    )
    yield
    told = time.monotonic()
    while running.poll() is None:
        time.sleep(_LOOK_SECONDS)
        if time.monotonic() - told >= _TOLD_SECONDS:
            told = time.monotonic()
            yield
    log.write("(exit code {0})\n".format(running.returncode).encode("ascii"))
    log.flush()


def _lacking(volume: str, name: str, root: str, proc: Path) -> List[Package]:
    try:
        noted = notes.read(notes.location(root.rstrip("/") + volume, name))
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    return notes.missing(noted, identity(proc), root)


def _not_there(packages: Sequence[Package], prefix: str) -> List[Package]:
    return [each for each in packages if not os.path.lexists(prefix + each.mark)]


def _last_words(path: str) -> str:
    """What a command that failed had to say: its last line about an error, else its last line."""
    said: List[str] = []
    for line in reversed(_tail(path)):
        if line.startswith("$ "):
            break
        said.append(line)
    errors = [line for line in said if line.lower().startswith(("e:", "error", "fatal", "npm err"))]
    return ((errors or said[1:] or said or [""])[0])[:_REASON]


def _tail(path: str) -> List[str]:
    with open(path, "rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        text = stream.read().decode("utf-8", "replace")
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def _place(request: Request) -> Tuple[str, str]:
    volume, name = request.header.get("volume"), request.header.get("name")
    if not isinstance(volume, str) or not isinstance(name, str) or "/" in name or not name.strip("."):
        raise Refusal("bad-request", "a volume and the name of an environment are needed")
    return volume, name


OPERATIONS = operations()
