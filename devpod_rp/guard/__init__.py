"""What exists only where a stop wipes it, and saving it."""

from devpod_rp.guard.classify import LeftOut, Rebuildable, Risk
from devpod_rp.guard.report import Folder, GuardBlind, Problem, Report, inspect, record_baseline
from devpod_rp.guard.rescue import (
    PastRescue,
    Rescue,
    RescueRefused,
    Restore,
    RestoreRefused,
    list_rescues,
    rescue,
    restore,
)
from devpod_rp.guard.running import DanglingLink, DeletedButOpen, Process

__all__ = [
    "DanglingLink",
    "DeletedButOpen",
    "Folder",
    "GuardBlind",
    "LeftOut",
    "PastRescue",
    "Problem",
    "Process",
    "Rebuildable",
    "Report",
    "Rescue",
    "RescueRefused",
    "Restore",
    "RestoreRefused",
    "Risk",
    "inspect",
    "list_rescues",
    "record_baseline",
    "rescue",
    "restore",
]
