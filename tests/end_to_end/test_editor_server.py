"""A desktop editor that connects again: its server is on the pod, after a wipe as well, and nothing is downloaded.

The editor is played by the real ssh and a start script such as Remote-SSH sends; its server is a real one, the core of
VS Code as code-server ships it.
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import tools
from tests.end_to_end.conftest import World, eventually
from tests.end_to_end.mirror import Mirror, serving

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

COMMIT = "53c2f3253bcf32886706fc023e794bbeb253c90f"
SERVER = f".vscode-server/bin/{COMMIT}"
# Nothing that a server needs to answer, and half of its size.
LEFT_OUT = (
    "node_modules/@microsoft/mxc-sdk/",
    "node_modules/node-pty/prebuilds/",
    *(f"node_modules/@vscode/{name}/" for name in ("sqlite3", "tree-sitter-wasm", "ripgrep-universal")),
    "node_modules/@vscode/sandbox-runtime/",
)
TOP = "vscode-server-linux-x64/"

CONNECT = f"""
set -e
server=~/{SERVER} state=~/.vscode-server/.{COMMIT}
if [ ! -x $server/bin/code-server ]; then
  mkdir -p $server
  python3 -c 'import shutil, sys, urllib.request as r; shutil.copyfileobj(r.urlopen("URL"), sys.stdout.buffer)' |
    tar -x --strip-components 1 -C $server
fi
if [ ! -e $state.pid ] || ! kill -0 $(cat $state.pid) 2> /dev/null; then
  echo secret > $state.token
  : > $state.log  # before there is a writer: the loop below may be faster than it
  nohup $server/bin/code-server --start-server --host=127.0.0.1 --port=0 --connection-token-file $state.token \\
    --accept-server-license-terms --telemetry-level off > $state.log 2>&1 < /dev/null &
  echo $! > $state.pid
fi
for _ in $(seq 400); do
  port=$(sed -n 's/.*Extension host agent listening on //p' $state.log)
  [ -z "$port" ] || break
  sleep 0.05
done
echo port=$port
"""
EXTENSION = "/workspace/proj/probe.vsix"
CLOSE = "pkill -f '[o]ut/server-main.js'; while pgrep -f '[o]ut/server-main.js' > /dev/null; do sleep 0.05; done; true"
PICTURE = f"cd ~/{SERVER} && find . -type f -printf '%p %i %s %T@\\n' | sort | sha256sum"
EXTENSIONS = f"~/{SERVER}/bin/code-server --accept-server-license-terms --list-extensions"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    tools.need(tools.CODE_SERVER_ARCHIVE)
    archive = tmp_path_factory.mktemp("editor") / "vscode-server.tar"
    _repack(archive)
    with serving(archive) as mirror:
        yield mirror
    archive.unlink()


def _repack(target: Path) -> None:
    """The server within code-server's archive, as the archives of desktop editors have it."""
    with tarfile.open(tools.CODE_SERVER_ARCHIVE) as source, tarfile.open(target, "w") as made:
        for member in source:
            path = member.name.partition("/")[2]
            inside = path.removeprefix("lib/vscode/")
            inside = "node" if path == "lib/node" else inside
            if inside == path or member.isdir() or inside.startswith(LEFT_OUT):
                continue
            if inside.startswith("extensions/") and not inside.startswith("extensions/ini/"):
                continue
            member.name = TOP + inside.replace("code-server-oss", "code-server")
            if member.islnk():
                member.linkname = TOP + member.linkname.partition("/lib/vscode/")[2]
            content = source.extractfile(member) if member.isfile() else None
            if inside == "product.json" and content is not None:
                product = {**json.load(content), "serverDataFolderName": ".vscode-server", "commit": COMMIT}
                data = json.dumps(product).encode()
                member.size = len(data)
                made.addfile(member, io.BytesIO(data))
            else:
                made.addfile(member, content)


