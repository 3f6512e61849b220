"""``devpod-rp`` and ``python -m devpod_rp``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the return value is the process's exit code."""
    from devpod_rp.cli.app import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
