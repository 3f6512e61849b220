"""The container's command in its three spellings: raw ``args``, exec-form ``entrypoint`` and ``cmd``.

``args`` is the stored form: a bare shell string (the CMD), or a JSON object with ``entrypoint`` and ``cmd``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devpod_rp.localcloud.problems import bad_request


@dataclass(frozen=True)
class Command:
    """An exec-form command; both parts empty means the image's own."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        return self.entrypoint + self.cmd


def decode(args: str) -> Command:
    """The command that the stored form *args* describes.

    Raises:
        Problem: 400, *args* is a shell string with an open quote or an object of another shape.
    """
    text = args.strip()
    if text.startswith("{"):
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            document = None
        if isinstance(document, dict) and set(document) <= {"entrypoint", "cmd"}:
            parts = [document.get(key) or [] for key in ("entrypoint", "cmd")]
            if all(isinstance(part, list) and all(isinstance(word, str) for word in part) for part in parts):
                return Command(tuple(parts[0]), tuple(parts[1]))
    try:
        return Command(cmd=tuple(shlex.split(args)))
    except ValueError as error:
        raise bad_request(f"args is not a valid command: {error}") from error


def encode(command: Command) -> str:
    """The stored form of an exec-form command; the empty command is the empty string."""
    document = {"entrypoint": list(command.entrypoint), "cmd": list(command.cmd)}
    kept = {key: words for key, words in document.items() if words}
    return json.dumps(kept) if kept else ""


def stored(body: Mapping[str, Any], present: str = "") -> str:
    """The stored form after *body* (which may hold ``args``, ``cmd``, ``entrypoint``) is applied to *present*.

    Raises:
        Problem: 400, the spellings in *body* describe different commands.
    """
    if "cmd" not in body and "entrypoint" not in body:
        args: str = body.get("args", present)
        decode(args)
        return args
    base = decode(body.get("args", present))
    asked = Command(tuple(body.get("entrypoint", base.entrypoint)), tuple(body.get("cmd", base.cmd)))
    if "args" in body:
        if asked != base:
            raise bad_request("args and entrypoint/cmd describe different commands.")
        return str(body["args"])
    return encode(asked)
