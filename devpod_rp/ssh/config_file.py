"""The SSH configuration that ``ssh`` and editors read: our hosts in our own file, one Include in the user's.

Editors rewrite the user's file and complain about much (VS Code reads it with a JavaScript parser), so all hosts live
in a file of ours that is rewritten whole, and the user's file gets one comment and one Include, which survive that.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh.address import Address
from devpod_rp.ssh.directory import make_private
from devpod_rp.ssh.include_line import NotSshConfigurationError, includes_us, with_include, without_include
from devpod_rp.ssh.proxy_command import proxy_command

# URI authorities are lower-cased by editors while OpenSSH matches Host case-sensitively.
_ALIAS = re.compile(r"[a-z0-9][a-z0-9.-]*")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PLAIN_PATH = re.compile(r"[\w./~:@+,-]+")

_HEADER = """\
# The hosts of devpod_rp. Rewritten whole by every command that changes one: edits here are lost.
# Options that are not set here (LocalForward, SendEnv) can be added by a Host block in your own configuration.
"""


@dataclass(frozen=True)
class HostEntry:
    """One environment as ``ssh`` knows it.

    A *stopped* environment stays listed with its last address, so that editors keep showing it: its pinned host key
    makes sure that no other pod which got the address meanwhile is taken for it. *on_demand* is the name of the
    environment that ``ssh`` may start. With *forward_agent* programs there may use the keys of the SSH agent here.
    """

    alias: str
    address: Address
    identity: Path
    known_hosts: Path
    host_key_alias: str
    stopped: bool = False
    on_demand: str | None = None
    forward_agent: bool = False


class Outcome(Enum):
    """What became of the user's file."""

    CREATED = "created"
    ADDED = "added"
    MOVED = "moved"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class NotWritableError(ConfigurationError):
    """The user's SSH configuration cannot be changed by us; *line* is what the user may put at its top."""

    def __init__(self, path: Path, line: str, why: str) -> None:
        super().__init__(
            f"cannot change {path}: {why}.",
            hint=f"put this line at its very top, or point DEVPOD_RP_SSH_CONFIG at another file: {line}",
        )
        self.line = line


def write_hosts(entries: Iterable[HostEntry]) -> None:
    """Replace our hosts file (0600, in a directory 0700) by *entries*, atomically.

    *entries* is consumed under the lock: a generator that reads the records there misses no concurrent change.

    Raises:
        ConfigurationError: a value that would break the file for ``ssh``, or the disk refuses.
    """
    target = paths.ssh_hosts_file()
    try:
        with _locked():
            blocks = [_block(entry) for entry in sorted(entries, key=lambda each: each.alias)]
            write_atomically(target, os.fsencode("\n".join([_HEADER, *blocks])))
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror or error}") from error


def ensure_include() -> Outcome:
    """Make the user's SSH configuration include our hosts file, changing nothing else in it.

    Created (0600) if missing; a symlink is kept and its target written; mode and line ends are kept; nothing is
    written when the Include is there already. Safe against other processes of ours.

    Raises:
        NotWritableError: the file is read-only or unreadable; the error carries the line to add by hand.
    """
    argument = _include_argument()
    with _users_file() as file:
        before = file.read()
        try:
            after = with_include(before, argument, _names_our_file)
        except NotSshConfigurationError as error:
            raise NotWritableError(file.shown, include_line(), str(error)) from error
        if after == before:
            return Outcome.UNCHANGED
        file.write(after)
        if before is None:
            return Outcome.CREATED
        return Outcome.MOVED if without_include(before, _names_our_file) != before else Outcome.ADDED


def remove_include() -> Outcome:
    """Take exactly our lines out of the user's SSH configuration again; a file that was made for them goes with them.

    Raises:
        NotWritableError: the file is read-only or unreadable.
    """
    with _users_file() as file:
        before = file.read()
        if before is None:
            return Outcome.UNCHANGED
        after = without_include(before, _names_our_file)
        if after == before:
            return Outcome.UNCHANGED
        if after is None:
            file.remove()
        else:
            file.write(after)
        return Outcome.REMOVED


def remove_hosts() -> None:
    """Remove our hosts file; the next command that changes a host writes it again.

    Raises:
        ConfigurationError: the disk refuses.
    """
    target = paths.ssh_hosts_file()
    try:
        with _locked():
            target.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot remove {target}: {error.strerror or error}") from error


def is_included() -> bool:
    """Whether the user's SSH configuration includes our hosts file where it takes effect, above every block.

    Raises:
        NotWritableError: the file cannot be read.
    """
    with _users_file() as file:
        content = file.read()
    return content is not None and includes_us(content, _names_our_file)


def include_line() -> str:
    """The line that ``ssh`` needs at the top of the user's configuration."""
    return f"Include {_include_argument()}"


