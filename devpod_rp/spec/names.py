"""Names of environments: part of a host alias, so lower case letters, digits and dashes."""

from __future__ import annotations

import re

from devpod_rp.errors import ConfigurationError

LONGEST = 39
FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")


def slug(folder_name: str) -> str:
    """The name for an environment of a folder called *folder_name*."""
    name = re.sub(r"[^a-z0-9]+", "-", folder_name.lower()).strip("-")[:LONGEST].strip("-")
    return name or "project"


def validate_name(name: str, where: str) -> str:
    """*name* if it can be an environment's; *where* says in errors what named it.

    Raises:
        ConfigurationError: OpenSSH matches hosts case-sensitively while editors lower-case them, so only
            ``[a-z0-9-]`` is safe in both.
    """
    if not FORM.fullmatch(name):
        raise ConfigurationError(
            f"{where}: {name!r} cannot be the name of an environment.",
            hint=f"use lower case letters, digits and dashes, {LONGEST} at most: {slug(name)}",
        )
    return name
