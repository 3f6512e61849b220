"""Pods as isolated machines on this one: namespaces, a read-only image made of the system, a container disk each."""

from devpod_rp.localcloud.sandbox.disk import container_log, erase, wipe
from devpod_rp.localcloud.sandbox.model import Machine, Mount, SandboxError, SshServer, Support
from devpod_rp.localcloud.sandbox.probe import probe
from devpod_rp.localcloud.sandbox.sandbox import Sandbox
from devpod_rp.localcloud.sandbox.strays import sweep

__all__ = [
    "Machine",
    "Mount",
    "Sandbox",
    "SandboxError",
    "SshServer",
    "Support",
    "container_log",
    "erase",
    "probe",
    "sweep",
    "wipe",
]
