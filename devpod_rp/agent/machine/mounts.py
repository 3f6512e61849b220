"""What is mounted where, and which of it a stop of the pod wipes. Pure: text in, decisions out.

The format of ``/proc/PID/mountinfo`` is that of proc(5): ``id parent major:minor root point options [tags] - type
source super-options``, with space, tab, newline and backslash as octal escapes.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

# Where RunPod mounts a volume when nobody says otherwise (pods, serverless).
USUAL_VOLUME_PATHS = ("/workspace", "/runpod-volume")

# fmt: off
_PSEUDO = frozenset((
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
    "fuse.lxcfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs",
    "sysfs", "tracefs",
))
_MEMORY = frozenset(("ramfs", "tmpfs"))
# Where the system, and not a person, keeps files in memory; /dev/shm is where people put what must be fast.
_SYSTEM_MEMORY = ("/dev", "/proc", "/run", "/sys", "/var/run")
_SHARED_MEMORY = ("/dev/shm", "/run/shm")  # noqa: S108 - looked at, not written to
# File systems whose bytes live on another machine wherever they are mounted. A FUSE file system that is not named here
# may well store its bytes on the container disk (encfs, bindfs, unionfs), so it is looked into.
_REMOTE = frozenset((
    "beegfs", "ceph", "cifs", "fuse.blobfuse2", "fuse.gcsfuse", "fuse.geesefs", "fuse.glusterfs", "fuse.goofys",
    "fuse.juicefs", "fuse.mfs", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs",
    "lustre", "moosefs", "nfs", "nfs4", "smb3", "wekafs",
))
# fmt: on
# Shared with another machine as well, but not where volumes lie: what a virtual machine or WSL shows of its host.
_OF_THE_HOST = frozenset(("9p", "drvfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"))
# Where ".." of each folder in a folder counts as a link to it. Others say 1 or 2, whatever is in there.
_COUNTING = frozenset(("ext2", "ext3", "ext4", "tmpfs", "xfs"))
_MOOSEFS_SOURCE = "mfs#"  # RunPod's network volumes: ``mfs#euro-3.runpod.net:9421 /workspace fuse``
_OCTAL = re.compile(r"\\([0-7]{3})")


class Role(Enum):
    """What a stop of the pod does to the files of a mount."""

    CONTAINER = "container"  # wiped: the disk, and memory that people keep files in (/dev/shm, a /tmp on tmpfs)
    VOLUME = "volume"  # kept: the mount the environment's volume is
    REMOTE = "remote"  # kept: bytes are on another machine
    MEMORY = "memory"  # gone, and nobody's work: what the system keeps in memory for itself
    PSEUDO = "pseudo"  # no files at all
    READ_ONLY = "read-only"  # the host's or the image's, nobody in the pod can have changed it


class Mount(NamedTuple):
    identifier: int
    parent: int
    device: str
    root: str
    point: str
    options: FrozenSet[str]
    kind: str
    source: str
    super_options: FrozenSet[str]


class Survey(NamedTuple):
    """Every visible mount point and its role; *disguised* says why a declared volume path is none (path -> reason)."""

    roles: Mapping[str, Role]
    disguised: Mapping[str, str]

    @property
    def volumes(self) -> Tuple[str, ...]:
        return tuple(point for point, role in self.roles.items() if role is Role.VOLUME)

    @property
    def container_points(self) -> Tuple[str, ...]:
        """Where the walk begins: `/`, and each mount on the container disk that is not `/`."""
        points = [point for point, role in self.roles.items() if role is Role.CONTAINER]
        return tuple(sorted(set(points) | {"/"}))


def parse(text: str) -> List[Mount]:
    """The mounts of a mountinfo text, in its order. Lines that are not mountinfo raise ValueError."""
    return [_parse_line(line) for line in text.split("\n") if line]


def visible(mounts: Sequence[Mount]) -> List[Mount]:
    """The mounts that a path can still reach; those covered by a later mount, there or higher up, are left out."""
    children: Dict[int, List[Mount]] = {}
    known = {mount.identifier: mount for mount in mounts}
    for mount in mounts:
        children.setdefault(mount.parent, []).append(mount)

    def covered(mount: Mount) -> bool:
        return any(child.point == mount.point and child is not mount for child in children.get(mount.identifier, ()))

    reachable: Dict[int, bool] = {}

    def reach(mount: Mount) -> bool:
        if mount.identifier not in reachable:
            reachable[mount.identifier] = False  # a cycle in a broken table ends here
            parent = known.get(mount.parent)
            beside = (sibling for sibling in children.get(mount.parent, ()) if sibling is not mount)
            hidden = any(lies_below(mount.point, sibling.point) for sibling in beside)
            reachable[mount.identifier] = not hidden and (parent is None or parent is mount or reach(parent))
        return reachable[mount.identifier]

    return [mount for mount in mounts if reach(mount) and not covered(mount)]


def kind_at(path: str, mounts: Sequence[Mount]) -> str:
    """The type of the file system that *path*, which is absolute and free of links, lies on."""
    above = [mount for mount in visible(mounts) if path == mount.point or lies_below(path, mount.point)]
    return max(above, key=lambda mount: len(mount.point)).kind if above else ""


def shared_elsewhere(kind: str) -> bool:
    """Whether files on a file system of this type can change without this kernel taking part."""
    return kind in _REMOTE or kind in _OF_THE_HOST or (kind.startswith("fuse") and kind != "fuseblk")


def counts_folders(kind: str) -> bool:
    """Whether a folder with two links, on a file system of this type, certainly holds no folder."""
    return kind in _COUNTING


def survey(mounts: Sequence[Mount], volume_paths: Optional[Sequence[str]] = None) -> Survey:
    """Decide for every visible mount whether a stop wipes it.

    *volume_paths* are the paths the environment's volumes were declared for (None: RunPod's usual ones). A path is
    believed only if something is mounted exactly there that is neither memory nor a piece of the container disk
    mounted a second time; a mere directory of that name is container disk like everything else.
    """
    declared = [_normal(path) for path in (USUAL_VOLUME_PATHS if volume_paths is None else volume_paths)]
    seen = visible(mounts)
    at_point = {mount.point: mount for mount in seen}
    plain = {mount.point: _role(mount) for mount in seen if mount.point not in declared}
    container = [at_point[point] for point, role in plain.items() if role is Role.CONTAINER]
    roles: Dict[str, Role] = dict(plain)
    disguised: Dict[str, str] = {}
    for path in declared:
        mount = at_point.get(path)
        reason = _why_not_a_volume(mount, path, container)
        if reason is None:
            roles[path] = Role.VOLUME
            continue
        if volume_paths is not None:
            disguised[path] = reason
        if mount is not None:
            roles[path] = _role(mount)
    return Survey(roles, disguised)


def lies_below(path: str, folder: str) -> bool:
    """Whether *path* is strictly inside *folder*, by whole names (``/workspace-old`` is not in ``/workspace``)."""
    return path != folder and path.startswith("/" if folder == "/" else folder + "/")


def _why_not_a_volume(mount: Optional[Mount], path: str, container: Iterable[Mount]) -> Optional[str]:
    if path == "/" or mount is None:
        return "nothing is mounted at {0}: it is a directory on the container disk".format(path)
    if mount.kind in _MEMORY:
        return "{0} is in memory ({1})".format(path, mount.kind)
    if mount.kind in _PSEUDO:
        return "{0} is a {1} mount, not a disk".format(path, mount.kind)
    if mount.kind == "overlay" and mount.root == "/":
        return "{0} is an overlay, whose changes lie on the container disk".format(path)
    for other in container:
        if other.device == mount.device and (other.root == mount.root or lies_below(mount.root, other.root)):
            return "{0} is a directory of the container disk, mounted a second time".format(path)
    return None


def _role(mount: Mount) -> Role:
    if mount.point == "/":
        return Role.CONTAINER
    if mount.kind in _PSEUDO:
        return Role.PSEUDO
    if mount.kind in _MEMORY:
        system = any(mount.point == each or lies_below(mount.point, each) for each in _SYSTEM_MEMORY)
        if mount.point in _SHARED_MEMORY or not (system or _for_one_user(mount)):
            return Role.CONTAINER
        return Role.MEMORY
    if mount.kind in _REMOTE or (mount.kind.startswith("fuse") and mount.source.startswith(_MOOSEFS_SOURCE)):
        return Role.REMOTE
    # A read-only remount of an overlay may hide changes that were made before; a read-only bind of the host cannot.
    if mount.kind != "overlay" and ("ro" in mount.options or "ro" in mount.super_options):
        return Role.READ_ONLY
    return Role.CONTAINER


def _for_one_user(mount: Mount) -> bool:
    """Whether a file system in memory was made for some service: everybody may write to what people work in."""
    modes = [option[len("mode=") :] for option in mount.super_options if option.startswith("mode=")]
    return any(not mode.endswith("777") for mode in modes)


def _parse_line(line: str) -> Mount:
    fields = line.split(" ")
    try:
        separator = fields.index("-", 6)
        kind, source = fields[separator + 1], fields[separator + 2]
        super_options = fields[separator + 3] if len(fields) > separator + 3 else ""
        return Mount(
            identifier=int(fields[0]),
            parent=int(fields[1]),
            device=fields[2],
            root=_unescape(fields[3]),
            point=_unescape(fields[4]),
            options=frozenset(fields[5].split(",")),
            kind=kind,
            source=_unescape(source),
            super_options=frozenset(super_options.split(",")),
        )
    except (ValueError, IndexError):
        raise ValueError("not a line of mountinfo: {0!r}".format(line)) from None


def _unescape(text: str) -> str:
    # Only ASCII characters are escaped, so a byte-wise reading is not needed.
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def _normal(path: str) -> str:
    return "/" + "/".join(name for name in path.split("/") if name)
