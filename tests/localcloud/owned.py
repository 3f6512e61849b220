"""A local cloud where the launcher looks for its own, with doubles for pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devpod_rp import paths
from tests.localcloud.conftest import LocalCloud
from tests.localcloud.double import DoubleHost, quick_settings


@contextmanager
def owned_cloud(base: Path) -> Iterator[LocalCloud]:
    """The local cloud of the home that ``DEVPOD_RP_HOME`` names, already running."""
    settings = dataclasses.replace(
        quick_settings(base), root=paths.local_cloud_dir(), endpoint=paths.local_cloud_endpoint()
    )
    running = LocalCloud(settings, DoubleHost()).start()
    try:
        yield running
    finally:
        running.stop()
