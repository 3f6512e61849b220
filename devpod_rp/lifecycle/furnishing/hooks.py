"""The project's own commands on the pod, in the stages that devcontainer.json knows.

The stages of a *new* container run once for each container disk, not once for each environment: what they install lies
there and dies with it at every stop. Their marks lie below ``/run`` for the same reason. A hook that was changed runs
again. A failed stage keeps the later ones from running, and the pod runs on.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devpod_rp.agent.servers.serving import RUN
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.reach import connect
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.spec.parts import HooksSpec

STAGES = ("on_create", "update_content", "post_create", "post_start", "post_attach")
"""In the order in which they run; the last one at every ``up``, the others once for each start of the pod."""

ALWAYS = "post_attach"
LOG = f"{RUN}/hooks.log"
_MARKS = f"{RUN}/hooks"
_SHOWN_CHARACTERS = 60

_PROGRAM = f"""
marks={_MARKS}
umask 077
mkdir -p "$marks" || exit
stage() {{
  name=$1 mark=$2
  shift 2
  echo "== $name" >> {LOG}
  running=
  for command; do
    (umask 022; exec /bin/sh -c "$command") < /dev/null >> {LOG} 2>&1 &
    running="$running $!"
  done
  failed=0
  for each in $running; do
    wait "$each" || failed=$?
  done
  if [ "$failed" != 0 ]; then
    tail -n 5 {LOG} >&2
    exit "$failed"
  fi
  printf %s "$mark" > "$marks/$name"
}}
"""


def run(environment: Environment, hooks: HooksSpec, progress: Progress, *, waiting: bool = True) -> None:
    """Run what is due in the project's folder on the pod; what *hooks* does not wait for goes on there by itself.

    Without *waiting* all of it does, but for what belongs to an attach: there is nobody who attaches.

    Raises:
        UnreachableError: the connection is lost.
    """
    wanted = [stage for stage in STAGES if getattr(hooks, stage) and (waiting or stage != ALWAYS)]
    if not wanted:
        return
    end = STAGES.index(hooks.wait_for) + 1 if waiting else 0
    folder = shlex.quote(environment.workspace)
    enter = f"mkdir -p {folder} && cd {folder} || exit"
    with connect.open_connection(environment) as connection:
        marks = connection.run(f"cd {_MARKS} 2>/dev/null && grep -H . *").stdout.decode("utf-8", "replace").splitlines()
        due = [each for each in wanted if each == ALWAYS or f"{each}:{_mark(getattr(hooks, each))}" not in marks]
        awaited, later = [each for each in due if each in STAGES[:end]], [each for each in due if each in STAGES[end:]]
        for stage in awaited:
            commands = getattr(hooks, stage)
            progress(Event("hooks", f"Running {stage}: {_spoken(commands)}"))
            done = connection.run("sh -s", input=_script(enter, [_call(stage, commands)]).encode())
            if done.exit_code != 0:
                words = done.stderr.decode("utf-8", "replace").strip()
                progress(
                    Event(
                        "hooks",
                        f"{stage} failed with exit code {done.exit_code}, and what comes after it was not run; "
                        f"{LOG} on the pod has all of its output: {words}",
                        warning=True,
                    )
                )
                return
        if later:
            progress(Event("hooks", f"Going on by itself on the pod: {', '.join(later)}; its output is in {LOG}"))
            script = _script(enter, [_call(stage, getattr(hooks, stage)) for stage in later])
            detached = f"nohup sh -c {shlex.quote(script)} < /dev/null > /dev/null 2>&1 &\n"
            connection.run("sh -s", input=detached.encode())


def _script(enter: str, calls: Sequence[str]) -> str:
    return "\n".join([_PROGRAM, enter, *calls]) + "\n"


def _call(stage: str, commands: Sequence[str]) -> str:
    return shlex.join(["stage", stage, _mark(commands), *commands])


def _mark(commands: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(commands).encode()).hexdigest()


def _spoken(commands: Sequence[str]) -> str:
    text = " & ".join(commands).replace("\n", " ")
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
