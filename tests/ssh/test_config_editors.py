"""The user's configuration as VS Code's Remote-SSH deals with it: lists the hosts, and at times writes all of it anew.

With the parser that it uses (npm ``ssh-config``), where `.ci/browser-tools` has installed it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from devpod_rp import paths
from devpod_rp.ssh import config_file
from devpod_rp.ssh.config_file import Outcome
from devpod_rp.ssh.include_line import COMMENT
from tests import tools
from tests.ssh.test_config_file import BOM, entry, resolved
from tests.ssh.test_config_property import as_ssh_reads_it, configurations

_FOREIGN = ("alpha", "beta", "gamma", "delta", "Upper", "upper", "www.example.com", "elsewhere")
# Included files count where the Include stands on top, as Remote-SSH takes it. A "~" is the home in the environment.
_READ = """
import fs from 'node:fs';
import SSHConfig from 'ssh-config';
const load = path => {
  const found = [];
  for (const line of SSHConfig.parse(fs.readFileSync(path, 'utf8'))) {
    const included = line.param === 'Include' ? [line.value].flat().map(each => each.val ?? each) : [];
    const there = included.map(each => each.replace(/^~/, process.env.HOME)).filter(each => fs.existsSync(each));
    if (there.length) found.push(...there.flatMap(load)); else found.push(line);
  }
  return found;
};
const [path] = process.argv.slice(2);
const hosts = load(path).filter(line => line.param === 'Host').flatMap(line => [line.value].flat());
const text = fs.readFileSync(path, 'utf8');
const anew = SSHConfig.stringify(SSHConfig.parse(text));
console.log(JSON.stringify({hosts: hosts.map(each => each.val ?? each), anew}));
"""


def read(path: Path) -> Any:
    return json.loads(tools.node(_READ, str(path)))


def foreign() -> dict[str, tuple[int, str]]:
    return {host: as_ssh_reads_it(host) for host in _FOREIGN}


@pytest.mark.slow
@pytest.mark.timeout(300)
@given(configurations())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_our_hosts_are_listed_and_stay_when_the_file_is_written_anew(home: Path, content: bytes) -> None:
    path = paths.user_ssh_config()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(content.removeprefix(BOM))
    before = foreign()
    path.write_bytes(content)
    config_file.write_hosts([entry("demo"), entry("other")])
    config_file.ensure_include()
    assert foreign() == before

    seen = read(path)
    assert {"demo.devpod", "other.devpod"} <= set(seen["hosts"])

    path.write_bytes(seen["anew"].encode())
    assert config_file.is_included()
    assert config_file.ensure_include() is Outcome.UNCHANGED
    code, _ = as_ssh_reads_it("demo.devpod")
    assert code == 0
    assert resolved("demo.devpod", path)["hostname"] == "203.0.113.7"
    assert foreign() == before

    config_file.remove_include()
    left = path.read_bytes() if path.exists() else b""
    assert COMMENT not in left
    assert os.fsencode(paths.ssh_hosts_file().name) not in re.findall(rb"(?i)include.*", left)


def test_what_we_write_is_what_the_parser_would_write() -> None:
    config_file.write_hosts([entry("demo", stopped=True, on_demand="demo", forward_agent=True), entry("other")])
    assert read(paths.ssh_hosts_file())["anew"] == paths.ssh_hosts_file().read_text()
