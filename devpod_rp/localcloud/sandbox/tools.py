"""Our own programs in the image: PID 1, the start script's helpers, the embedded SSH server and its libraries."""

from __future__ import annotations

import compileall
import importlib.util
import shlex
import shutil
from pathlib import Path

from devpod_rp.localcloud.sandbox.interpreter import Interpreter, system_python
from devpod_rp.localcloud.sandbox.layout import PYTHON, TOOLS

_HERE = Path(__file__).parent
_INSIDE = _HERE / "inside"
# AsyncSSH and what it imports, directly or not, where it is installed.
_LIBRARIES = ("asyncssh", "cryptography", "cffi", "_cffi_backend", "pycparser", "typing_extensions", "bcrypt")
_SERVE = """\
import sys

from devpod_rp.localcloud.sshd import main

sys.exit(main(sys.argv[1]))
"""
_SSH_SERVER = """\
#!/bin/sh
# usage: ssh-server keys | start | stop | restart | fingerprints
embedded() {{ {python} -E -s -B {tools}/lib/serve.py "$1"; }}

keys() {{
    if ! command -v ssh-keygen >/dev/null 2>&1; then
        embedded keys
        return
    fi
    for type in ed25519 ecdsa; do
        [ -e "/etc/ssh/ssh_host_${{type}}_key" ] || ssh-keygen -q -N "" -t "$type" -f "/etc/ssh/ssh_host_${{type}}_key"
    done
}}

start() {{
    if [ -e {tools}/pod/sshd.json ]; then
        keys && embedded start
    elif [ -e {tools}/pod/sshd_config ]; then
        mkdir -p -m 0755 /run/sshd && keys && /usr/sbin/sshd -f {tools}/pod/sshd_config
    else
        echo "No port is published for SSH."
    fi
}}

stop() {{
    if [ -e {tools}/pod/sshd.json ]; then
        embedded stop
    elif [ -e /run/sshd.pid ]; then
        kill "$(cat /run/sshd.pid)"
    fi
}}

case "$1" in
    keys) keys ;;
    start) start ;;
    stop) stop ;;
    restart | reload | force-reload) stop; start ;;
    fingerprints) {python} -I -B {tools}/fingerprints.py ;;
    *) echo "usage: $0 keys|start|stop|restart|fingerprints" >&2; exit 2 ;;
esac
"""
_PYTHON3 = """\
#!/bin/sh
exec {python} "$@"
"""


def sources() -> list[Path]:
    """The files of ours that the image is made of."""
    return [_HERE.parent / "sshd.py", Path(__file__), *sorted(path for path in _INSIDE.iterdir() if path.is_file())]


def build(image: Path, interpreter: Interpreter) -> None:
    """Add the tools to the layers below *image*; *interpreter* runs them in the pod."""
    target = image / TOOLS.lstrip("/")
    for directory in (target / "lib", target / "pod", image / PYTHON.lstrip("/")):
        directory.mkdir(mode=0o755, parents=True)
    names = {"python": shlex.join(interpreter.command), "tools": TOOLS}
    for name in ("init.py", "fingerprints.py"):
        shutil.copyfile(_INSIDE / name, target / name)
    _script(target / "ssh-server", _SSH_SERVER.format(**names))
    if system_python() is None:
        # The agent needs a python3; this system's is missing or too old.
        (image / "usr" / "local" / "bin").mkdir(mode=0o755, parents=True, exist_ok=True)
        _script(image / "usr" / "local" / "bin" / "python3", _PYTHON3.format(**names))
    _libraries(target / "lib")


def start_script() -> str:
    """The image's ``/start.sh``."""
    return (_INSIDE / "start.sh").read_text(encoding="utf-8")


def _libraries(target: Path) -> None:
    for name in _LIBRARIES:
        found = importlib.util.find_spec(name)
        if found is None:
            continue
        if found.submodule_search_locations:
            source = Path(next(iter(found.submodule_search_locations)))
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif found.origin:
            shutil.copyfile(found.origin, target / Path(found.origin).name)
    inside = target / "devpod_rp" / "localcloud" / "sandbox" / "inside"
    inside.mkdir(mode=0o755, parents=True)
    for package in (inside, *list(inside.parents)[:3]):
        (package / "__init__.py").touch()
    shutil.copyfile(_HERE.parent / "sshd.py", inside.parents[1] / "sshd.py")
    shutil.copyfile(_INSIDE / "sessions.py", inside / "sessions.py")
    (target / "serve.py").write_text(_SERVE, encoding="utf-8")
    # In the pod nothing may be written beside the sources: it would look like the user's.
    compileall.compile_dir(target, quiet=2)


def _script(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)
