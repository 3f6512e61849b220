"""What a new container needs to be its user's, besides what is kept for it on the volume."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.furnishing import dotfiles, extensions, git_credentials
from devpod_rp.lifecycle.reach import connect
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.spec.model import EnvironmentSpec


def furnish(environment: Environment, spec: EnvironmentSpec, progress: Progress) -> None:
    """Have the workspace under its other name, the dotfiles, a helper for git, and what editors are to have here.

    What cannot be had is said, and keeps nobody from working.

    Raises:
        UnreachableError: the connection is lost.
    """
    if spec.workspace_alias is not None:
        _link(environment, spec.workspace_alias, progress)
    dotfiles.install(environment, spec.dotfiles, progress)
    if spec.git_credentials:
        git_credentials.register(environment, spec.git_credentials, progress)
    extensions.expect_editors(environment, spec.model_dump(mode="json"))


def _link(environment: Environment, alias: str, progress: Progress) -> None:
    """A link to the workspace where the project's own commands expect it."""
    link, workspace = shlex.quote(alias), shlex.quote(environment.workspace)
    script = (
        f'[ "$(readlink {link})" = {workspace} ] && exit\nmkdir -p "$(dirname {link})" && ln -s -T {workspace} {link}\n'
    )
    with connect.open_connection(environment) as connection:
        done = connection.run("sh -s", input=script.encode("utf-8", "surrogateescape"))
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip()
        progress(Event("connect", f"The workspace cannot be found at {alias}: {words}", warning=True))
