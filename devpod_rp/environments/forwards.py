"""The local ports that lead to an environment's pod, as they are remembered between two runs of its keeper.

The keeper alone writes; the file is private, because the tunnels of our own services carry a secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments.record import CorruptRecord

_FORMAT = 1


@dataclass(frozen=True)
class Forward:
    """*port* on the pod's loopback at *local_port* of this machine; *exact*: at no other.

    *from_spec*: asked for by ``forward_ports``, and gone with it. *service* is one of ours, which takes another port at
    every start (*port* is None) and knows its user by *secret*.
    """

    port: int | None
    local_port: int | None
    label: str | None = None
    exact: bool = False
    from_spec: bool = False
    service: str | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What tells it from the others."""
        return self.service or str(self.port)

    def as_json(
        self, *, listening: bool = False, connections: int = 0, activity: str | None = None, problem: str | None = None
    ) -> dict[str, Any]:
        """The stable form of ``status`` and ``forward``, without the secret."""
        return {
            "port": self.port,
            "local_port": self.local_port,
            "address": f"127.0.0.1:{self.local_port}" if self.local_port else None,
            "label": self.label,
            "service": self.service,
            "listening": listening,
            "connections": connections,
            "activity": activity,
            "problem": problem,
        }


def read_forwards(name: str) -> list[Forward]:
    """What environment *name* had last.

    Raises:
        CorruptRecord: the file cannot be read.
    """
    path = _file(name)
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ValueError(f'"format" is {document["format"]!r}')
        return [Forward(**each) for each in document["forwards"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(
            f"{path} cannot be read: {error}.", hint="delete it; devpod-rp forward makes the tunnels again."
        ) from error


def write_forwards(name: str, forwards: list[Forward]) -> None:
    document = {"format": _FORMAT, "forwards": [asdict(each) for each in forwards]}
    write_atomically(_file(name), json.dumps(document, indent=2).encode("utf-8") + b"\n")


def _file(name: str) -> Path:
    return paths.environment_dir(name) / "forwards.json"
