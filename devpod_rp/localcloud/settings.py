"""Where the local cloud lives and how it behaves, from paths and environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.localcloud.delays import Delays

_IDLE_SECONDS = 600.0


@dataclass(frozen=True)
class Settings:
    """*idle_seconds*: how long the server outlives its last request when no pod is live."""

    root: Path
    endpoint: Path
    user_catalog: Path | None = None
    delays: Delays = field(default_factory=Delays)
    idle_seconds: float = _IDLE_SECONDS
    heartbeat_seconds: float = 5.0

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite3"

    @property
    def lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raises ConfigurationError for a malformed ``DEVPOD_RP_LOCAL_DELAYS`` or ``DEVPOD_RP_LOCAL_IDLE``."""
        try:
            delays = Delays.parse(environ.get("DEVPOD_RP_LOCAL_DELAYS", ""))
        except ValueError as error:
            raise ConfigurationError(
                f"DEVPOD_RP_LOCAL_DELAYS cannot be used: {error}.",
                hint='it looks like "allocate=0.2,pull=0.3,start=0.1", in seconds.',
            ) from error
        try:
            idle = float(environ.get("DEVPOD_RP_LOCAL_IDLE", _IDLE_SECONDS))
        except ValueError as error:
            raise ConfigurationError(
                f"DEVPOD_RP_LOCAL_IDLE={environ['DEVPOD_RP_LOCAL_IDLE']!r} is not a number of seconds."
            ) from error
        return cls(
            root=paths.local_cloud_dir(),
            endpoint=paths.local_cloud_endpoint(),
            user_catalog=paths.config_dir() / "local-cloud.toml",
            delays=delays,
            idle_seconds=idle,
        )
