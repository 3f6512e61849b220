"""Who decides about files at risk: the flags, else the person at the terminal, else nobody."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import at_risk, ui
from devpod_rp.errors import printable

if TYPE_CHECKING:
    from devpod_rp.environments import Environment
    from devpod_rp.guard.report import Report
    from devpod_rp.lifecycle.risk.decision import Decide, Decision

_LISTED_ONE_BY_ONE = 40


def decider(
    environment: Environment, *, save: bool, folder: Path | None, as_json: bool, end: str, where: str = "container disk"
) -> Decide:
    """What to do about files at risk on *where* before the pod's *end* ("stop", "delete").

    With *save* they go to the volume, with *folder* here; with both, here goes what the volume did not take. Flags are
    not tried again on the very files that they left at risk.
    """
    from devpod_rp.lifecycle.risk import decision

    # What dies with the pod saves nothing.
    outlives = environment.volume.kind == "network" or (environment.volume.kind == "disk" and end == "stop")
    told = [decision.RESCUE] if save and where != "volume" else []
    told += [decision.download_to(folder)] if folder else []
    answers: Iterator[Decision] = itertools.cycle(told)
    asked: Counter[frozenset[str]] = Counter()

    def decide(report: Report) -> Decision:
        paths = frozenset(report.paths_to_rescue())
        again = any(paths <= before for before in asked)
        asked[paths] += 1
        if told:
            return next(answers) if asked[paths] <= len(told) else decision.CANCEL
        if not ui.interactive(as_json):
            return decision.CANCEL
        with ui.undisturbed():
            for line in at_risk.lines(report, where):
                ui.note(line)
            return _ask(environment, report, end, can_rescue=outlives and where != "volume", again=again)

    return decide


def _ask(environment: Environment, report: Report, end: str, *, can_rescue: bool, again: bool) -> Decision:
    """Ask the person; *again* when these are what an earlier answer left at risk."""
    from devpod_rp.lifecycle.risk import decision

    choices: list[tuple[str, str]] = []
    if report.sole_copies:
        amount = ui.size(report.size)
        if can_rescue:
            choices.append((f"Save all to the volume ({amount}), then {end}", "rescue"))
            choices.append(("Choose what to save to the volume", "choose"))
        # The volume that had no room for them will hardly have it now.
        choices.insert(0 if again else len(choices), (f"Download all here ({amount}), then {end}", "download"))
    choices.append((f"Give all of it up and {end}", "give up"))
    choices.append((f"Do not {end}: leave the pod running", "cancel"))
    if not can_rescue:
        choices.insert(0, choices.pop())  # where nothing can be kept on the pod, Enter changes nothing
    picked = ui.choose("These would be lost. What now?" if report.sole_copies else "What now?", choices)
    if picked == "rescue":
        return decision.RESCUE
    if picked == "choose":
        chosen = _choose(report)
        if not chosen:
            return _ask(environment, report, end, can_rescue=can_rescue, again=again)
        return decision.Decision(decision.Act.RESCUE, paths=chosen)
    if picked == "download":
        return decision.download_to(ui.ask_folder("Into which folder?", _beside(environment)))
    return decision.GIVE_UP if picked == "give up" else decision.CANCEL


def _beside(environment: Environment) -> str:
    """A new folder beside the project, not in it: there it would be synchronised back to the pod."""
    project = Path(environment.folder)
    return str(project.with_name(f"{project.name}-rescued"))


def _choose(report: Report) -> frozenset[str]:
    """The paths that the person marks, file by file, or folder by folder where there are many."""
    options: list[tuple[str, list[str]]]
    if len(report.sole_copies) <= _LISTED_ONE_BY_ONE:
        options = [
            (f"{printable(risk.path)}  {ui.size(risk.size)}  {printable(risk.reason)}", [risk.path, *risk.other_names])
            for risk in report.sole_copies
        ]
    else:
        options = []
        for folder in report.folders(depth=3):
            risks = [risk for risk in folder.risks if risk.sole_copy]
            if risks:
                label = f"{printable(folder.path)}/  {len(risks)} files  {ui.size(sum(r.size for r in risks))}"
                options.append((label, [name for risk in risks for name in (risk.path, *risk.other_names)]))
    marked = ui.mark("Save which?  (space marks, enter goes on; you are asked about the rest)", options)
    return frozenset(path for names in marked for path in names)


def show(report: Report, where: str) -> None:
    """Print the report."""
    for line in at_risk.lines(report, where):
        click.echo(line)
