"""``keep_disk``: after a stop the container disk of the next pod is as the last one was left, name by name."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(900)]

_WORK = r"""
set -e
umask 022
printf '\nalias work="cd /workspace"\n' >> /root/.bashrc
sed -i 's/^root:/root:/; $a # kept' /etc/services
rm -r /usr/share/doc/base-files
mkdir -p -m 751 /opt/own/deep /srv/data
printf 'lr = 3\n' > /opt/own/deep/train.py
chmod 4750 /opt/own/deep/train.py
touch -d '2001-02-03 04:05:06.789' /opt/own/deep/train.py
ln -s train.py /opt/own/deep/link
ln /opt/own/deep/train.py /opt/own/second-name
truncate -s 300M /opt/own/sparse
printf middle | dd of=/opt/own/sparse bs=1 seek=100000000 conv=notrunc status=none
head -c 9000000 /dev/urandom > /srv/data/noise.bin
mkdir "/srv/data/$(printf 'new\nline')" "/srv/data/ü $(printf '\377')"
printf x > "/srv/data/$(printf 'new\nline')/-f"
mkdir -p /root/.cache/pip && printf cached > /root/.cache/pip/thing
printf 'memory\n' > /dev/shm/tensor
chown 1234:99 /srv/data/noise.bin
python3 -m venv --without-pip /root/fast
site=$(echo /root/fast/lib/python3*/site-packages)
mkdir "$site/pkg"
printf 'value = 42\n' > "$site/pkg/__init__.py"
setfattr -n user.note -v kept /opt/own/second-name 2>/dev/null || true
touch -d '2011-12-13 14:15:16.171819' /opt/own /opt/own/deep
"""
_PLACES = "/opt/own /srv /root/fast /root/.bashrc /etc/services /dev/shm/tensor"
_LOOK = (
    f"export LC_ALL=C; {{ find {_PLACES} -name __pycache__ -prune -o"
    r" -printf '%p %y %m %U %G %s %T@ %n %l\n' | sort; "
    f"find {_PLACES} -name __pycache__ -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; }} | cat -v;"
    " stat -c %i /opt/own/second-name /opt/own/deep/train.py | uniq | wc -l;"
    " test -e /usr/share/doc/base-files || echo deleted; test $(stat -c %b /opt/own/sparse) -lt 4000 && echo sparse"
)
_IMPORT = "cd / && . /root/fast/bin/activate && python -c 'import pkg; print(pkg.value)'"


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    (world.folder / "devpod-rp.toml").write_text("keep_disk = true\n")
    world.up("--gpu", "4090", "--volume", "network:data:20")
    worked = world.ssh(_WORK)
    assert worked.exit_code == 0, worked.stderr
    yield world
    world.run("delete", "--yes", "--force")
    for volume in world.run("volumes", "list", "--json").json["volumes"]:
        assert world.run("volumes", "delete", volume["id"], "--yes").exit_code == 0


def left(pod: World) -> str:
    looked = pod.ssh(_LOOK)
    assert looked.exit_code == 0, looked.stderr
    assert looked.stdout.count("\n") > 40
    assert "deleted\nsparse\n" in looked.stdout
    return looked.stdout


def kept_disks(pod: World) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = pod.run("disk", "list", "--json").json["disks"]
    return listed


def test_a_disk_that_cannot_be_kept_is_not_stopped_silently(pod: World) -> None:
    # What is of nobody's: another keeping holds the place.
    assert pod.ssh("mkdir -p /workspace/.devpod/disk/proj").exit_code == 0
    holding = pod.ssh(
        "nohup flock /workspace/.devpod/disk/proj/.lock sleep 600 > /dev/null 2>&1 < /dev/null & echo $! > /run/holder"
    )
    assert holding.exit_code == 0
    eventually(lambda: pod.ssh("flock -n /workspace/.devpod/disk/proj/.lock true").exit_code == 1, "the place is held")
    refused = pod.run("stop", "--json")
    assert refused.exit_code == 7, refused.stdout
    assert pod.run("status", "--json").json["status"] == "RUNNING"
    assert pod.ssh("pkill -P $(cat /run/holder); rm /run/holder").exit_code == 0


def test_killed_at_any_moment_the_stop_leaves_a_running_pod_or_a_kept_disk(pod: World) -> None:
    before = left(pod)
    for seconds in (1.5, 4.0):
        process = pod.start("stop", "--json")
        time.sleep(seconds)  # the moment is the point, not a wait for something
        process.send_signal(signal.SIGKILL)
        process.communicate()
        pod.up()
        assert left(pod) == before, f"killed after {seconds} s"


def test_the_next_pod_is_as_the_last_one_was_left(pod: World) -> None:
    before, first = left(pod), pod.run("status", "--json").json["pod_id"]
    stopped = pod.run("stop", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    assert stopped.json["status"] == "HIBERNATED"
    kept = stopped.json["kept_disk"]
    assert kept["files"] > 15
    assert kept["failed"] == []
    assert pod.run("status", "--json").json["kept_disk"]["name"] == kept["name"]
    again = pod.up()
    assert again["pod_id"] != first
    assert left(pod) == before
    assert pod.ssh(_IMPORT).stdout == "42\n"
    assert pod.ssh("test -e /root/.cache/pip/thing").exit_code == 1, "caches are not kept"
    assert kept["name"] in [each["name"] for each in kept_disks(pod)]


def test_what_came_back_is_not_at_risk_until_it_is_changed(pod: World) -> None:
    report = pod.run("check", "--json").json
    assert report["safe_to_stop"], report["at_risk"]
    assert report["keeps_disk"]
    assert report["kept_disks"]
    assert pod.ssh("echo 'lr = 4' > /opt/own/deep/train.py").exit_code == 0
    changed = pod.run("check", "--json").json
    names = [(risk["path"], risk["other_names"]) for risk in changed["at_risk"] if risk["sole_copy"]]
    assert names == [("/opt/own/deep/train.py", ["/opt/own/second-name"])], changed["at_risk"]


def test_an_unchanged_disk_is_not_archived_again_and_old_ones_go(pod: World) -> None:
    assert pod.run("stop", "--json").json["kept_disk"]["fresh"]
    pod.up()
    assert not pod.run("stop", "--json").json["kept_disk"]["fresh"]


def test_another_image_gets_what_is_people_s_and_says_what_it_does_not_get(pod: World) -> None:
    up = pod.run("up", "--yes", "--json", "--image", "other/image:1")
    assert up.exit_code == 0, up.stderr
    assert "names of its system stay in the archive" in up.stderr
    assert pod.ssh("cat /opt/own/deep/train.py").stdout == "lr = 4\n"
    assert pod.ssh("grep -c kept /etc/services").stdout == "0\n"
    restored = pod.run("disk", "restore", "--everything", "--json")
    assert restored.exit_code == 0, restored.stdout
    assert json.loads(restored.stdout)["left"] == 0
    assert pod.ssh("grep -c kept /etc/services").stdout == "1\n"
    assert len(kept_disks(pod)) == 2, "older ones went"
