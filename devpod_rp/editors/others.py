"""Zed and JetBrains Gateway, which are asked with one link."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from devpod_rp.editors.model import Opened, Target
from devpod_rp.editors.programs import CommandFailed, Machine, Places, run
from devpod_rp.errors import DevpodError

_LAUNCH_SECONDS = 60.0


@dataclass(frozen=True)
class LinkOpener:
    """An editor whose command takes *argument*, and whose links the system hands to it as *link*."""

    name: str
    title: str
    places: Places
    argument: Callable[[Target], str]
    link: Callable[[Target], str]
    machine: Machine = dataclasses.field(default_factory=Machine)

    def program(self) -> str | None:
        return self.places.find(self.machine)

    def open(self, target: Target) -> Opened:
        link, program = self.link(target), self.program()
        if program is None:
            return Opened(launched=False, command=None, deep_link=link)
        command = (program, self.argument(target))
        try:
            run(command, _LAUNCH_SECONDS)
        except CommandFailed as failure:
            return Opened(launched=False, command=command, deep_link=link, problem=str(failure))
        return Opened(launched=True, command=command, deep_link=link)

    def missing_extension(self) -> str | None:
        return None  # both speak SSH themselves

    def install_extension(self, extension: str) -> None:
        raise DevpodError(f"{self.title} needs no extension for SSH.")


def zed(machine: Machine) -> LinkOpener:
    """Zed; it runs the system's ``ssh`` with the alias. Its command has another name in some distributions."""
    places = Places(("zed", "zeditor", "zedit"), "Zed.app/Contents/MacOS/cli", ("Zed/bin/zed.exe",))
    return LinkOpener("zed", "Zed", places, _zed_url, lambda target: f"zed://ssh/{_zed_url(target)[6:]}", machine)


def jetbrains(machine: Machine) -> LinkOpener:
    """JetBrains Gateway. It may ignore SSH configurations, so its link holds the address itself."""
    places = Places(("jetbrains-gateway", "gateway"), "JetBrains Gateway.app/Contents/MacOS/gateway")
    return LinkOpener("jetbrains", "JetBrains Gateway", places, _gateway_link, _gateway_link, machine)


def _zed_url(target: Target) -> str:
    return f"ssh://{target.host_alias}{_quoted(target.path)}"


def _gateway_link(target: Target) -> str:
    return (
        f"jetbrains-gateway://connect#type=ssh&deploy=false&host={target.host}&port={target.port}&user={target.user}"
        f"&projectPath={quote(target.path.encode('utf-8', 'surrogateescape'), safe='')}"
    )


def _quoted(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")
