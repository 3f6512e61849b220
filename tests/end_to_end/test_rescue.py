"""Saved, stopped, brought back: the container disk of the next pod holds what was rescued from the last one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import DOWN, ENTER, SPACE, UP, Terminal

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

_TRAITS = "stat -c '%n %a %u %g %s %.9Y %N' /root/work /root/work/* && cat /root/work/train.py /root/work/link"


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    world.up()
    yield world
    world.run("delete", "--yes", "--force")


def test_rescued_files_come_back_on_the_next_start_as_they_were(pod: World) -> None:
    made = pod.ssh(
        "mkdir -m 750 /root/work && cd /root/work && echo 'lr = 3' > train.py && ln -s train.py link"
        " && chmod 4750 train.py && touch empty"
        " && truncate -s 50M sparse.bin && chown 1234:99 sparse.bin && touch -d '2001-02-03 04:05:06.789' train.py ."
    )
    assert made.exit_code == 0, made.stderr
    before = pod.ssh(_TRAITS).stdout
    assert pod.run("rescue", "list", "--json").json == {"rescues": []}
    # What was rescued earlier in the same run comes back together with what the stop rescues.
    assert pod.run("rescue").exit_code == 0
    assert pod.ssh("echo straggler > /root/later.md").exit_code == 0
    stopped = pod.run("stop", "--rescue", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    pod.up()
    assert pod.ssh("ls /root/work").exit_code != 0
    listed = pod.run("rescue", "list", "--json").json["rescues"]
    assert stopped.json["rescue"]["destination"] in [each["destination"] for each in listed]
    restored = pod.run("rescue", "restore", "--json")
    assert restored.exit_code == 0, restored.stdout
    assert restored.json["kept"] == []
    assert pod.ssh(_TRAITS).stdout == before
    assert pod.ssh("cat /root/later.md").stdout == "straggler\n"
    report = pod.run("check", "--json").json
    assert report["safe_to_stop"], report


def test_what_is_at_risk_is_downloaded_as_it_is_and_then_the_pod_may_stop(pod: World, tmp_path: Path) -> None:
    made = pod.ssh(
        "mkdir /root/more && cd /root/more && head -c 3000000 /dev/urandom > model.pt && echo n > notes.md"
        " && chmod 640 notes.md && touch -d '2001-02-03 04:05:06.789' notes.md && ln -s notes.md link"
        " && sha256sum model.pt"
    )
    assert made.exit_code == 0, made.stderr
    here = tmp_path / "here"
    first = pod.run("rescue", "--download", str(here), "--json")
    assert first.exit_code == 0, first.stdout
    assert first.json["download"]["files"] >= 3
    assert first.json["download"]["failed"] == []
    more = here / "root/more"
    assert hashlib.sha256((more / "model.pt").read_bytes()).hexdigest() == made.stdout.split()[0]
    assert ((more / "notes.md").stat().st_mode & 0o777, (more / "notes.md").stat().st_mtime_ns) == (
        0o640,
        981_173_106_789_000_000,
    )
    assert os.readlink(more / "link") == "notes.md"
    assert pod.run("stop", "--json").exit_code == 7, "a plain stop knows nothing of copies here"
    assert pod.ssh("echo later > /root/more/notes.md").exit_code == 0
    stopped = pod.run("stop", "--download", str(here), "--json")
    assert stopped.exit_code == 0, stopped.stdout
    assert stopped.json["download"]["already_here"] >= 2
    assert ((more / "notes.md").read_text(), (more / "notes.md.old").read_text()) == ("later\n", "n\n")
    pod.up()
    assert pod.run("rescue", "restore", "--json").exit_code == 0


def test_what_was_written_since_is_kept_and_named(pod: World) -> None:
    assert pod.ssh("echo 'lr = 4' > /root/work/train.py").exit_code == 0
    refused = pod.run("rescue", "restore", "--json")
    assert refused.exit_code == 7
    assert [each["path"] for each in refused.json["kept"]] == ["/root/work/train.py"]
    assert pod.ssh("cat /root/work/train.py").stdout == "lr = 4\n"
    assert pod.run("rescue", "restore", "--overwrite", "--only", "/root/work").exit_code == 0
    assert pod.ssh("cat /root/work/train.py").stdout == "lr = 3\n"


def test_a_rescue_that_does_not_exist_is_named(pod: World) -> None:
    refused = pod.run("rescue", "restore", "--from", "20010101T000000Z", "--json")
    assert refused.exit_code == 2
    assert "20010101T000000Z" in refused.json["error"]["message"]


def test_on_a_terminal_it_shows_a_tree_lets_choose_and_asks_about_the_rest(pod: World) -> None:
    assert pod.ssh("mkdir /root/pick && cd /root/pick && echo 1 > one.py && echo two > two.py").exit_code == 0
    with Terminal(pod, "stop") as terminal:
        terminal.sees("2 files .*exist only on the container disk", "one.py .*source code", "What now")
        terminal.types(DOWN, ENTER)
        terminal.sees("Save which", "two.py")
        terminal.types(SPACE, ENTER)
        terminal.sees("1 file .*exists only", "What now")
        terminal.types(UP, ENTER)
        assert terminal.ends() == 7
    assert pod.run("status", "--json").json["status"] == "RUNNING"
    left = [each for each in pod.run("check", "--json").json["at_risk"] if each["sole_copy"]]
    assert [each["path"][:11] for each in left] == ["/root/pick/"], left
    assert pod.run("rescue").exit_code == 0


def test_what_only_the_volume_has_is_listed_with_its_reason_before_delete_refuses(pod: World) -> None:
    made = pod.ssh(
        "mkdir /workspace/runs && echo weights > /workspace/runs/model.pt"
        " && cd /workspace/proj && echo 'layers = 4' > src/model.py && echo 1 > results.csv"
        " && git init -q /workspace/side && cd /workspace/side && echo x > x.py && git add x.py"
        " && git -c user.name=a -c user.email=a@b.c commit -qm one"
    )
    assert made.exit_code == 0, made.stderr
    report = pod.run("check", "--volume", "--json").json
    assert report["safe_to_stop"] is False
    listed = {each["path"]: each for each in report["at_risk"] if each["sole_copy"]}
    assert listed["/workspace/runs/model.pt"]["size"] == len("weights\n")
    assert "never synchronised" in listed["/workspace/runs/model.pt"]["reason"]
    assert "newer than here" in listed["/workspace/proj/src/model.py"]["reason"]
    assert "never synchronised" in listed["/workspace/proj/results.csv"]["reason"]
    assert "1 commit on ma" in listed["/workspace/side/x.py"]["reason"], "it lies in a repository without a remote"
    assert [each["path"] for each in report["repositories"]] == ["/workspace/side"]
    here_too = {path for path in listed if path.startswith("/workspace/proj/")}
    assert here_too == {"/workspace/proj/src/model.py", "/workspace/proj/results.csv"}
    assert "only on the volume" in pod.run("check", "--volume").stdout
    refused = pod.run("delete", "--yes", "--json")
    assert refused.exit_code == 7
    assert "check --volume" in refused.json["error"]["hint"]
    assert pod.ssh("cat /workspace/runs/model.pt").stdout == "weights\n"


def test_delete_brings_what_only_the_volume_has_here_and_then_ends_it(pod: World, tmp_path: Path) -> None:
    refused = pod.run("rescue", "--volume", "--json")
    assert refused.exit_code == 2, "a volume cannot be rescued to itself"
    here = tmp_path / "here"
    deleted = pod.run("delete", "--yes", "--json", "--download", str(here))
    assert deleted.exit_code == 0, deleted.stdout + deleted.stderr
    assert (here / "workspace/runs/model.pt").read_text() == "weights\n"
    assert (here / "workspace/proj/src/model.py").read_text() == "layers = 4\n"
    assert (here / "workspace/side/.git/HEAD").exists()
    assert pod.run("list", "--json").json["environments"] == []
