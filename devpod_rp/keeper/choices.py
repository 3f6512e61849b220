"""What a user decides through the keeper; the loop carries it out, since it alone owns the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devpod_rp.errors import UsageError

if TYPE_CHECKING:
    from devpod_rp.sync.reconcile import Plan
    from devpod_rp.sync.session import Session

Fields = Mapping[str, Any]


def _resolve(session: Session, fields: Fields) -> dict[str, Any]:
    return {"written": session.resolve(_text(fields, "path"), _text(fields, "keep"))}


def _pull(session: Session, fields: Fields) -> dict[str, Any]:
    return {"pulled": session.pull([str(path) for path in fields.get("paths", ())])}


def _undo(session: Session, fields: Fields) -> dict[str, Any]:
    return {"restored": session.undo(_maybe(fields, "path"), _maybe(fields, "at"))}


def _trash(session: Session, fields: Fields) -> dict[str, Any]:
    return {"trash": [moment.as_json() for moment in session.trash(_maybe(fields, "path"))]}


def _plan(session: Session, _fields: Fields) -> dict[str, Any]:
    return {"plan": _shown(session.plan())}


# What looks at both sides by itself, and so needs a connection.
CHOICES: dict[str, Callable[[Session, Fields], dict[str, Any]]] = {
    "resolve": _resolve,
    "pull": _pull,
    "undo": _undo,
    "trash": _trash,
    "plan": _plan,
}


def explain(session: Session, fields: Fields) -> dict[str, Any]:
    """Which rule decided about a path, from what was seen last."""
    return {"why": session.why(_text(fields, "path")).as_json()}


def _shown(plan: Plan) -> dict[str, Any]:
    """The plan as lists of paths: what comes into being, what is replaced and what goes, on each side."""
    shown: dict[str, Any] = {side: {"new": [], "replaced": [], "deleted": []} for side in ("pod", "here")}
    for action in plan.actions:
        entry = action.new or action.old
        if entry is None or entry.kind == "dir":
            continue
        kind = "deleted" if action.new is None else "new" if action.old is None else "replaced"
        shown["pod" if action.side.name == "REMOTE" else "here"][kind].append(action.path)
    return {**shown, "conflicts": [conflict.path for conflict in plan.conflicts]}


def _maybe(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else str(value)


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"The request lacks {name}.")
    return value