class Editor:
    """Connects as Remote-SSH does."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self._ssh = ["ssh", "-F", str(world.ssh_config), "-o", "BatchMode=yes", "-T"]
        self._script = CONNECT.replace("URL", url)

    def connect(self) -> float:
        """Seconds until the server answered through a tunnel of the editor's."""
        began = time.monotonic()
        started = subprocess.run(
            [*self._ssh, "proj.devpod", "bash"], input=self._script, capture_output=True, text=True, timeout=120
        )
        assert started.returncode == 0, started.stderr
        port = int(started.stdout.rpartition("port=")[2])
        with self._tunnel(port) as here:
            answer = eventually(lambda: _version(here), "the server answers", self._log)
        seconds = time.monotonic() - began
        assert answer == COMMIT
        return seconds

    def again(self) -> float:
        """The same, once its server has been shut down."""
        assert self._world.ssh(CLOSE).exit_code == 0
        return self.connect()

    def _log(self) -> str:
        return self._world.ssh(f"cat ~/.vscode-server/.{COMMIT}.log").stdout

    @contextmanager
    def _tunnel(self, port: int) -> Iterator[int]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            here = probe.getsockname()[1]
        command = [*self._ssh, "-N", "-L", f"127.0.0.1:{here}:127.0.0.1:{port}", "proj.devpod"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as tunnel:
            try:
                yield here
            finally:
                tunnel.terminate()


def _version(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=30) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return None  # the tunnel is not there yet


@pytest.fixture(scope="module")
def editor(world: World, mirror: Mirror) -> Editor:
    configure(world, "auto")
    _extension(world.folder / "probe.vsix")
    world.up()
    return Editor(world, mirror.url)


@pytest.fixture(scope="module")
def equipped(world: World, editor: Editor, mirror: Mirror) -> Editor:
    """The editor once its first connection has brought its server and the project's extension to the pod."""
    editor.connect()
    assert mirror.asked == 1
    assert world.run("open", "--json", PATH="/usr/sbin").json["extensions_to_come"] == [EXTENSION]
    eventually(lambda: world.ssh(EXTENSIONS).stdout.split() == ["us.probe"], "the extension is installed", seconds=60)
    return editor


def _extension(target: Path) -> None:
    package = {"name": "probe", "publisher": "us", "version": "1.0.0", "engines": {"vscode": "*"}}
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("extension/package.json", json.dumps(package))


def configure(world: World, editors: str) -> None:
    wishes = f'extensions = ["{EXTENSION}"]\n[persist]\neditors = "{editors}"\n'
    (world.folder / "devpod-rp.toml").write_text(wishes)


def wipe(world: World) -> None:
    stopped = world.run("stop", "--force", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    world.up()


def quick_enough(world: World, editor: Editor) -> bool:
    """Whether a connection after a wipe takes at most twice as long as one without, a moment later on the same machine.

    A busy machine gets three chances.
    """
    for _ in range(3):
        after = editor.connect()
        usual = editor.again()
        print(f"\nconnected in {after:.2f} s after a wipe, in {usual:.2f} s without one")
        if after <= 2 * usual:
            return True
        wipe(world)
    return False


def test_linked_to_the_volume_it_takes_no_longer_and_downloads_nothing(
    world: World, equipped: Editor, mirror: Mirror
) -> None:
    before = world.ssh(PICTURE).stdout
    wipe(world)
    assert world.ssh(PICTURE).stdout == before, "every file with its inode and time"
    assert quick_enough(world, equipped)
    assert world.ssh(EXTENSIONS).stdout.split() == ["us.probe"]
    assert mirror.asked == 1


def test_out_of_an_archive_it_takes_no_longer_and_downloads_nothing(
    world: World, equipped: Editor, mirror: Mirror
) -> None:
    configure(world, "archived")
    wipe(world)
    assert world.ssh("test -L ~/.vscode-server").exit_code == 1, "it runs from the container disk"
    assert world.ssh("ls -A /workspace/.devpod/persist/proj/home/.vscode-server/bin").stdout == ""
    assert quick_enough(world, equipped)
    assert world.ssh(EXTENSIONS).stdout.split() == ["us.probe"]
    assert mirror.asked == 1


def test_another_version_is_archived_while_the_pod_runs_and_nothing_is_at_risk(world: World, equipped: Editor) -> None:
    bring = (
        "cd ~/.vscode-server/bin && mkdir -p new/bin && cp -p */bin/code-server new/bin/ && echo 1 > new/product.json"
    )
    assert world.ssh(bring).exit_code == 0
    listed = "ls -A /workspace/.devpod/persist/proj/servers"
    eventually(
        lambda: "%2Fbin%2Fnew@" in world.ssh(listed).stdout,
        "it is archived",
        lambda: world.ssh(listed).stdout,
        seconds=90,
    )
    assert world.run("check", "--json").json["at_risk"] == []
    wipe(world)
    assert world.ssh("cat ~/.vscode-server/bin/new/product.json").stdout == "1\n"


def test_linked_again_nothing_is_downloaded_either(world: World, equipped: Editor, mirror: Mirror) -> None:
    configure(world, "linked")
    wipe(world)
    assert world.ssh("readlink ~/.vscode-server").stdout.startswith("/workspace/")
    equipped.connect()
    assert world.ssh(EXTENSIONS).stdout.split() == ["us.probe"]
    assert mirror.asked == 1
