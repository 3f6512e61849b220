"""What the machine under the container really has, as its driver tells it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Iterator, List, Optional, Tuple

from devpod_rp.agent.wire import Header, Request

_SECONDS = 20.0
_CUDA = re.compile(r"CUDA Version:\s*(\d+\.\d+)")


def gpus(_request: Request) -> Iterator[Tuple[Header, bytes]]:
    """Op ``machine.gpus``: ``gpus`` are the names of the GPUs that work, null where nvidia-smi is not there to ask;
    ``cuda`` is the newest CUDA version that the driver supports, null if it does not say.
    """
    yield {"gpus": names_of_gpus(), "cuda": cuda_of_driver()}, b""


def names_of_gpus() -> Optional[List[str]]:
    """One name per working GPU; a driver that fails has none."""
    printed = _asked("--query-gpu=name", "--format=csv,noheader")
    return None if printed is None else [line.strip() for line in printed.splitlines() if line.strip()]


def cuda_of_driver() -> Optional[str]:
    found = _CUDA.search(_asked() or "")
    return found.group(1) if found else None


def _asked(*arguments: str) -> Optional[str]:
    """What nvidia-smi prints, nothing if it fails; None if there is no nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


OPERATIONS = {"machine.gpus": gpus}
