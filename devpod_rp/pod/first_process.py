"""The first process of a pod where the container's command is ours: before and around the image's own start.

It brings back the host keys that the volume keeps, and on a spot pod it uses the seconds between SIGTERM and SIGKILL.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from devpod_rp.agent.rescue.emergency import LAUNCHER
from devpod_rp.agent.sessions import hostkeys

HOOK_VARIABLE = "DEVPOD_RP_ON_PREEMPT"
HOOK_SECONDS = 2
# Of the five that RunPod leaves, some for the last batch to end in.
GRACE_SECONDS = 4.5

# For any POSIX shell. RunPod's images make only the keys that are absent. A key is never there in part: sshd would not
# start.
_RESTORE = f"""
restore() {{
  echo {hostkeys.NONE}
  [ -f "$1/{hostkeys.SUMS}" ] || return
  echo {hostkeys.DAMAGED}
  (cd "$1" && sha256sum -c {hostkeys.SUMS}) >/dev/null 2>&1 || return
  mkdir -p {hostkeys.PLACE} || return
  for key in "$1"/ssh_host_*; do
    copy={hostkeys.PLACE}/.${{key##*/}}
    case "$key" in *.pub) mode=644 ;; *) mode=600 ;; esac
    (umask 077 && cp "$key" "$copy") && chmod "$mode" "$copy" && mv -f "$copy" "{hostkeys.PLACE}/${{key##*/}}" || return
  done
  echo {hostkeys.RESTORED}
}}
mkdir -p -m 700 {hostkeys.OUTCOME.rpartition("/")[0]}
restore FOLDER | tail -n 1 >{hostkeys.OUTCOME}
""".strip()

# Without arguments it starts what RunPod's images start.
_DEFAULT = "[ $# -gt 0 ] || set -- /start.sh"
_HAND_OVER = 'exec "$@"'

# A rescue that was never armed (the pod was not handed over yet, or has no Python) is left out.
_ATTEND = f"""
"$@" &
started=$!
preempted() {{
  trap '' TERM
  read -r began rest </proc/uptime
  if [ -n "${HOOK_VARIABLE}" ]; then
    timeout -k 0.1 {HOOK_SECONDS} sh -c "${HOOK_VARIABLE}"
  fi
  if [ -x {LAUNCHER} ]; then {LAUNCHER} {GRACE_SECONDS} "$began"; fi
  kill -TERM "$started" 2>/dev/null
  exit 143
}}
trap preempted TERM
wait "$started"
exit $?
""".strip()


def command(start_command: Sequence[str] | None, *, host_keys: str | None, spot: bool) -> list[str]:
    """The container command that runs *start_command* (None: the image's own) under our first process.

    *host_keys* is the folder on the volume that keeps them, if there is one.
    """
    parts = [] if host_keys is None else [_RESTORE.replace("FOLDER", shlex.quote(host_keys))]
    parts += [_DEFAULT, _ATTEND if spot else _HAND_OVER]
    return ["/bin/sh", "-c", "\n".join(parts), "devpod-rp", *(start_command or ())]
