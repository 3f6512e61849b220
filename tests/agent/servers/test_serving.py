"""Bringing up servers for a browser: real processes, archives and digests; the program served is a small one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import signal
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.servers.installing import InstallFailed, is_whole, virtual_environment
from devpod_rp.agent.servers.serving import bring_up

pytestmark = pytest.mark.slow

# Takes the flags of code-server, answers on its port, and shows what it was given.
PROGRAM = """\
#!/usr/bin/env python3
import http.server, json, sys
if "--install-extension" in sys.argv:
    sys.exit("no such extension" if "bad.one" in sys.argv else 0)
port = int(sys.argv[sys.argv.index("--bind-addr") + 1].rpartition(":")[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(sys.argv).encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Shelf:
    """A place on the web with the archive, and the request of somebody who wants it."""

    def __init__(self, base: Path, server: ThreadingHTTPServer) -> None:
        self.home, self.run = base / "volume", base / "run"
        self.home.mkdir()
        self.archive = base / "web" / "it.tar.gz"
        self.url = f"http://127.0.0.1:{server.server_port}/it.tar.gz"
        self.said: list[str] = []
        self.fill(PROGRAM)

    def fill(self, program: str) -> None:
        with tarfile.open(self.archive, "w:gz") as tar:
            member = tarfile.TarInfo("code-server-4-linux/bin/code-server")
            member.size, member.mode = len(program), 0o755
            tar.addfile(member, io.BytesIO(program.encode()))

    def request(self, **changes: Any) -> dict[str, Any]:
        digest = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        return {
            "service": "code-server",
            "home": str(self.home),
            "workspace": "/workspace/proj",
            "secret": "s3cret",
            "cookie": "proj",
            "extensions": [],
            "settings": {},
            "archive": {"version": "4", "url": self.url, "sha256": {"amd64": digest, "arm64": digest}},
            "requirement": "nothing==1",
            **changes,
        }

    def up(self, **changes: Any) -> int:
        return bring_up(self.request(**changes), self.said.append, str(self.run))

    @property
    def pid(self) -> int:
        pid: int = json.loads((self.run / "code-server.json").read_text())["pid"]
        return pid


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Shelf(tmp_path, server)
        yield made
        server.shutdown()
        thread.join()
    if (made.run / "code-server.json").exists():
        os.killpg(made.pid, signal.SIGKILL)
        os.waitpid(made.pid, 0)


def test_it_is_downloaded_once_started_once_and_found_again(shelf: Shelf) -> None:
    port = shelf.up()
    assert any(line.startswith("Downloading") for line in shelf.said)
    pid = shelf.pid
    shelf.archive.unlink()
    shelf.said.clear()
    request = shelf.request
    shelf.fill(PROGRAM)
    assert request()["secret"] == "s3cret"
    assert shelf.up() == port
    assert (shelf.pid, shelf.said) == (pid, [])


def test_after_a_wipe_it_starts_from_the_volume(shelf: Shelf) -> None:
    shelf.up()
    os.killpg(shelf.pid, signal.SIGKILL)
    os.waitpid(shelf.pid, 0)
    for file in shelf.run.iterdir():
        file.unlink()
    shelf.said.clear()
    shelf.up()
    assert shelf.said == ["Starting code-server"]


def test_another_secret_takes_another_server(shelf: Shelf) -> None:
    shelf.up()
    before = shelf.pid
    ended = threading.Thread(target=os.waitpid, args=(before, 0))  # its parent is this process
    ended.start()
    shelf.up(secret="another")
    ended.join(30)
    assert shelf.pid != before
    assert "another" in (shelf.run / "code-server.yaml").read_text()


def test_the_secret_is_in_private_files_only(shelf: Shelf) -> None:
    shelf.up()
    holding = [path for path in shelf.run.iterdir() if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.name for path in holding] == ["code-server.yaml"]
    assert holding[0].stat().st_mode & 0o077 == 0
    assert b"s3cret" not in Path(f"/proc/{shelf.pid}/cmdline").read_bytes()
    assert b"s3cret" not in Path(f"/proc/{shelf.pid}/environ").read_bytes()


def test_another_archive_than_the_pinned_one_is_never_unpacked(shelf: Shelf) -> None:
    wanted = {"version": "4", "url": shelf.url, "sha256": {"amd64": "0" * 64, "arm64": "0" * 64}}
    with pytest.raises(InstallFailed, match="SHA-256"):
        shelf.up(archive=wanted)
    assert list((shelf.home / ".devpod_rp" / "programs").iterdir()) == []


def test_an_archive_that_is_not_there_leaves_nothing_half_made(shelf: Shelf) -> None:
    request = shelf.request()
    shelf.archive.unlink()
    with pytest.raises(InstallFailed, match="404"):
        bring_up(request, shelf.said.append, str(shelf.run))
    assert list((shelf.home / ".devpod_rp" / "programs").iterdir()) == []


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(shelf: Shelf) -> None:
    shelf.fill("#!/bin/sh\necho 'no GLIBC_2.28 here' >&2\nexit 3\n")
    with pytest.raises(InstallFailed, match=r"(?s)code 3.*GLIBC"):
        shelf.up()
    (shelf.run / "code-server.json").unlink()


def test_an_extension_that_cannot_be_had_does_not_keep_the_editor_away(shelf: Shelf) -> None:
    shelf.up(extensions=["good.one", "bad.one"])
    assert "The extension bad.one was not installed: no such extension" in shelf.said
    shelf.said.clear()
    shelf.up(extensions=["good.one", "bad.one"])
    assert [line for line in shelf.said if "good.one" in line] == []


def test_first_settings_are_the_users_from_then_on(shelf: Shelf) -> None:
    shelf.up()
    settings = shelf.home / ".devpod" / "code-server" / "User" / "settings.json"
    assert json.loads(settings.read_text())["chat.disableAIFeatures"] is True
    settings.write_text("{}")
    shelf.up()
    assert settings.read_text() == "{}"


def test_a_machine_without_a_release_is_named(shelf: Shelf) -> None:
    with pytest.raises(InstallFailed, match=platform.machine()):
        shelf.up(archive={"version": "4", "url": shelf.url, "sha256": {}})


def test_a_virtual_environment_is_whole_or_not_there(tmp_path: Path) -> None:
    place = tmp_path / "programs" / "lab"
    said: list[str] = []
    virtual_environment(str(place), "pip", said.append)  # what every environment has, so that nothing is fetched
    assert is_whole(str(place))
    with pytest.raises(InstallFailed, match="Invalid requirement"):
        virtual_environment(str(place), "./no-such-package-here", said.append)
    assert not place.exists()