def _block(entry: HostEntry) -> str:
    for value, pattern, what in (
        (entry.alias, _ALIAS, "host alias"),
        (entry.host_key_alias, _USER, "host key alias"),
        (entry.address.host, _HOST, "host name"),
        (entry.address.user, _USER, "user name"),
    ):
        if not pattern.fullmatch(value):
            raise ConfigurationError(
                f"{value!r} cannot be written as {what} of {entry.alias} into {paths.ssh_hosts_file()}."
            )
    options: tuple[tuple[str, str], ...] = (
        ("HostName", entry.address.host.replace("%", "%%")),
        ("Port", str(entry.address.port)),
        ("User", entry.address.user),
        ("IdentityFile", _option_path(entry.identity)),
        ("IdentitiesOnly", "yes"),
        ("HostKeyAlias", entry.host_key_alias),
        ("UserKnownHostsFile", _option_path(entry.known_hosts)),
        ("StrictHostKeyChecking", "yes"),
        ("CheckHostIP", "no"),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "4"),
    )
    if entry.forward_agent:
        options += (("ForwardAgent", "yes"),)
    if entry.on_demand is not None:
        # What got the address of a stopped pod meanwhile is not asked at all.
        port = 0 if entry.stopped else entry.address.port
        options += (("ProxyCommand", proxy_command(entry.address.host, port, entry.alias, entry.on_demand)),)
    # A comment of its own line: VS Code's parser loses those behind a value when it rewrites a file.
    state = f"# {entry.alias} is stopped: this was its last address.\n" if entry.stopped else ""
    return state + f"Host {entry.alias}\n" + "".join(f"  {keyword} {value}\n" for keyword, value in options)


def _include_argument() -> str:
    written = _from_home(paths.ssh_hosts_file())
    # Include reads its argument as a pattern, and since OpenSSH 9.9 with %-tokens.
    if re.search(r"[*?\[\]%]", written):
        raise _unspeakable(written)
    return _quoted(written)


def _option_path(path: Path) -> str:
    return _quoted(_from_home(path).replace("%", "%%"))


def _quoted(path: str) -> str:
    if re.search(r'["\\\x00-\x1f\x7f]|\$\{', path):
        raise _unspeakable(path)
    return path if _PLAIN_PATH.fullmatch(path) else f'"{path}"'


def _unspeakable(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"the path {path!r} cannot be written in an SSH configuration.",
        hint="set DEVPOD_RP_HOME to a folder with a plain name.",
    )


def _from_home(path: PurePath) -> str:
    """*path* as ``~/…`` when OpenSSH reads that as the same place, else absolute; forward slashes always.

    OpenSSH takes ``~`` from the user database and ignores ``$HOME``. On Windows ``~/`` and forward slashes are what
    both Microsoft's and Git's ssh understand.
    """
    home = _home_of_ssh()
    if home is not None and path.is_relative_to(home):
        return "~/" + path.relative_to(home).as_posix()
    return path.as_posix()


def _home_of_ssh() -> Path | None:
    if os.name == "nt":
        return Path.home()
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None  # a container's user without an entry: ssh itself knows no home either


def _names_our_file(argument: str) -> bool:
    home = _home_of_ssh() or Path.home()
    written = Path(argument)
    if argument.startswith("~/"):
        written = home / argument[2:]
    elif not written.is_absolute():
        written = home / ".ssh" / argument  # ssh_config(5): relative to ~/.ssh
    return os.path.normpath(written) == os.path.normpath(paths.ssh_hosts_file())


class _UsersFile:
    """The file behind the user's SSH configuration, symlinks followed."""

    def __init__(self, shown: Path) -> None:
        self.shown = shown
        self._real = Path(os.path.realpath(shown))

    def read(self) -> bytes | None:
        try:
            return self._real.read_bytes()
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        self._real.unlink()

    def write(self, content: bytes) -> None:
        before = self._real.stat() if self._real.exists() else None
        if before is None:
            if not self._real.parent.exists():
                make_private(self._real.parent)
            write_atomically(self._real, content, mode=0o600)
            return
        # Renaming over it would work, but a file without the write bit says: managed by somebody else.
        if not before.st_mode & stat.S_IWUSR or not os.access(self._real, os.W_OK):
            raise PermissionError(None, "it is read-only")
        write_atomically(self._real, content, mode=stat.S_IMODE(before.st_mode))
        if os.name != "nt" and (before.st_uid, before.st_gid) != (self._real.stat().st_uid, self._real.stat().st_gid):
            os.chown(self._real, before.st_uid, before.st_gid)


@contextlib.contextmanager
def _users_file() -> Iterator[_UsersFile]:
    shown = paths.user_ssh_config()
    try:
        with _locked():
            yield _UsersFile(shown)
    except OSError as error:
        raise NotWritableError(shown, include_line(), error.strerror or str(error)) from error


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    from filelock import FileLock

    make_private(paths.ssh_dir())
    with FileLock(paths.ssh_dir() / ".config.lock"):
        yield
