"""The stamp on every pod we make: which installation made it, for which environment."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments import Environment
from devpod_rp.errors import ConfigurationError

if TYPE_CHECKING:
    from devpod_rp.runpod.model import Pod

VARIABLE = "DEVPOD_RP_OWNER"
_STAMP = re.compile(r"([0-9a-f]{16})/([0-9a-f]{8})/([a-z0-9][a-z0-9-]{0,38})")


@dataclass(frozen=True)
class Stamp:
    """Who made a pod, in the value of its variable :data:`VARIABLE`."""

    installation: str
    environment_id: str
    name: str

    def __str__(self) -> str:
        return f"{self.installation}/{self.environment_id}/{self.name}"


def stamp(environment: Environment) -> str:
    """The stamp for a pod of *environment* that this installation is about to make."""
    return str(Stamp(installation_id(), environment.id, environment.name))


def stamp_of(pod: Pod) -> Stamp | None:
    """The stamp on *pod*, None if it has none: then it is not ours to touch."""
    match = _STAMP.fullmatch(pod.env.get(VARIABLE, ""))
    return Stamp(match[1], match[2], match[3]) if match else None


def made_here(pod: Pod) -> bool:
    """Whether this installation made *pod*."""
    found = stamp_of(pod)
    return found is not None and found.installation == installation_id()


def installation_id() -> str:
    """Sixteen hex digits, made at the first call.

    Raises:
        ConfigurationError: the file that keeps them cannot be read or holds something else.
    """
    path = paths.installation_file()
    try:
        known = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        known = secrets.token_hex(8)
        write_atomically(path, known.encode("ascii"))
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", hint="delete it; a new one is made.") from error
    if not re.fullmatch(r"[0-9a-f]{16}", known):
        raise ConfigurationError(f"{path} holds no installation id.", hint="delete it; a new one is made.")
    return known
