"""Host keys: pinned once over a channel that can be trusted, then demanded ever after.

Every environment has its own known_hosts file with one line, under an alias (``HostKeyAlias``) instead of an address:
RunPod gives ip:port pairs to other pods later, so an address says nothing about identity.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh.directory import make_private

# `ssh-keygen -l` prints unpadded base64 of the 32-byte digest: 43 characters.
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])")
_PUBLIC_KEY = re.compile(r"\b((?:ssh|ecdsa)-[a-z0-9-]+) (AAAA[A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True)
class HostKey:
    """A server's public key: *kind* such as ``ssh-ed25519`` and its base64 blob, as in a known_hosts line."""

    kind: str
    base64: str

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.base64, validate=True)

    @property
    def is_whole(self) -> bool:
        """Whether the blob is a complete key of this kind: length-prefixed fields, the kind first (RFC 4253, 6.6)."""
        try:
            rest = self.blob
        except binascii.Error:
            return False
        fields = []
        while len(rest) >= 4:
            end = 4 + int.from_bytes(rest[:4], "big")
            fields.append(rest[4:end])
            if end > len(rest):
                return False
            rest = rest[end:]
        return not rest and len(fields) > 1 and fields[0] == self.kind.encode()

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` as OpenSSH prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    @property
    def line(self) -> str:
        """``kind base64``, the form in which public keys are stored and passed on."""
        return f"{self.kind} {self.base64}"


def host_key_alias(environment_name: str) -> str:
    """The name under which an environment's host key is known to ``ssh`` (its ``HostKeyAlias``)."""
    return f"{paths.APPLICATION}-{environment_name}"


def offered_host_key(host: str, port: int, timeout: float = 15.0) -> HostKey:
    """The host key that the server at *host*:*port* shows and proves to own, ed25519 preferred; nothing is trusted.

    Raises:
        Unreachable: no SSH server answered within *timeout* seconds.
    """
    from devpod_rp.ssh import transport
    from devpod_rp.ssh.address import Address

    return transport.offered_host_key(Address(host, port), timeout)


def fingerprints_in(text: str) -> set[str]:
    """Every SHA256 fingerprint that *text* (a container log) prints, directly or as a whole public key."""
    printed = set(_FINGERPRINT.findall(text))
    keys = (HostKey(kind, blob) for kind, blob in _PUBLIC_KEY.findall(text))
    # A line cut in the middle of a key vouches for nothing.
    return printed | {key.fingerprint for key in keys if key.is_whole}


def pin(environment_name: str, key: HostKey) -> None:
    """From now on only a server that owns *key* is this environment; replaces what was pinned before."""
    make_private(paths.ssh_dir())
    line = f"{host_key_alias(environment_name)} {key.line}\n"
    write_atomically(paths.known_hosts_file(environment_name), line.encode("ascii"))


def pinned(environment_name: str) -> HostKey | None:
    """The environment's pinned key, or None before the first start.

    Raises:
        ConfigurationError: the file does not hold the one line that :func:`pin` writes.
    """
    path = paths.known_hosts_file(environment_name)
    try:
        fields = path.read_text("ascii").split()
        alias, kind, blob = fields
        key = HostKey(kind, blob)
        valid = alias == host_key_alias(environment_name) and key.is_whole
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise _unreadable(environment_name) from error
    if not valid:
        raise _unreadable(environment_name)
    return key


def forget(environment_name: str) -> None:
    """Drop the environment's pinned key, if any."""
    paths.known_hosts_file(environment_name).unlink(missing_ok=True)


def _unreadable(environment_name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{paths.known_hosts_file(environment_name)} does not hold the pinned host key of {environment_name}.",
        hint=f"remove the file and run: devpod-rp up {environment_name}",
    )
