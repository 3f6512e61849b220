"""Visual Studio Code and its relatives, which connect by SSH host alias and understand the same URIs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from urllib.parse import quote

from devpod_rp.editors.model import Opened, Target
from devpod_rp.editors.programs import CommandFailed, Machine, Places, run
from devpod_rp.errors import DevpodError

# The command hands the request to a running window or starts one in the background; it does not wait for the
# connection. Installing an extension downloads it.
_LAUNCH_SECONDS = 60.0
_INSTALL_SECONDS = 300.0
_MICROSOFT = "ms-vscode-remote.remote-ssh"


@dataclass(frozen=True)
class VsCode:
    """One of the family. *scheme* is that of its links; *extension* connects over SSH, None where it is built in."""

    name: str
    title: str
    scheme: str
    places: Places
    extension: str | None
    machine: Machine = dataclasses.field(default_factory=Machine)

    def program(self) -> str | None:
        return self.places.find(self.machine)

    def open(self, target: Target) -> Opened:
        location = _location(target)
        deep_link = f"{self.scheme}://vscode-remote/{location}?windowId=_blank"
        program = self.program()
        if program is None:
            return Opened(launched=False, command=None, deep_link=deep_link)
        # A URI, because `--remote HOST PATH` takes a folder with a dot in its name for a file; one argument with "=",
        # because code.cmd on Windows splits it otherwise.
        kind = "file" if target.path.endswith(".code-workspace") else "folder"
        command = (program, f"--{kind}-uri=vscode-remote://{location}")
        try:
            run(command, _LAUNCH_SECONDS)
        except CommandFailed as failure:
            return Opened(launched=False, command=command, deep_link=deep_link, problem=str(failure))
        return Opened(launched=True, command=command, deep_link=deep_link)

    def missing_extension(self) -> str | None:
        program = self.program()
        if program is None or self.extension is None:
            return None
        try:
            installed = run((program, "--list-extensions"), _LAUNCH_SECONDS)
        except CommandFailed:
            return None  # opening will say what is wrong with the command
        return None if self.extension in installed.lower().split() else self.extension

    def install_extension(self, extension: str) -> None:
        program = self.program()
        assert program is not None
        try:
            run((program, "--install-extension", extension), _INSTALL_SECONDS)
        except CommandFailed as failure:
            raise DevpodError(
                f"{self.title} could not install {extension}: {failure}",
                hint=f"install it in {self.title}'s Extensions view.",
            ) from failure


def family(machine: Machine) -> tuple[VsCode, ...]:
    """Every member we know, as found on *machine*."""
    return (
        VsCode(
            "code",
            "Visual Studio Code",
            "vscode",
            _places("code", "Visual Studio Code", "Microsoft VS Code/bin/code.cmd"),
            _MICROSOFT,
            machine,
        ),
        VsCode(
            "code-insiders",
            "Visual Studio Code Insiders",
            "vscode-insiders",
            _places(
                "code-insiders",
                "Visual Studio Code - Insiders",
                "Microsoft VS Code Insiders/bin/code-insiders.cmd",
                mac="code",
            ),
            _MICROSOFT,
            machine,
        ),
        VsCode(
            "cursor",
            "Cursor",
            "cursor",
            _places("cursor", "Cursor", "cursor/resources/app/bin/cursor.cmd"),
            None,
            machine,
        ),
        VsCode(
            "windsurf",
            "Windsurf",
            "windsurf",
            _places("windsurf", "Windsurf", "Windsurf/bin/windsurf.cmd"),
            None,
            machine,
        ),
        VsCode(
            "codium",
            "VSCodium",
            "vscodium",
            _places("codium", "VSCodium", "VSCodium/bin/codium.cmd"),
            "jeanp413.open-remote-ssh",
            machine,
        ),
    )


def _places(command: str, application: str, windows: str, mac: str | None = None) -> Places:
    return Places((command,), f"{application}.app/Contents/Resources/app/bin/{mac or command}", (windows,))


def _location(target: Target) -> str:
    # A bare ":" would make VS Code read ":12" at the end of a link as a line number.
    return f"ssh-remote+{target.host_alias}{quote(target.path.encode('utf-8', 'surrogateescape'), safe='/')}"
