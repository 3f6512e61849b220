"""What is about to be made and paid for, written down before the request goes out.

The life of an intent, always under the environment's lock:

1. ``write_intent``, naming the pod that is about to exist (its name is unique);
2. the billable call;
3. ``save`` of the record with the new pod's id;
4. ``clear_intent``.

A process may die between any two of these. Whoever takes the lock next and finds an intent looks in the cloud for a
pod of that name and adopts or deletes it, so no pod is ever left that nothing remembers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments.record import FORMAT, Fields


@dataclass(frozen=True)
class Intent:
    """One billable call: *action* says what for ("create", …), *written_at* is ISO 8601 in UTC."""

    action: str
    environment_id: str
    pod_name: str
    details: Mapping[str, Any]
    written_at: str


def write_intent(name: str, intent: Intent) -> None:
    """Make *intent* durable; when this returns, a power cut does not lose it."""
    fields = {"format": FORMAT, **vars(intent), "details": dict(intent.details)}
    write_atomically(_file(name), json.dumps(fields, indent=2).encode("utf-8") + b"\n")


def read_intent(name: str) -> Intent | None:
    """The intent of environment *name* that was not cleared, or None.

    Raises:
        CorruptRecord: there is one and it cannot be read.
    """
    path = _file(name)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    fields = Fields.parse(data, path)
    return Intent(
        action=fields.get("action", str),
        environment_id=fields.get("environment_id", str),
        pod_name=fields.get("pod_name", str),
        details=fields.get("details", dict),
        written_at=fields.get("written_at", str),
    )


def clear_intent(name: str) -> None:
    """The call's outcome is in the record now; clearing twice is harmless."""
    _file(name).unlink(missing_ok=True)


def all_intents() -> dict[str, Intent]:
    """Every intent that was not cleared, by environment; also where no record was ever written.

    Raises:
        CorruptRecord: one of them cannot be read.
    """
    root = paths.environments_dir()
    names = sorted(each.parent.name for each in root.glob("[!.]*/intent.json")) if root.is_dir() else []
    found = ((name, read_intent(name)) for name in names)
    return {name: intent for name, intent in found if intent is not None}


def _file(name: str) -> Path:
    return paths.environment_dir(name) / "intent.json"
