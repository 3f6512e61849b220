"""``[dotfiles]``: how its user likes a machine, on every new container disk.

As GitHub Codespaces does it (docs.github.com, "Personalizing GitHub Codespaces for your account"), and the Dev
Containers CLI (devcontainers/cli, src/spec-common/dotfiles.ts): the repository is cloned, and the first of a few
well-known scripts is run; without one, every name in it that begins with a dot is linked into the home. The clone lies
on the volume and is brought up to date; what somebody changed in it is left alone.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import TYPE_CHECKING

from devpod_rp.agent.servers.serving import RUN
from devpod_rp.environments import Environment
from devpod_rp.errors import UnreachableError
from devpod_rp.lifecycle.reach import connect
from devpod_rp.lifecycle.risk import look
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.spec.parts import DotfilesSpec

SCRIPTS = (
    "install.sh",
    "install",
    "bootstrap.sh",
    "bootstrap",
    "script/bootstrap",
    "setup.sh",
    "setup",
    "script/setup",
)
"""In the order in which they are looked for."""

LOG = f"{RUN}/dotfiles.log"
_MARK = f"{RUN}/dotfiles"
_PATIENCE_SECONDS = 900.0
_OF_GITHUB = re.compile(r"[\w.-]+/[\w.-]+")

_PROGRAM = (
    r"""
update() {
  command -v git > /dev/null || { echo "there is no git in this image"; return 1; }
  export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
  if [ -e "$clone/.git" ]; then
    git -C "$clone" pull --ff-only --recurse-submodules || echo "left as it was"
    return 0
  fi
  mkdir -p "$(dirname "$clone")" && rm -rf "$clone.new" || return
  git clone --recurse-submodules -- "$repository" "$clone.new" && mv "$clone.new" "$clone"
}
link() {
  for name in "$1"/.* ${3:+"$1"/*}; do
    base=${name##*/}
    case $base in .|..|.git) continue ;; esac
    [ -e "$name" ] || [ -L "$name" ] || continue
    if [ -d "$name" ] && [ ! -L "$name" ] && [ -d "$2/$base" ] && [ ! -L "$2/$base" ]; then
      (link "$name" "$2/$base" all) || return
    else
      echo "linking $2/$base"
      ln -sfn "$name" "$2/$base" || return
    fi
  done
}
main() {
  update && cd "$clone" || return
  if [ -n "$install" ]; then
    [ -f "$install" ] || { echo "there is no $install in it"; return 1; }
  else
    for each in SCRIPTS; do
      [ -f "$each" ] && install=$each && break
    done
  fi
  if [ -z "$install" ]; then
    link "$clone" "$HOME" && echo "linked"
    return
  fi
  echo "running $install"
  [ -x "$install" ] || chmod +x "$install" || return
  "./$install"
}
umask 077
mkdir -p RUN
[ "$(cat MARK 2> /dev/null)" = "$mark" ] && exit
(umask 022; main) < /dev/null > LOG 2>&1
code=$?
[ "$code" = 0 ] || { tail -n 3 LOG >&2; exit "$code"; }
printf %s "$mark" > MARK
""".replace("SCRIPTS", " ".join(SCRIPTS))
    .replace("MARK", _MARK)
    .replace("LOG", LOG)
    .replace("RUN", RUN)
)


def install(environment: Environment, dotfiles: DotfilesSpec, progress: Progress) -> None:
    """Have *dotfiles* on the pod, once in each container; a failure is said, and keeps nobody from working.

    Raises:
        UnreachableError: the connection is lost.
    """
    if dotfiles.repository is None:
        return
    place = look.volume_path(environment) or "/root"
    source = url(dotfiles.repository)
    words = {
        "repository": source,
        "clone": f"{place}/.devpod/dotfiles/{_folder(source)}",
        "install": dotfiles.install or "",
        "mark": hashlib.sha256(f"{source}\0{dotfiles.install}".encode()).hexdigest(),
    }
    script = "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items()) + _PROGRAM
    progress(Event("dotfiles", f"Installing the dotfiles of {dotfiles.repository}"))
    with connect.open_connection(environment) as connection:
        try:
            done = connection.run("sh -s", input=script.encode(), timeout=_PATIENCE_SECONDS)
        except UnreachableError as error:
            if not connection.alive:
                raise
            _warn(progress, error.message)
            return
    if done.exit_code != 0:
        _warn(progress, done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.exit_code}")


def url(repository: str) -> str:
    """Where *repository* is cloned from; a name such as ``owner/dotfiles`` is one of GitHub's."""
    return f"https://github.com/{repository}.git" if _OF_GITHUB.fullmatch(repository) else repository


def _folder(source: str) -> str:
    """Another repository gets another clone: nothing that somebody changed in one is overwritten."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", source.rstrip("/").removesuffix(".git").rpartition("/")[2])
    return f"{name or 'dotfiles'}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def _warn(progress: Progress, words: str) -> None:
    progress(
        Event("dotfiles", f"The dotfiles were not installed; {LOG} on the pod has all of it: {words}", warning=True)
    )
