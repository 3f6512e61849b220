"""Showing what a first upload would carry, and asking what of it should stay here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devpod_rp.cli import render, ui

if TYPE_CHECKING:
    from devpod_rp.lifecycle.market.plan import Plan
    from devpod_rp.sync.preview import Preview

_NAMED = 3


def rows(found: Preview) -> list[tuple[str, str]]:
    """The lines of a plan about *found*."""
    heaviest = ", ".join(f"{each.path} {ui.size(each.size_bytes)}" for each in found.heaviest[:_NAMED])
    shown = [("First upload", f"{ui.files(found.files)}, {ui.size(found.size_bytes)}" + (heaviest and f": {heaviest}"))]
    if found.secrets:
        named = render.named(found.secrets, _NAMED)
        shown.append(("Secrets?", f"{named}; a line in .devpodignore keeps them here"))
    if found.hard_links:
        shown.append(("Hard links", f"{ui.files(found.hard_links)} that share content here will be copies of it there"))
    return shown


def ask(plan: Plan, found: Preview) -> None:
    """Let the person leave out what is heavy or looks like a secret; without either there is no question."""
    from devpod_rp.lifecycle.first_upload import leave_out
    from devpod_rp.sync.preview import HEAVY_BYTES

    heavy = [each for each in found.heaviest if each.size_bytes >= HEAVY_BYTES]
    choices = [(f"{each.path}  {ui.size(each.size_bytes)} in {ui.files(each.files)}", each.path) for each in heavy]
    named = {each.path for each in heavy}
    choices += [(f"{path}  looks like a secret", path) for path in found.secrets if path not in named]
    if not choices:
        return
    chosen = ui.mark("What of this folder should stay here? (Space marks, Enter goes on)", choices)
    if chosen:
        file = leave_out(plan.folder, chosen)
        ui.note(f"{file} leaves out: {', '.join(chosen)}")
