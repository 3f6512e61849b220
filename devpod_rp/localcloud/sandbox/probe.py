"""Finding out whether this machine can run pods."""

from __future__ import annotations

from devpod_rp.localcloud.sandbox.model import Support


def probe() -> Support:
    """Try what a pod needs, for real, and say what is missing."""
    raise NotImplementedError
