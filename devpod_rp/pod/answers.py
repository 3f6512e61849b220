"""What the agent says, checked as hostile input: the pod may be anybody's."""

from __future__ import annotations

from dataclasses import dataclass

from devpod_rp.agent.wire import CODES, PROTOCOL, Header, WireError
from devpod_rp.pod.errors import AgentStartFailed

_MESSAGE_CHARACTERS = 2000


@dataclass(frozen=True)
class Hello:
    """The agent's account of where it runs; None is what it cannot know."""

    python: str
    executable: str
    hostname: str
    pid: int
    boot_id: str | None
    container_started_at: float | None
    zstd: bool = False


def check_answer(header: Header) -> None:
    """Raises WireError unless *header* is an answer as the protocol has it; what it says may still be a lie."""
    if header.get("ok") is True:
        if not isinstance(header.get("more"), bool):
            raise WireError("an answer that does not say whether more follows")
    elif header.get("ok") is False:
        if header.get("code") not in CODES or not isinstance(header.get("message"), str):
            raise WireError("a refusal without code or message")
        header["message"] = header["message"][:_MESSAGE_CHARACTERS]
    else:
        raise WireError("an answer that is neither yes nor no")


def checked_hello(header: Header) -> Hello:
    if header.get("protocol") != PROTOCOL:
        raise AgentStartFailed(
            f"The agent in the pod speaks protocol {header.get('protocol')!r}, this devpod-rp speaks {PROTOCOL}.",
            hint="the installation may be mixed up: reinstall devpod-rp, then try again.",
        )
    texts = [header.get(name) for name in ("python", "executable", "hostname")]
    pid, boot_id, started = (header.get(name) for name in ("pid", "boot_id", "container_started_at"))
    if (
        not all(isinstance(text, str) for text in texts)
        or not isinstance(pid, int)
        or not isinstance(boot_id, str | None)
        or not isinstance(started, int | float | None)
    ):
        raise AgentStartFailed("The agent in the pod does not say who it is.")
    python, executable, hostname = (str(text) for text in texts)
    begun = None if started is None else float(started)
    return Hello(python, executable, hostname, pid, boot_id, begun, header.get("zstd") is True)
