"""paramiko without Invoke, which takes as long to load as all the rest and 7 MB.

Only paramiko's reader of ssh_config(5), which we do not use, runs commands with it, and paramiko works where it is
missing (``paramiko/config.py``).
"""

from __future__ import annotations

import sys
from importlib import import_module

_INVOKE = "invoke"

if _INVOKE not in sys.modules and "paramiko" not in sys.modules:
    sys.modules[_INVOKE] = None  # type: ignore[assignment]  # what makes an import say that there is none
    try:
        import_module("paramiko")
    finally:
        del sys.modules[_INVOKE]

import paramiko  # noqa: E402 - this is what it is for

__all__ = ["paramiko"]
