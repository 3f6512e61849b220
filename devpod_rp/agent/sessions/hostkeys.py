"""The pod's SSH host keys, kept on its volume, so that a wiped container disk comes back as the same server.

They are only kept for a first process of ours, which restores them before anybody makes new ones. The digests are
written last and checked first: a set that was cut off, or damaged, counts as none, since sshd does not start with half
a key.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from devpod_rp.agent.exposure.examine import survey_mounts
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.agent.wire import Handler, Refusal, Request

PLACE = "/etc/ssh"
SUMS = "SHA256SUMS"
"""In the form that ``sha256sum -c`` reads."""

OUTCOME = "/run/devpod_rp/host-keys"
"""Where our first process notes what came of restoring them: one of the three words below."""

NONE, RESTORED, DAMAGED = "none", "restored", "damaged"

_KEY = re.compile(r"ssh_host_[a-z0-9]+_key(\.pub)?")


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"hostkeys.keep": partial(_keep, root.rstrip("/"), proc)}


def _keep(prefix: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``hostkeys.keep {volume, folder}``: have the present host keys in *folder*, readable by root alone.

    ``restored`` is what came of it at the start of this container, null (and nothing is kept) where nothing restores
    them. Refuses with "not-permitted" where *volume* is no mounted volume, or keeps no permissions.
    """
    volume, folder = str(request.header.get("volume", "")), str(request.header.get("folder", ""))
    outcome = _outcome(prefix)
    if outcome is not None:
        survey = survey_mounts([volume], proc=proc)
        if volume not in survey.volumes:
            raise Refusal("not-permitted", "{0} is no mounted volume".format(volume))
        if not lies_below(folder, volume):
            raise Refusal("bad-request", "the folder does not lie on the volume")
        _write(Path(prefix + folder), _present(prefix))
    yield {"restored": outcome}, b""


def _outcome(prefix: str) -> Optional[str]:
    try:
        return Path(prefix + OUTCOME).read_text("ascii").strip()
    except OSError:
        return None


def _present(prefix: str) -> Dict[str, bytes]:
    """The host keys that have both halves, by file name."""
    place = prefix + PLACE
    names = [name for name in sorted(os.listdir(place)) if _KEY.fullmatch(name)]
    whole = [name for name in names if {name, name[:-4] if name.endswith(".pub") else name + ".pub"} <= set(names)]
    return {name: Path(place, name).read_bytes() for name in whole}


def _write(folder: Path, keys: Dict[str, bytes]) -> None:
    sums = "".join("{0}  {1}\n".format(hashlib.sha256(keys[name]).hexdigest(), name) for name in sorted(keys))
    wanted = dict(keys, **{SUMS: sums.encode("ascii")})
    if not keys or _held(folder) == wanted:
        return
    if folder.is_dir():
        folder.chmod(0o700)
    for name in [*sorted(keys), SUMS]:
        write_atomically(folder / name, wanted[name], mode=0o600)
        if stat.S_IMODE((folder / name).stat().st_mode) & 0o077:
            (folder / name).unlink()
            raise Refusal("not-permitted", "the volume keeps no permissions, so others could read the host keys")
    for name in os.listdir(str(folder)):
        if name not in wanted:
            (folder / name).unlink()


def _held(folder: Path) -> Dict[str, bytes]:
    """What the folder holds; nothing if anything about it, permissions included, is not as we write it."""
    try:
        files = list(folder.iterdir())
        modes = [stat.S_IMODE(each.lstat().st_mode) for each in [folder, *files]]
        return {} if any(mode & 0o077 for mode in modes) else {each.name: each.read_bytes() for each in files}
    except OSError:
        return {}


OPERATIONS: Dict[str, Handler] = operations()
