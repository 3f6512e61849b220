"""What an image's name says about the machine it needs. Pure."""

from __future__ import annotations

import re

# As published: runpod/pytorch:1.0.2-cu1281-torch280, pytorch/pytorch:2.4.0-cuda12.4-cudnn9, nvidia/cuda:12.4.1-devel.
_SHORT = re.compile(r"(?<![a-z0-9])cu(1\d)(\d)\d?(?![a-z0-9])")
_LONG = re.compile(r"(?<![a-z])cuda[-_]?(\d{2})\.(\d+)")
_VENDOR = re.compile(r"(?:^|/)cuda:(\d{2})\.(\d+)")


def cuda_floor(image: str) -> str | None:
    """The CUDA version (``12.8``) that the image was built for, so the least its host must offer; None if unsaid."""
    name = image.lower()
    for pattern in (_SHORT, _LONG, _VENDOR):
        match = pattern.search(name)
        if match:
            return f"{match[1]}.{match[2]}"
    return None


def has_start_script(image: str) -> bool:
    """Whether *image* is one of RunPod's own, whose command is ``/start.sh`` (github.com/runpod/containers)."""
    return image.removeprefix("docker.io/").startswith("runpod/")
