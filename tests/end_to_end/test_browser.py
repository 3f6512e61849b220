"""Editors in a browser: a real VS Code workbench and a real notebook kernel on the pod, in a real Chromium here."""

from __future__ import annotations

import hashlib
import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import tools
from tests.end_to_end.conftest import World, eventually
from tests.end_to_end.mirror import Mirror, serving

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

WRITE_IN_THE_WORKBENCH = """
const file = (name) => page.locator(`.explorer-folders-view .monaco-list-row[aria-label*="${name}"]`);
await page.waitForSelector('.monaco-workbench');
for (const name of ['src', 'train.py', 'run.sh']) await file(name).waitFor();
await file('train.py').click();
await page.waitForSelector('.tab[data-resource-name="train.py"]');
await page.locator('.monaco-editor .view-line').first().click();
await page.keyboard.press('Control+End');
await page.locator('.statusbar-item', { hasText: 'Spaces: 3' }).waitFor();
await page.keyboard.type('# typed in the browser', { delay: 10 });
await page.keyboard.press('Control+S');
await page.keyboard.press('Control+Backquote');
await page.waitForSelector('.terminal-wrapper .xterm');
await page.focus('.terminal-wrapper.active .xterm-helper-textarea');
await page.keyboard.type('echo term-$((40+2)) > from-terminal.txt\\n', { delay: 10 });
await file('from-terminal.txt').waitFor();
"""

LOOK_AT_THE_WORKBENCH = """
await page.waitForSelector('.monaco-workbench');
await page.locator('.explorer-folders-view .monaco-list-row[aria-label*="from-terminal.txt"]').waitFor();
await page.locator('.explorer-folders-view .monaco-list-row[aria-label*="train.py"]').click();
await page.locator('.monaco-editor .view-line', { hasText: 'typed in the browser' }).waitFor();
"""

RUN_THE_CELL = """
await page.waitForSelector('#jp-main-dock-panel');
await page.locator('.jp-DirListing-item', { hasText: 'cell.ipynb' }).dblclick();
await page.locator('.jp-Notebook .jp-CodeCell .cm-content').first().click();
await page.locator('#jp-main-statusbar', { hasText: '| Idle' }).waitFor();
await page.keyboard.press('Shift+Enter');
await page.locator('.jp-OutputArea-output', { hasText: 'kernel 42' }).waitFor();
await page.keyboard.press('Control+S');
await page.locator('.lm-TabBar-tab.jp-mod-dirty').waitFor({ state: 'detached' });
"""

# The brackets keep the pattern from meaning the shell that says it.
END_THE_SERVER = "pkill -f '[o]ut/node/entry'; while pgrep -f '[o]ut/node/entry'; do sleep 0.1; done; true"

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": ["print('kernel', 6 * 7)"],
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    tools.need(tools.CODE_SERVER_ARCHIVE, tools.NODE, tools.JUPYTER, "chromium")
    with serving(tools.CODE_SERVER_ARCHIVE) as server:
        yield server


@pytest.fixture(scope="module")
def pod(world: World, mirror: Mirror) -> World:
    digest = hashlib.sha256(tools.CODE_SERVER_ARCHIVE.read_bytes()).hexdigest()
    (world.folder / "devpod-rp.toml").write_text(
        f'[sync]\nmode = "two-way-safe"\n[code_server]\nurl = "{mirror.url}"\nsha256 = "{digest}"\n'
        # As RunPod's images have it: JupyterLab beside the packages that notebooks are about.
        f'[env]\nPATH = "{tools.JUPYTER}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n'
        '[settings]\n"editor.tabSize" = 3\n'
    )
    (world.folder / "cell.ipynb").write_text(json.dumps(NOTEBOOK))
    world.up()
    return world


def opened(pod: World, ide: str) -> dict[str, Any]:
    result = pod.run("open", "--ide", ide, "--no-browser", "--json")
    assert result.exit_code == 0, result.stdout + result.stderr
    document: dict[str, Any] = result.json
    return document


@pytest.fixture(scope="module")
def workbench(pod: World) -> dict[str, Any]:
    return opened(pod, "browser")


def test_typing_in_the_workbench_changes_files_on_the_pod_and_here(pod: World, workbench: dict[str, Any]) -> None:
    page = Path(workbench["sign_in_page"])
    tools.browse(page.as_uri(), "workbench.png", WRITE_IN_THE_WORKBENCH)
    here = pod.folder / "train.py"
    eventually(lambda: "# typed in the browser" in here.read_text(), "what was typed arrives", here.read_text)
    eventually(lambda: (pod.folder / "from-terminal.txt").exists(), "what the terminal wrote arrives")
    assert (pod.folder / "from-terminal.txt").read_text() == "term-42\n"
    assert pod.ssh("tail -1 /workspace/proj/train.py").stdout == "# typed in the browser"
    assert (tools.SCREENSHOTS / "workbench.png").stat().st_size > 10_000


def test_the_secret_is_nowhere_to_be_read(pod: World, workbench: dict[str, Any]) -> None:
    secret, page = workbench["secret"], Path(workbench["sign_in_page"])
    assert page.stat().st_mode & 0o077 == 0
    assert secret in page.read_text()
    for process in psutil.process_iter(["cmdline"]):
        assert secret not in " ".join(process.info["cmdline"] or ())
    assert secret not in pod.run("status", "--json").stdout
    logs = pod.home / "state" / "environments" / "proj"
    assert [path.name for path in logs.rglob("*.log*") if secret in path.read_text()] == []
    readable = pod.ssh("find / -xdev -perm /044 -type f -newer /start.sh -size -1M -not -path '/proc/*' 2>/dev/null")
    assert pod.ssh(f"grep -lF {secret} {' '.join(readable.stdout.split()[:2000])} /dev/null").stdout == ""


