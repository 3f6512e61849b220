"""Extensions for a desktop editor's server: real processes, with a server's command that notes how it was called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devpod_rp.agent.servers import extending

SERVER = """\
#!/bin/sh
printf '%s\\n' "$*" >> "{home}/calls"
mkdir -p "{home}/{folder}/extensions/$3-2026.1.0-linux-x64"
"""


def bring_server(home: Path, place: str, folder: str = ".vscode-server") -> Path:
    command = home / folder / place
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(SERVER.format(home=home, folder=folder))
    command.chmod(0o755)
    return command


@pytest.mark.parametrize(
    ("ide", "folder", "place"),
    [
        ("code", ".vscode-server", "cli/servers/Stable-abc/server/bin/code-server"),
        ("code", ".vscode-server", "bin/abc/bin/code-server"),
        ("code-insiders", ".vscode-server-insiders", "bin/abc/bin/code-server-insiders"),
        ("cursor", ".cursor-server", "bin/linux-x64/abc/bin/cursor-server"),
        ("windsurf", ".windsurf-server", "bin/abc/bin/windsurf-server"),
        ("codium", ".vscodium-server", "bin/abc/bin/codium-server"),
    ],
)
def test_what_is_missing_is_installed_with_the_editors_own_command(
    tmp_path: Path, ide: str, folder: str, place: str
) -> None:
    command = bring_server(tmp_path, place, folder)
    assert extending.server_command(ide, str(tmp_path)) == str(command)
    assert extending.see_to(ide, ["ms-python.python", "vscodevim.vim"], 0, str(tmp_path)) == []
    assert (tmp_path / "calls").read_text().splitlines() == [
        "--accept-server-license-terms --install-extension ms-python.python",
        "--accept-server-license-terms --install-extension vscodevim.vim",
    ]
    assert extending.installed(ide, str(tmp_path)) == {"ms-python.python", "vscodevim.vim"}


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    bring_server(tmp_path, "bin/abc/bin/code-server")
    (tmp_path / ".vscode-server/extensions/MS-Python.python-2025.9.1").mkdir(parents=True)
    assert extending.see_to("code", ["ms-python.python"], 0, str(tmp_path)) == []
    assert not (tmp_path / "calls").exists()


def test_a_server_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    left: list[list[str]] = []
    waiting = threading.Thread(target=lambda: left.append(extending.see_to("code", ["a.b"], 60, str(tmp_path))))
    waiting.start()
    bring_server(tmp_path, "cli/servers/Stable-abc/server/bin/code-server")
    waiting.join(60)
    assert left == [[]]


def test_without_a_server_the_wait_ends(tmp_path: Path) -> None:
    assert extending.see_to("code", ["a.b"], 0, str(tmp_path)) == ["a.b"]


def test_of_several_servers_the_newest_is_asked(tmp_path: Path) -> None:
    old, new = (bring_server(tmp_path, f"bin/{name}/bin/code-server") for name in ("old", "new"))
    os.utime(old, (1, 1))
    assert extending.server_command("code", str(tmp_path)) == str(new)


def test_the_request_is_answered_at_once(tmp_path: Path) -> None:
    bring_server(tmp_path, "bin/abc/bin/code-server")
    (tmp_path / ".vscode-server/extensions/a.b-1.0.0").mkdir(parents=True)
    request = json.dumps({"ides": ["code", "cursor"], "extensions": ["a.b"], "settings": {"a": 1}, "seconds": 0}) + "\n"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from devpod_rp.agent.servers.extending import main; main(sys.stdin.buffer)",
        ],
        input=request,
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
        check=True,
    )
    assert json.loads(done.stdout) == {"missing": {"cursor": ["a.b"]}}
    assert json.loads((tmp_path / ".vscode-server/data/Machine/settings.json").read_text()) == {"a": 1}
