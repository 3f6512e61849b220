"""Whatever happens while it runs, `stop` does not end well while something that exists once would be left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

CHANCE = random.Random(5)
EVERYTHING = (
    "cd /root/run && (find . -printf '%p %y %m %u %s %l\\n' | sort; find . -type f -printf '%p %T@\\n' | sort;"
    " find . -type f -print0 | sort -z | xargs -0 sha256sum) | grep -av '^[.] d' | cat -v"
)
WRITER = (
    "mkdir -p /root/live; (i=0; while [ -e /root/live ]; do i=$((i+1)); echo live $i > /root/live/$i; sleep 0.1; done)"
    " </dev/null >/dev/null 2>&1 & echo $!"
)


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    world.up()
    planted = world.ssh(
        "mkdir -p /root/run && cd /root/run && head -c 250000000 /dev/urandom > model.pt"
        " && for i in $(seq 1 200); do echo $i > note$i.md; done"
        # A newline, an escape sequence, a byte that is no UTF-8, and what looks like an option.
        " && for i in 'two\\nlines.md' 'red\\033[31m.md' 'caf\\351.md'; do printf \"$i\" > \"$(printf \"$i\")\"; done"
        " && echo x > ./--rescue && mkdir -m 000 closed && echo shut > closed/in.csv && chmod 000 closed/in.csv"
        " && sha256sum *.* closed/* > /tmp/sums"
    )
    assert planted.exit_code == 0, planted.stderr
    yield world
    world.run("delete", "--yes", "--force")


def status(pod: World) -> str:
    return str(pod.run("status", "--json").json["status"])


def test_a_plain_stop_refuses_and_so_does_one_whose_flags_are_mistyped(pod: World) -> None:
    assert pod.run("stop").exit_code == 7
    assert pod.run("stop", "--resuce").exit_code == 2
    assert pod.run("stop", "--rescue=yes").exit_code == 2
    assert pod.run("check", "--exit-code").exit_code == 7
    assert status(pod) == "RUNNING"


HOLDER = (
    'nohup setsid python3 -c \'import os, time; f = open("/root/held.log", "w"); f.write("held" * 9); f.flush();'
    ' os.unlink(f.name); open("/workspace/held", "w"); time.sleep(5000)\' > /dev/null 2>&1 < /dev/null &'
    " while [ ! -e /workspace/held ]; do sleep 0.05; done"
)


def test_what_only_a_process_still_holds_is_a_sole_copy_and_is_saved(pod: World) -> None:
    assert pod.run("rescue").exit_code == 0
    assert pod.ssh(HOLDER).exit_code == 0
    refused = pod.run("stop", "--json")
    assert refused.exit_code == 7, refused.stdout
    assert "/root/held.log (deleted; process" in refused.json["error"]["message"]
    saved = pod.run("rescue", "--json")
    assert saved.exit_code == 0, saved.stdout
    assert pod.ssh("cat /workspace/.devpod/rescue/*/root/held.log*").stdout == "held" * 9
    assert pod.run("check", "--json").json["safe_to_stop"]
    assert pod.ssh("rm -rf /workspace/.devpod/rescue; pkill -f '[h]eld.log'; true").exit_code == 0


def test_files_that_keep_appearing_while_it_looks_and_saves_hold_the_pod(pod: World) -> None:
    started = pod.ssh(WRITER)
    assert started.exit_code == 0, started.stderr
    try:
        stopped = pod.run("stop", "--rescue", "--json")
        assert stopped.exit_code == 7, stopped.stdout
        assert "/root/live/" in stopped.json["error"]["message"]
        assert status(pod) == "RUNNING"
    finally:
        pod.ssh(f"rm -rf /root/live; kill {started.stdout.strip()}; rm -rf /root/live")


def test_a_volume_that_is_only_a_directory_is_no_place_to_save_to(pod: World) -> None:
    record = pod.home / "state/environments/proj/environment.json"
    before = record.read_text()
    changed = json.loads(before)
    changed["volume"]["path"] = "/data"
    assert pod.ssh("mkdir /data").exit_code == 0
    record.write_text(json.dumps(changed))
    try:
        stopped = pod.run("stop", "--rescue", "--json")
    finally:
        record.write_text(before)
    assert stopped.exit_code == 7, stopped.stdout
    assert status(pod) == "RUNNING"


@pytest.mark.parametrize("flags", [(), ("--rescue",)])
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_an_agent_that_is_killed_while_it_looks_has_seen_nothing(pod: World, flags: tuple[str, ...], turn: int) -> None:
    assert pod.ssh("rm -rf /workspace/.devpod/rescue").exit_code == 0, "there is something to save"
    command = pod.start("stop", *flags)
    # None lives long enough to save a file of that size, on a quick machine either.
    while command.poll() is None:
        if pod.agents():
            time.sleep(CHANCE.uniform(0, 0.08 * turn))
            pod.kill_agents()
    command.communicate(timeout=120)
    assert command.returncode in (6, 7)
    assert status(pod) == "RUNNING"


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("victim", ["the agent", "the command"])
def test_killing_one_of_both_ends_in_the_middle_of_a_rescue_holds_the_pod(pod: World, victim: str, turn: int) -> None:
    # Each time another file to save, so that there is work to be killed in.
    assert pod.ssh("head -c 600000000 /dev/urandom > /root/run/" + f"{turn}{victim[4]}.pt").exit_code == 0
    command = pod.start("stop", "--rescue")
    assert command.stderr is not None
    for line in command.stderr:
        if "saved" in line or "Saving" in line:
            break
    time.sleep(CHANCE.uniform(0, 0.25))
    if victim == "the agent":
        pod.kill_agents()
        command.communicate(timeout=120)
        assert command.returncode in (6, 7)
    else:
        os.kill(command.pid, signal.SIGKILL)
        command.communicate(timeout=120)
    eventually(lambda: status(pod) == "RUNNING", "the pod runs on")
    assert pod.ssh("cd /root/run && sha256sum -c --quiet /tmp/sums").exit_code == 0


def test_status_says_what_is_at_risk_without_being_asked_to_look(pod: World) -> None:
    assert pod.ssh("head -c 7000000 /dev/urandom > /root/run/unseen.pt").exit_code == 0
    # The keeper looks when its link is new.
    pod.kill_agents()

    def counted() -> bool:
        seen = pod.run("status", "--json").json["at_risk"]
        return bool(seen) and seen["files"] >= 1 and seen["bytes"] >= 7_000_000

    eventually(counted, "the keeper has counted it", lambda: pod.run("status").stdout, seconds=90)
    assert " file" in next(line for line in pod.run("status").stdout.splitlines() if "At risk" in line)


def test_a_cloud_that_fails_at_the_stop_is_no_success(pod: World) -> None:
    assert pod.run("local", "fault", '{"errors": {"status": 500, "next": 20, "method": "POST"}}').exit_code == 0
    try:
        stopped = pod.run("stop", "--rescue", "--json")
        assert stopped.exit_code not in (0, 7), stopped.stdout
    finally:
        assert pod.run("local", "fault", "{}").exit_code == 0
    assert status(pod) == "RUNNING"
    assert pod.run("sync", "status", "--json").json["pid"], "whoever looks after the pod goes on"


def test_then_a_stop_that_ends_well_has_left_nothing_behind(pod: World) -> None:
    only_to_be_killed_in = "rm -f /root/run/[12][ac].pt"
    assert pod.ssh(only_to_be_killed_in).exit_code == 0
    held = pod.ssh(EVERYTHING)
    stopped = pod.run("stop", "--rescue", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    pod.up()
    assert pod.ssh("ls /root/run").exit_code != 0, "the container disk was wiped"
    for _ in range(3):
        cut = pod.start("rescue", "restore", "--all")
        assert cut.stderr is not None
        for line in cut.stderr:
            if "Putting" in line:
                break
        time.sleep(CHANCE.uniform(0, 0.4))
        cut.kill()
        cut.communicate(timeout=60)
    restored = pod.run("rescue", "restore", "--all", "--json")
    assert restored.exit_code == 0, restored.stdout
    assert pod.ssh("find / -xdev -name '*.devpod-restore*'").stdout == ""
    # A rescue that was done before its agent was killed holds them, and a restore brings back all that was rescued.
    assert pod.ssh(only_to_be_killed_in).exit_code == 0
    assert pod.ssh(EVERYTHING).stdout.splitlines() == held.stdout.splitlines()


def test_an_agent_that_cannot_look_holds_the_pod_unless_it_is_forced(pod: World) -> None:
    assert pod.ssh("echo damaged > /run/devpod_rp/baseline.json").exit_code == 0
    for flags in ((), ("--rescue",)):
        stopped = pod.run("stop", "--json", *flags)
        assert stopped.exit_code == 7, stopped.stdout
    assert status(pod) == "RUNNING"
    forced = pod.run("stop", "--force")
    assert forced.exit_code == 0
    assert "without looking" in forced.stderr
    pod.up()


def test_a_pod_that_nobody_can_reach_runs_on(pod: World) -> None:
    assert pod.ssh("echo precious > /root/precious").exit_code == 0
    pod.ssh("kill -9 $(pidof sshd)")
    for flags in ((), ("--rescue",), ("--download", str(pod.home / "here"))):
        stopped = pod.run("stop", "--json", *flags)
        assert stopped.exit_code == 7, stopped.stdout
    assert status(pod) == "RUNNING"
    assert pod.run("stop", "--force", "--json").exit_code == 0
