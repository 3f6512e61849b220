"""``python -m devpod_rp.localcloud``: start the local cloud in this process."""

from __future__ import annotations

import sys

from devpod_rp.errors import DevpodError


def main() -> int:
    # Here and not above: a wrong setting is reported before the web server is loaded.
    from devpod_rp.localcloud.settings import Settings

    try:
        settings = Settings.from_environment()
        from devpod_rp.localcloud.host import SandboxHost
        from devpod_rp.localcloud.server import run

        run(settings, SandboxHost())
    except DevpodError as error:
        # The starter sends our standard error to the server's log.
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
