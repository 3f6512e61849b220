"""What exists: one directory per environment, with its record, the intent under way, and its lock.

A record is written whole and atomically, so that it is valid at every moment, whatever is killed.
"""

from __future__ import annotations

from devpod_rp.environments import history
from devpod_rp.environments.choice import AmbiguousEnvironment, pick
from devpod_rp.environments.forwards import Forward, read_forwards, write_forwards
from devpod_rp.environments.intents import Intent, all_intents, clear_intent, read_intent, write_intent
from devpod_rp.environments.lock import EnvironmentBusy, Holder, holder_of, locked
from devpod_rp.environments.record import CorruptRecord, Environment, SshEndpoint, VolumeRecord
from devpod_rp.environments.store import (
    IntentPending,
    NoEnvironment,
    all_environments,
    create,
    find,
    for_folder,
    load,
    record_file,
    remove,
    save,
    stamp,
)

__all__ = [
    "AmbiguousEnvironment",
    "CorruptRecord",
    "Environment",
    "EnvironmentBusy",
    "Forward",
    "Holder",
    "Intent",
    "IntentPending",
    "NoEnvironment",
    "SshEndpoint",
    "VolumeRecord",
    "all_environments",
    "all_intents",
    "clear_intent",
    "create",
    "find",
    "for_folder",
    "history",
    "holder_of",
    "load",
    "locked",
    "pick",
    "read_forwards",
    "read_intent",
    "record_file",
    "remove",
    "save",
    "stamp",
    "write_forwards",
    "write_intent",
]
