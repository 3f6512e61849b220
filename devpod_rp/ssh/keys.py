"""The key pair of this installation: made once, used for every pod, never taken from or given to the user's own."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh.directory import make_private


@dataclass(frozen=True)
class Identity:
    """Our key pair: the file of the private half (0600) and the public half as one authorized_keys line."""

    private: Path
    public: str


def ensure_identity() -> Identity:
    """The installation's ed25519 key pair, made at the first call; processes that race for it get the same one.

    A lost ``.pub`` is written again from the private half, and a private half that others may read is made 0600,
    because ``ssh`` refuses it otherwise.

    Raises:
        ConfigurationError: the private key is there, but is no unencrypted private key, or the disk refuses.
    """
    from filelock import FileLock

    private = paths.ssh_identity()
    public = private.with_name(private.name + ".pub")
    try:
        make_private(private.parent)
        with FileLock(private.with_name("." + private.name + ".lock")):
            if not private.exists():
                write_atomically(private, _generate())
            _keep_private(private)
            line = _public_half(private)
            if not public.exists() or public.read_text("utf-8").strip() != line:
                write_atomically(public, (line + "\n").encode("ascii"), mode=0o644)
    except OSError as error:
        raise ConfigurationError(f"cannot keep our SSH key in {private}: {error.strerror or error}") from error
    return Identity(private, line)


def read_identity() -> Identity:
    """The key pair that is there; nothing is made or mended.

    Raises:
        ConfigurationError: it is no unencrypted private key, or cannot be read.
    """
    private = paths.ssh_identity()
    try:
        return Identity(private, _public_half(private))
    except OSError as error:
        raise ConfigurationError(f"cannot read our SSH key in {private}: {error.strerror or error}") from error


def _generate() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public_half(private: Path) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    try:
        key = load_ssh_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{private} is not an unencrypted SSH private key.",
            hint="move it away; the next command makes a new one (running pods then need their public key replaced).",
        ) from error
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"{line.decode('ascii')} {paths.APPLICATION}"


def _keep_private(private: Path) -> None:
    if stat.S_IMODE(private.stat().st_mode) & 0o077:
        private.chmod(0o600)
