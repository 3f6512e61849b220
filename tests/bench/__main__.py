"""Run every benchmark and print its ratio; exits 1 if one misses its bar."""

from __future__ import annotations

import sys

from tests.bench import disk, guard, startup


def main() -> int:
    results = [startup.measure(), guard.measure(), *disk.measure()]
    for result in results:
        print(result)
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
