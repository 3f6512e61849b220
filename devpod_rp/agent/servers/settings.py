"""Settings of VS Code on the pod: those of the machine, which go before its user's."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Optional

from devpod_rp.agent.files.atomic import write_atomically

_FILE = os.path.join("Machine", "settings.json")
_NOTED = os.path.join("Machine", ".devpod-settings.json")


def bring(data: str, wanted: Dict[str, Any]) -> Optional[str]:
    """Have *wanted* among the machine's settings in *data*, a server's folder; why not, if they cannot be.

    A setting that somebody changed there stays as it is. One that is wanted no longer goes, unless somebody changed it.
    """
    path, noted = os.path.join(data, _FILE), os.path.join(data, _NOTED)
    try:
        present, ours = _read(path), _read(noted)
    except ValueError:
        return "{0} is no plain JSON and stays as it is".format(path)
    made = dict(present)
    for name in set(ours) - set(wanted):
        if name in made and made[name] == ours[name]:
            del made[name]
    for name, value in wanted.items():
        if name not in made or (name in ours and made[name] == ours[name]):
            made[name] = value
    if made != present:
        write_atomically(path, json.dumps(made, indent=2).encode("utf-8"))
    if wanted != ours:
        write_atomically(noted, json.dumps(wanted).encode("utf-8"))
    return None


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {}
    found = json.loads(text) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
