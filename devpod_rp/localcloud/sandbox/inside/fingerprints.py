"""Prints the fingerprints of this pod's SSH host keys the way ``ssh-keygen -l`` does, for images that lack it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

_NAMES = {
    "ssh-ed25519": ("256", "ED25519"),
    "ecdsa-sha2-nistp256": ("256", "ECDSA"),
    "ecdsa-sha2-nistp384": ("384", "ECDSA"),
    "ecdsa-sha2-nistp521": ("521", "ECDSA"),
    "ssh-rsa": ("3072", "RSA"),
}


def line(public_key: str) -> str:
    """``256 SHA256:… root@pod (ED25519)`` for the content of one ``.pub`` file."""
    kind, encoded, *comment = public_key.split(None, 2)
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(encoded)).digest()).decode("ascii").rstrip("=")
    bits, name = _NAMES.get(kind, ("0", kind))
    return f"{bits} SHA256:{digest} {' '.join(comment).strip() or 'no comment'} ({name})"


def main() -> None:
    for path in sorted(Path("/etc/ssh").glob("ssh_host_*.pub")):
        print(f"Key: {path}\n{line(path.read_text(encoding='utf-8'))}")  # noqa: T201


if __name__ == "__main__":
    main()
