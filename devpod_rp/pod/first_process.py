"""The first process of a spot pod: runs the image's own start, and uses the seconds between SIGTERM and SIGKILL."""

from __future__ import annotations

from collections.abc import Sequence

from devpod_rp.agent.rescue.emergency import LAUNCHER

HOOK_VARIABLE = "DEVPOD_RP_ON_PREEMPT"
HOOK_SECONDS = 2
# Of the five that RunPod leaves, some for the last batch to end in.
GRACE_SECONDS = 4.5

# For any POSIX shell. Without arguments it starts what RunPod's images start; a rescue that was never armed (the pod
# was not handed over yet, or has no Python) is left out.
_SCRIPT = f"""
[ $# -gt 0 ] || set -- /start.sh
"$@" &
started=$!
preempted() {{
  trap '' TERM
  left={GRACE_SECONDS}
  if [ -n "${HOOK_VARIABLE}" ]; then
    timeout -k 0.1 {HOOK_SECONDS} sh -c "${HOOK_VARIABLE}"
    left={GRACE_SECONDS - HOOK_SECONDS}
  fi
  if [ -x {LAUNCHER} ]; then {LAUNCHER} "$left"; fi
  kill -TERM "$started" 2>/dev/null
  exit 143
}}
trap preempted TERM
wait "$started"
exit $?
""".strip()


def command(start_command: Sequence[str] | None) -> list[str]:
    """The container command that runs *start_command* (None: the image's own) under our first process."""
    return ["/bin/sh", "-c", _SCRIPT, "devpod-rp", *(start_command or ())]
