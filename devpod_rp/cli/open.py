"""``open``: the pod's workspace in an editor."""

from __future__ import annotations

import posixpath
import webbrowser
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument
from devpod_rp.editors.registry import BROWSER_NAMES, NAMES
from devpod_rp.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from devpod_rp.editors.model import Editor, Opened
    from devpod_rp.environments import Environment


@click.command("open")
@name_argument
@click.option(
    "--ide", type=click.Choice([*NAMES, *BROWSER_NAMES]), default="code", show_default=True, help="Which editor."
)
@click.option("--path", help="What to open, relative to the workspace: a folder, or a .code-workspace file.")
@click.option("--no-browser", is_flag=True, help="With browser and jupyter: only print the address.")
@json_option
def open_(name: str | None, ide: str, path: str | None, no_browser: bool, as_json: bool) -> None:
    """Open the workspace in an editor, or print the link that does.

    *browser* is VS Code in your browser and *jupyter* is JupyterLab: both run on the pod, reached through a tunnel
    whose address stays the same through restarts.
    """
    from devpod_rp.lifecycle import overview

    environment = overview.look_at(pick.environment(name, as_json=as_json))
    if environment.status != "RUNNING":
        raise UnreachableError(
            f"{environment.name} is {environment.status}.", hint=f"devpod-rp up {environment.name} starts it."
        )
    if ide not in BROWSER_NAMES:
        _open_desktop_editor(environment, ide, path, as_json)
        return
    if path is not None:
        raise UsageError("--path is for editors on this machine.", hint="choose the folder in the browser.")
    _open_in_browser(environment, ide, no_browser, as_json)


def _open_in_browser(environment: Environment, ide: str, no_browser: bool, as_json: bool) -> None:
    from devpod_rp.editors.services import SERVICES
    from devpod_rp.lifecycle import browsing

    service = SERVICES[ide]
    with ui.progress() as progress:
        door = browsing.open_service(environment, service, progress)
    opened = not no_browser and webbrowser.open(door.page.as_uri())
    if as_json:
        render.document(
            {
                "ide": service.ide,
                "url": door.url,
                "secret": door.secret,
                "sign_in_page": str(door.page),
                "opened": opened,
            }
        )
        return
    click.echo(f"{service.title}: {door.url}")
    click.echo(f"Password: {door.secret}")
    if not opened:
        click.echo(f"Without typing: {door.page.as_uri()}")


def _open_desktop_editor(environment: Environment, ide: str, path: str | None, as_json: bool) -> None:
    from devpod_rp.editors.model import Target
    from devpod_rp.editors.registry import editors
    from devpod_rp.lifecycle.furnishing import extensions

    chosen = editors()[ide]
    ssh = environment.ssh
    if ssh is None:
        raise UnreachableError(f"{environment.name} has no SSH address.", hint=f"devpod-rp up {environment.name}")
    where = posixpath.normpath(posixpath.join(environment.workspace, path or ""))
    target = Target(environment.host_alias, where, ssh.host, ssh.port, ssh.user)
    missing = _with_extension(chosen, as_json)
    waiting = extensions.bring(environment, ide)
    opened = chosen.open(target)
    if as_json:
        render.document(
            {
                "ide": chosen.name,
                "launched": opened.launched,
                "command": list(opened.command) if opened.command else None,
                "deep_link": opened.deep_link,
                "problem": opened.problem,
                "missing_extension": missing,
                "extensions_to_come": waiting,
            }
        )
        return
    _say(chosen, target.path, environment.host_alias, opened)
    if waiting:
        click.echo(f"Installed on the pod once {chosen.title} has its server there: {', '.join(waiting)}.")


def _say(chosen: Editor, path: str, host: str, opened: Opened) -> None:
    if opened.launched:
        click.echo(f"{chosen.title} opens {path} on {host}.")
    else:
        reason = opened.problem or f"{chosen.title} was not found here"
        click.echo(f"{reason}; this link opens it:\n  {opened.deep_link}")
        if opened.problem is None:
            click.echo("devpod-rp open --ide browser needs no editor here.")


def _with_extension(chosen: Editor, as_json: bool) -> str | None:
    """The extension for SSH that is still missing after the person was asked about it."""
    missing = chosen.missing_extension()
    if missing is None:
        return None
    question = f"{chosen.title} needs its extension {missing} to connect. Install it?"
    if ui.interactive(as_json) and ui.confirm(question, default=True):
        chosen.install_extension(missing)
        return None
    ui.note(f"{chosen.title} lacks {missing}; {chosen.name} --install-extension {missing} installs it.")
    return missing
