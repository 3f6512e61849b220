"""Nobody has made anything yet: a fresh pod of each template, and an open editor and notebook that idle, lose nothing.

DEVPOD_RP_IDLE_SECONDS says how long they idle; ten minutes (600) is what the promise is about.
"""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.spec.templates import list_templates
from tests import tools
from tests.end_to_end.conftest import World, eventually
from tests.end_to_end.test_browser import NOTEBOOK, RUN_THE_CELL

IDLE_SECONDS = float(os.environ.get("DEVPOD_RP_IDLE_SECONDS", "45"))
TEMPLATES = [each.name for each in list_templates() if each.builtin]

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(int(600 + 2 * IDLE_SECONDS))]

# As RunPod's start script runs it, and as code-server is run by hand: what they keep lies in the home.
SERVERS = """
set -eu
cd /
mkdir -p /workspace/programs
tar -xzf {archive} -C /workspace/programs
export PATH={jupyter}:$PATH
nohup setsid jupyter lab --allow-root --no-browser --port={notebook} --ip=127.0.0.1 --IdentityProvider.token= \
  --FileContentsManager.delete_to_trash=False --ServerApp.preferred_dir=/workspace --ServerApp.root_dir=/workspace \
  > /jupyter.log 2>&1 < /dev/null &
nohup setsid /workspace/programs/*/bin/code-server --auth none --config /workspace/editor.yaml \
  --bind-addr 127.0.0.1:{editor} /workspace/proj > /dev/null 2>&1 < /dev/null &
"""
EDIT = """
await page.waitForSelector('.monaco-workbench');
const file = page.locator('.explorer-folders-view .monaco-list-row[aria-label*="train.py"]');
await file.waitFor();
await file.click();
await page.waitForSelector('.tab[data-resource-name="train.py"]');
"""
IDLE = "await page.waitForTimeout(Number(words[0]) * 1000);"


@pytest.fixture(scope="module")
def quiet(world: World) -> Iterator[World]:
    tools.need(tools.CODE_SERVER_ARCHIVE, tools.NODE, tools.JUPYTER, "chromium")
    # What editors and notebooks leave is to lie on the container disk, where it could be taken for work.
    (world.folder / "devpod-rp.toml").write_text("[persist]\ndefaults = false\n")
    (world.folder / "cell.ipynb").write_text(json.dumps(NOTEBOOK))
    world.up()
    yield world
    world.run("delete", "--yes", "--force")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_fresh_pod_of_each_template_has_nothing_at_risk(world: World, template: str, tmp_path: Path) -> None:
    folder = tmp_path / template
    folder.mkdir()
    made = world.run("up", "--yes", "--json", "--template", template, cwd=folder)
    assert made.exit_code == 0, made.stdout + made.stderr
    try:
        report = world.run("check", template, "--json").json
        assert report["safe_to_stop"], report
        assert (report["at_risk"], report["rebuildable"], report["processes"]) == ([], [], [])
    finally:
        ended = world.run("delete", template, "--yes", "--force", "--json").json
        if ended["kept_volume"]:
            assert world.run("volumes", "delete", ended["kept_volume"], "--yes").exit_code == 0


def test_an_open_editor_and_a_running_notebook_that_idle_are_no_loss(quiet: World) -> None:
    notebook, editor = _port(), _port()
    script = SERVERS.format(archive=tools.CODE_SERVER_ARCHIVE, jupyter=tools.JUPYTER, notebook=notebook, editor=editor)
    started = quiet.ssh(script)
    assert started.exit_code == 0, started.stderr
    for port in (notebook, editor):
        eventually(lambda port=port: _answers(port), "the server answers", seconds=120)
    # The pod shares this machine's network.
    pages = (
        (f"http://127.0.0.1:{editor}/?folder=/workspace/proj", "quiet-editor.png", EDIT),
        (f"http://127.0.0.1:{notebook}/lab/tree/proj", "quiet-notebook.png", RUN_THE_CELL),
    )
    with ThreadPoolExecutor() as browsers:
        for sat in [browsers.submit(_sits_before, *page) for page in pages]:
            sat.result()
    report = quiet.run("check", "--json").json
    alarms = [risk["path"] for risk in report["at_risk"] if risk["sole_copy"]]
    everything = len(report["at_risk"]) + sum(each["files"] for each in report["left_out"])
    print(f"idled {IDLE_SECONDS:.0f} s: {everything} files written, {len(alarms)} alarms: {alarms}")
    print({each["rule"]: each["files"] for each in report["left_out"]})
    assert everything > 10, "they did write something"
    assert alarms == []
    assert report["safe_to_stop"], report["problems"]
    assert any("ipykernel" in each["command"] for each in report["processes"])


def _sits_before(address: str, picture: str, visit: str) -> None:
    tools.browse(address, picture, visit + IDLE, str(IDLE_SECONDS), timeout=240 + IDLE_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _port() -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
