"""Everything that people do in pods, played in one real pod: nothing precious is missed, no noise is called work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.end_to_end.conftest import World
from tests.guard.corpus.table import Scenario, matches, scenarios

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(900)]

_PRELUDE = """
set -eu
export GIT_AUTHOR_NAME=Me GIT_AUTHOR_EMAIL=me@example.com GIT_COMMITTER_NAME=Me GIT_COMMITTER_EMAIL=me@example.com
export HOME=/root PIP_ROOT_USER_ACTION=ignore
change() { echo "$1" > "$1"; git add -A; git commit -qm "$1"; }
origin() {
  git init -q --bare -b main /workspace/origins/$1
  git clone -q /workspace/origins/$1 /dev/shm/seed 2> /dev/null
  ( cd /dev/shm/seed; git checkout -q -b main; echo "print()" > train.py; change first; change second; git tag v1
    git push -q --tags origin main )
  rm -rf /dev/shm/seed
}
set +e
"""


@dataclass(frozen=True)
class Seen:
    fresh: Any
    report: Any
    pod_id: str

    @property
    def sole_copies(self) -> list[dict[str, Any]]:
        return [risk for risk in self.report["at_risk"] if risk["sole_copy"]]

    def names(self) -> set[str]:
        return {name for risk in self.sole_copies for name in (risk["path"], *risk["other_names"])}


@pytest.fixture(scope="module")
def seen(world: World) -> Iterator[Seen]:
    # What editors and shells leave is to lie on the container disk here, as in a pod that keeps nothing.
    (world.folder / "devpod-rp.toml").write_text("[persist]\ndefaults = false\n")
    up = world.up()
    fresh = world.run("check", "--json").json
    script = _PRELUDE + "".join(scenario.script() for scenario in scenarios())
    done = subprocess.run(
        ["ssh", "-F", str(world.ssh_config), "-o", "BatchMode=yes", "proj.devpod", "bash", "-s"],
        input=script.encode("utf-8"),
        capture_output=True,
        timeout=600,
        check=False,
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said
    assert "FAILED" not in said, said
    outside = "\n".join(scenario.outside for scenario in scenarios() if scenario.outside)
    entered = ["nsenter", f"--target={_inside(up['pod_id'])}", "--mount", "sh", "-euc", outside]
    done = subprocess.run(entered, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = world.run("check", "--json")
    yield Seen(fresh, result.json, up["pod_id"])
    # A hundred thousand files are more than the reset of a busy machine has time for; mounts stay until the pod ends.
    world.ssh("rm -rf /root/corpus", seconds=300)


def test_a_fresh_pod_has_nothing_at_risk(seen: Seen) -> None:
    assert seen.fresh["safe_to_stop"], seen.fresh
    assert seen.fresh["at_risk"] == []
    assert seen.fresh["processes"] == []


def test_there_are_scenarios_enough() -> None:
    names = [scenario.name for scenario in scenarios()]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_what_is_lost_and_what_is_kept(seen: Seen, scenario: Scenario) -> None:
    named = seen.names()
    missed = [each for each in scenario.lost if not any(matches(path, each) for path in named)]
    assert not missed, f"precious and not named: {missed}"
    wrong = {path for path in named for each in scenario.kept if matches(path, each)}
    assert not wrong, f"named and no loss: {sorted(wrong)[:20]}"
    if scenario.count:
        assert sum(path.startswith(scenario.here) for path in named) == scenario.count
    offered = {f"{each['kind']} {each['name']}".partition("==")[0] for each in seen.report["rebuildable"]}
    assert set(scenario.back) <= offered
    commands = [process["command"] for process in seen.report["processes"]]
    for words in scenario.running:
        assert any(words in command for command in commands), commands
    assert set(scenario.dangling) <= {link["path"] for link in seen.report["dangling"]}
    assert set(scenario.unnamed) <= {each["path"] for each in seen.report["deleted_but_open"]}
    for path in scenario.unnamed:
        assert any(name.startswith(f"{path} (deleted; process ") for name in named)
    if scenario.git:
        said = {each["path"]: each["summary"] for each in seen.report["repositories"]}
        assert scenario.git in said[f"{scenario.here}/proj"]


def test_at_most_two_in_a_hundred_names_are_false_alarms(seen: Seen) -> None:
    held = [f"*{path} (deleted; process *" for scenario in scenarios() for path in scenario.unnamed]
    expected = [*held, *(each for scenario in scenarios() for each in (*scenario.lost, *scenario.may))]
    exact = {each for each in expected if not each.endswith("/**")}
    below = [each for each in expected if each.endswith("/**") or each.startswith("*")]
    alarms = [
        name
        for name in sorted(seen.names())
        if name not in exact and not any(matches(name, each) for each in below) and not _of_this_machine(name)
    ]
    many = len(seen.names()) - 100_000  # the tiny files would hide anything
    assert len(alarms) <= 0.02 * many, alarms


def _of_this_machine(path: str) -> bool:
    """Whether a file came up through the pod's image because something on this machine was installed meanwhile."""
    return path.startswith(("/usr/", "/opt/")) and os.path.lexists(path)


def _inside(pod_id: str) -> int:
    """The pod's oldest process: it lives as long as the pod, while a session's may end before anybody enters it."""
    ours = os.readlink("/proc/self/ns/mnt")
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RUNPOD_POD_ID") == pod_id and os.readlink(f"/proc/{process.pid}/ns/mnt") != ours:
                found.append((process.create_time(), process.pid))
        except (psutil.Error, OSError):
            continue  # it ended meanwhile
    assert found, "no process of the pod is visible from here"
    return min(found)[1]
