from __future__ import annotations

import pytest

from devpod_rp.agent.machine.mounts import Role, lies_below, parse, survey, visible

ROOT = "20 1 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u"
RUNPOD = [
    ROOT,
    "21 20 0:51 / /proc rw - proc proc rw",
    "22 20 0:52 / /dev rw - tmpfs tmpfs rw",
    "23 22 0:53 / /dev/pts rw - devpts devpts rw",
    "24 20 0:54 / /sys ro - sysfs sysfs ro",
    "25 20 8:1 /var/lib/docker/containers/c/hosts /etc/hosts rw - ext4 /dev/sda1 rw",
    "26 20 8:1 /usr/bin/nvidia-smi /usr/bin/nvidia-smi ro - ext4 /dev/sda1 rw",
]


def roles(lines, volume_paths=None):
    return survey(parse("\n".join(lines)), volume_paths).roles


def test_octal_escapes_and_optional_fields_are_read():
    [mount] = parse("36 35 98:0 /a\\040b /mnt/x\\011y\\134z rw,noatime master:1 shared:2 - ext3 /dev/r\\040t rw,err=c")
    assert (mount.root, mount.point, mount.source) == ("/a b", "/mnt/x\ty\\z", "/dev/r t")
    assert mount.options == {"rw", "noatime"}
    assert mount.super_options == {"rw", "err=c"}


@pytest.mark.parametrize("line", ["nonsense", "1 2 3", "a b 0:1 / / rw - ext4 x y", "1 2 0:1 / / rw ext4 x y"])
def test_what_is_no_mountinfo_is_refused(line):
    with pytest.raises(ValueError, match="mountinfo"):
        parse(line)


def test_the_mounts_of_a_runpod_pod_are_told_apart():
    found = roles([*RUNPOD, "27 20 253:7 / /workspace rw - xfs /dev/mapper/vol rw"])
    assert found["/"] is Role.CONTAINER
    assert found["/workspace"] is Role.VOLUME
    assert found["/proc"] is found["/sys"] is found["/dev/pts"] is Role.PSEUDO
    assert found["/dev"] is Role.MEMORY
    assert found["/etc/hosts"] is Role.CONTAINER
    assert found["/usr/bin/nvidia-smi"] is Role.READ_ONLY


def test_a_network_volume_of_runpod_is_a_volume_at_its_path_and_remote_elsewhere():
    line = "27 20 0:70 / {} rw - fuse mfs#euro-3.runpod.net:9421 rw"
    assert roles([ROOT, line.format("/workspace")])["/workspace"] is Role.VOLUME
    assert roles([ROOT, line.format("/data")])["/data"] is Role.REMOTE


def test_a_directory_called_workspace_is_no_volume():
    seen = survey(parse(ROOT), ["/workspace"])
    assert seen.volumes == ()
    assert "directory on the container disk" in seen.disguised["/workspace"]


def test_a_mount_beside_the_declared_path_is_no_volume():
    assert survey(parse(ROOT + "\n27 20 8:1 /v /workspace-old rw - ext4 /dev/sdb rw"), ["/workspace"]).volumes == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("27 20 0:60 / /workspace rw - tmpfs tmpfs rw", "in memory"),
        ("27 20 0:61 / /workspace rw - proc proc rw", "proc mount"),
        ("27 20 0:50 /data /workspace rw - overlay overlay rw", "mounted a second time"),
        ("27 20 0:62 / /workspace rw - overlay overlay rw", "overlay"),
    ],
)
def test_a_mount_that_dies_with_the_container_is_no_volume(line, reason):
    seen = survey(parse(ROOT + "\n" + line), ["/workspace"])
    assert seen.volumes == ()
    assert reason in seen.disguised["/workspace"]


def test_in_the_local_cloud_disk_and_volume_are_directories_of_one_file_system():
    lines = [
        "20 1 254:0 /state/pods/p/disk / rw - ext4 /dev/vda rw",
        "21 20 0:80 / /usr rw - overlay overlay rw,upperdir=/u",
        "22 20 254:0 /state/volumes/v /workspace rw - ext4 /dev/vda rw",
    ]
    seen = survey(parse("\n".join(lines)), ["/workspace"])
    assert seen.volumes == ("/workspace",)
    assert seen.container_points == ("/", "/usr")


def test_a_volume_at_an_undeclared_path_counts_only_where_runpod_puts_volumes():
    line = "27 20 8:1 /v {} rw - ext4 /dev/sdb rw"
    assert roles([ROOT, line.format("/runpod-volume")])["/runpod-volume"] is Role.VOLUME
    assert roles([ROOT, line.format("/data")])["/data"] is Role.CONTAINER
    assert roles([ROOT, line.format("/workspace")], [])["/workspace"] is Role.CONTAINER


def test_a_read_only_root_or_overlay_may_hide_earlier_changes_and_is_looked_into():
    found = roles([ROOT.replace("rw,relatime", "ro,relatime"), "27 20 0:81 / /opt ro - overlay overlay ro"])
    assert found["/"] is found["/opt"] is Role.CONTAINER


def test_a_mount_covered_by_a_later_one_is_not_visible():
    over = "30 27 0:60 / /workspace rw - tmpfs tmpfs rw"
    lines = [ROOT, "27 20 8:1 /v /workspace rw - ext4 /dev/sdb rw", over]
    assert [mount.identifier for mount in visible(parse("\n".join(lines)))] == [20, 30]
    assert survey(parse("\n".join(lines)), ["/workspace"]).volumes == ()


def test_a_mount_below_a_directory_that_was_mounted_over_is_not_visible():
    lines = [ROOT, "27 20 8:1 /v /mnt/deep rw - ext4 /dev/sdb rw", "28 20 0:60 / /mnt rw - tmpfs tmpfs rw"]
    assert [mount.point for mount in visible(parse("\n".join(lines)))] == ["/", "/mnt"]


def test_container_disk_mounted_inside_the_volume_is_walked_on_its_own():
    lines = [ROOT, "27 20 8:1 /v /workspace rw - ext4 /dev/sdb rw", "28 27 0:50 /tmp /workspace/tmp rw - overlay o rw"]
    assert survey(parse("\n".join(lines)), ["/workspace"]).container_points == ("/", "/workspace/tmp")


def test_names_are_compared_whole():
    assert lies_below("/workspace/a", "/workspace")
    assert lies_below("/a", "/")
    assert not lies_below("/workspace-old/a", "/workspace")
    assert not lies_below("/workspace", "/workspace")