def test_without_the_secret_nobody_gets_in(workbench: dict[str, Any]) -> None:
    with urllib.request.urlopen(workbench["url"], timeout=30) as answer:
        assert "/login" in answer.url
        assert workbench["secret"] not in answer.read().decode()


def test_opening_it_again_changes_and_downloads_nothing(pod: World, workbench: dict[str, Any], mirror: Mirror) -> None:
    assert opened(pod, "browser") == workbench
    assert mirror.asked == 1


def test_the_tunnel_is_in_the_status_and_in_the_list(pod: World, workbench: dict[str, Any]) -> None:
    (listed,) = pod.run("forward", "--json").json["forwards"]
    assert listed == pod.run("status", "--json").json["forwards"][0]
    assert (listed["service"], listed["listening"]) == ("code-server", True)
    assert listed["address"] in workbench["url"]
    assert listed["address"] in pod.run("status").stdout


def test_a_server_that_died_is_there_again_when_somebody_comes(pod: World, workbench: dict[str, Any]) -> None:
    assert pod.ssh(END_THE_SERVER).exit_code == 0

    def answers() -> bool:
        try:
            with urllib.request.urlopen(workbench["url"], timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    eventually(answers, "the workbench answers", seconds=90)


def test_the_same_address_works_after_stop_and_up_and_nothing_is_downloaded(
    pod: World, workbench: dict[str, Any], mirror: Mirror
) -> None:
    stopped = pod.run("stop", "--force", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    pod.up()
    tools.browse(Path(workbench["sign_in_page"]).as_uri(), "workbench-after-restart.png", LOOK_AT_THE_WORKBENCH)
    assert opened(pod, "browser") == workbench
    assert mirror.asked == 1


def test_a_notebook_cell_runs_through_a_real_kernel(pod: World) -> None:
    page = Path(opened(pod, "jupyter")["sign_in_page"])
    tools.browse(page.as_uri(), "notebook.png", RUN_THE_CELL)
    here = pod.folder / "cell.ipynb"
    eventually(lambda: "kernel 42" in here.read_text(), "the saved output arrives", here.read_text)


def test_terminals_of_the_workbench_and_kernels_start_with_the_pods_variables(pod: World) -> None:
    for program in ("code-server", "ipykernel"):
        found = pod.ssh(f"tr '\\0' '\\n' < /proc/$(pgrep -f {program} | head -n 1)/environ").stdout.splitlines()
        assert "HF_HOME=/workspace/.devpod/cache/huggingface" in found, program
        assert [line for line in found if line.startswith("RUNPOD_POD_ID=")], program


def test_a_port_is_forwarded_until_it_is_stopped(pod: World) -> None:
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    there = port.getsockname()[1]
    port.close()
    serve = f"cd /workspace/proj && (setsid python3 -m http.server {there} --bind 127.0.0.1 >/dev/null 2>&1 &)"
    assert pod.ssh(serve).exit_code == 0
    forwards = pod.run("forward", f"files={there}", "--json").json["forwards"]
    (made,) = [each for each in forwards if each["label"] == "files"]
    assert made["port"] == there

    def fetched() -> bytes:
        try:
            with urllib.request.urlopen(f"http://{made['address']}/train.py", timeout=30) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            return b""

    eventually(lambda: fetched().startswith(b"print("), "the file comes through the tunnel")
    left = pod.run("forward", "--stop", "files", "--json").json["forwards"]
    assert "files" not in [each["label"] for each in left]
    assert fetched() == b""


def test_an_archive_that_is_not_the_pinned_one_is_refused(pod: World, mirror: Mirror) -> None:
    assert pod.ssh(f"rm -rf /workspace/.devpod_rp/programs; {END_THE_SERVER}").exit_code == 0
    configuration = pod.folder / "devpod-rp.toml"
    before = configuration.read_text()
    configuration.write_text(before.replace('sha256 = "', f'sha256 = "{"0" * 64}"\n#'))
    pod.up()
    refused = pod.run("open", "--ide", "browser", "--no-browser", "--json")
    configuration.write_text(before)
    assert refused.exit_code == 1
    assert refused.json["error"]["kind"] == "service-failed"
    assert "SHA-256" in refused.json["error"]["message"]
    assert pod.ssh("ls -A /workspace/.devpod_rp/programs").stdout == ""


def test_the_extensions_of_the_configuration_come_with_the_editors_server(pod: World) -> None:
    configuration = pod.folder / "devpod-rp.toml"
    before = configuration.read_text()
    configuration.write_text('extensions = ["ms-python.python"]\n' + before)
    pod.up()
    pod.up()
    waiting = "ls /run/devpod_rp/extensions-*.lock | wc -l"
    assert pod.ssh(waiting).stdout == "1\n", "a second up waits for nothing new"
    said = pod.run("open", "--json", PATH="/usr/sbin").json
    configuration.write_text(before)
    assert said["extensions_to_come"] == ["ms-python.python"]
    # As when the editor has connected for the first time and brought its server.
    server = "/root/.vscode-server/cli/servers/Stable-abc/server/bin/code-server"
    assert pod.ssh(
        f"mkdir -p $(dirname {server}) && printf '#!/bin/sh\\necho \"$@\" > /root/asked\\n' > {server}.new"
        f" && chmod 755 {server}.new && mv {server}.new {server}"
    ).exit_code == 0  # fmt: skip
    eventually(
        lambda: "--install-extension ms-python.python" in pod.ssh("cat /root/asked").stdout,
        "the server was asked for the extension",
    )
