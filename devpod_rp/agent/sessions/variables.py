"""The variables a pod was started with, for every shell that somebody opens on it.

A container's variables reach its first process, and nobody who logs in: sshd starts with an environment of its own.
RunPod's images write some of them to ``/etc/rp_environment``, unquoted, for anybody to read, and only for interactive
shells (github.com/runpod/containers, issue 70). So they are written here as each shell reads them back unchanged, for
root alone, and every shell is told where they are, in the file that it reads whatever it is started for.

A shell inside a shell sets nothing again: what its user changed since then is theirs. Only PATH is looked at each time,
because ``/etc/profile`` replaces it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine import container
from devpod_rp.agent.wire import Handler, Request

FOLDER = "/etc/devpod_rp"
MARK = "DEVPOD_RP_SESSION"
"""A variable that says that the others were set."""

_SH, _FISH = FOLDER + "/environment.sh", FOLDER + "/environment.fish"
_READ_SH = "if [ -r {0} ]; then . {0}; fi\n".format(_SH)
_READ_FISH = "if test -r {0}; source {0}; end\n".format(_FISH)
# What these say is about the first process, not about who logs in; the others are shells' own, not to be set.
_LEFT_OUT = frozenset(
    (
        "PATH PUBLIC_KEY HOME USER LOGNAME SHELL PWD OLDPWD SHLVL TERM HOSTNAME MAIL _ "
        "IFS UID EUID GID EGID PPID USERNAME GROUPS PS1 PS2 PS3 PS4 SHELLOPTS BASHOPTS BASH_VERSINFO "
        "argv cdpath fpath mailpath manpath options path pipestatus prompt psvar signals status"
    ).split()
)
# A client may send its own along.
_OF_THE_CLIENT = re.compile(rb"LANG|LC_[A-Z]+")
# As devcontainer.json has it; the default ends at the next colon, as its reference implementation reads it.
_OWN = re.compile(rb"\$\{containerEnv:([^:}]*)(?::([^:}]*))?[^}]*\}")
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")

# bash reads its file for "ssh HOST COMMAND", too; distributions have it in different places.
_BASH = ("/etc/bash.bashrc", "/etc/bashrc", "/etc/bash/bashrc")
_ZSH = ("/etc/zsh/zshenv", "/etc/zshenv")
_RUNPODS = "/etc/rp_environment"
_UTF_8 = ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8")

# Read by sh, bash, zsh and their like, also with "set -eu": no command but the shell's own, and nothing is printed.
# The pod's places come first, in their order, then what else was there.
_MISSING_SH = 'case ":${PATH-}:" in *:%s:*) ;; *) _devpod_rp_missing=1 ;; esac\n'
_PATH_SH = """\
if [ -n "$_devpod_rp_missing" ]; then
  _devpod_rp_rest=${PATH-}:
  PATH=%s
  while [ -n "$_devpod_rp_rest" ]; do
    case ":$PATH::" in
    *":${_devpod_rp_rest%%%%:*}:"*) ;;
    *) PATH=$PATH:${_devpod_rp_rest%%%%:*} ;;
    esac
    _devpod_rp_rest=${_devpod_rp_rest#*:}
  done
  export PATH
fi
unset _devpod_rp_missing _devpod_rp_rest
"""
_PATH_FISH = """\
set -l wanted %s
for each in $wanted
    if not contains -- $each $PATH
        set -l rest
        for other in $PATH
            contains -- $other $wanted; or set rest $rest $other
        end
        set -gx PATH $wanted $rest
        break
    end
end
"""


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"sessions.prepare": partial(_prepare, root.rstrip("/"), proc)}


def _prepare(prefix: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``sessions.prepare {only_after_boot}``: have the pod's variables in every new session; harmless when repeated.

    The body is a JSON object of variables that sessions have instead of the pod's, or besides; see :func:`with_wishes`.
    ``booting``: nothing was done, as the start script still runs, and would write over it.
    """
    if request.header.get("only_after_boot") and not container.boot_is_over(container.processes(proc)):
        yield {"booting": True}, b""
        return
    environ = with_wishes(_variables(proc), json.loads(request.body or b"{}"))
    if not {b"LANG", b"LC_ALL", b"LC_CTYPE"} & set(environ) and any(os.path.isdir(prefix + each) for each in _UTF_8):
        # Without a locale programs take a name or a value that is not ASCII for other characters; fish exports those.
        environ[b"LANG"] = b"C.UTF-8"
    _write(prefix + _SH, for_sh(environ), 0o600)
    _write(prefix + _FISH, for_fish(environ), 0o600)
    if os.path.isfile(prefix + _RUNPODS):
        _write(prefix + _RUNPODS, _READ_SH.encode("ascii"), 0o600)
    if os.path.isdir(prefix + "/etc/profile.d"):
        _write(prefix + "/etc/profile.d/devpod_rp.sh", _READ_SH.encode("ascii"), 0o644)
    else:
        _put_below(prefix + "/etc/profile")
    _put_on_top(_first(prefix, _BASH) or prefix + os.path.expanduser("~/.bashrc"))
    zsh = _first(prefix, _ZSH)
    if zsh is not None or os.path.exists(prefix + "/bin/zsh") or os.path.exists(prefix + "/usr/bin/zsh"):
        _put_on_top(zsh or prefix + (_ZSH[0] if os.path.isdir(prefix + "/etc/zsh") else _ZSH[1]))
    if os.path.isdir(prefix + "/etc/fish") or os.path.exists(prefix + "/usr/bin/fish"):
        _write(prefix + "/etc/fish/conf.d/devpod_rp.fish", _READ_FISH.encode("ascii"), 0o644)
    yield {"booting": False}, b""


def with_wishes(environ: Dict[bytes, bytes], wishes: Dict[str, str]) -> Dict[bytes, bytes]:
    """*environ* as *wishes* change it: ``${containerEnv:NAME}`` is the pod's, else what follows a colon."""

    def own(match: "re.Match[bytes]") -> bytes:
        return environ.get(match.group(1), match.group(2) or b"")

    changed = {
        os.fsencode(name): _OWN.sub(own, text.encode("utf-8", "surrogateescape")) for name, text in wishes.items()
    }
    return {**environ, **changed}


def for_sh(environ: Dict[bytes, bytes]) -> bytes:
    """What sh, bash and zsh read."""
    lines = ['if [ -z "${{{0}-}}" ]; then'.format(MARK).encode("ascii"), b"export %s=1" % MARK.encode("ascii")]
    for name, value in _passed_on(environ):
        line = b"export %s=%s" % (name, _quoted_sh(value))
        lines.append(b'[ -n "${%s+set}" ] || %s' % (name, line) if _OF_THE_CLIENT.fullmatch(name) else line)
    lines.append(b"fi")
    return b"\n".join(lines) + b"\n" + _path_sh(_places(environ))


def for_fish(environ: Dict[bytes, bytes]) -> bytes:
    """What fish reads."""
    lines = [b"if not set -q %s" % MARK.encode("ascii"), b"set -gx %s 1" % MARK.encode("ascii")]
    for name, value in _passed_on(environ):
        # Some names are fish's own.
        line = b"set -gx %s %s 2>/dev/null" % (name, _quoted_fish(value))
        lines.append(b"set -q %s; or %s" % (name, line) if _OF_THE_CLIENT.fullmatch(name) else line)
    lines.append(b"end")
    places = [_quoted_fish(place) for place in _places(environ)]
    path = _PATH_FISH.encode("ascii") % b" ".join(places) if places else b""
    return b"\n".join(lines) + b"\n" + path


def _variables(proc: Path) -> Dict[bytes, bytes]:
    """The variables of the container's first process."""
    pairs = (proc / "1" / "environ").read_bytes().split(b"\0")
    return {name: value for name, separator, value in (pair.partition(b"=") for pair in pairs) if separator}


def _passed_on(environ: Dict[bytes, bytes]) -> List[Tuple[bytes, bytes]]:
    """What a shell can hand on: other names than these it cannot even spell."""
    left_out = {name.encode("ascii") for name in _LEFT_OUT}
    return sorted((name, environ[name]) for name in environ if _NAME.fullmatch(name) and name not in left_out)


def _places(environ: Dict[bytes, bytes]) -> List[bytes]:
    return [place for place in environ.get(b"PATH", b"").split(b":") if place]


def _path_sh(places: List[bytes]) -> bytes:
    if not places:
        return b""
    looks = [_MISSING_SH.encode("ascii") % _quoted_sh(place) for place in places]
    path = _PATH_SH.encode("ascii") % _quoted_sh(b":".join(places))
    return b"".join([b"_devpod_rp_missing=\n", *looks, path])


def _quoted_sh(value: bytes) -> bytes:
    return b"'" + value.replace(b"'", b"'\\''") + b"'"


def _quoted_fish(value: bytes) -> bytes:
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def _first(prefix: str, paths: Tuple[str, ...]) -> Optional[str]:
    return next((prefix + path for path in paths if os.path.isfile(prefix + path)), None)


def _put_on_top(path: str) -> None:
    """Above everything: such files end early where nobody types."""
    before = _content(path)
    if _READ_SH.encode("ascii") not in before:
        _write(path, _READ_SH.encode("ascii") + before, _mode(path))


def _put_below(path: str) -> None:
    """Below everything: such a file begins by setting PATH."""
    before = _content(path)
    if _READ_SH.encode("ascii") not in before:
        end = b"" if not before or before.endswith(b"\n") else b"\n"
        _write(path, before + end + _READ_SH.encode("ascii"), _mode(path))


def _write(path: str, content: bytes, mode: int) -> None:
    """Have *content* in the file, and leave it alone if it is: it would look like somebody's work."""
    real = os.path.realpath(path)
    if not os.path.isfile(real) or _content(real) != content or _mode(real) != mode:
        write_atomically(real, content, mode)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def _mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644


OPERATIONS: Dict[str, Handler] = operations()
