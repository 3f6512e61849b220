"""How a conversation with the agent can fail."""

from __future__ import annotations

from devpod_rp.errors import DevpodError, UnreachableError


class LinkLost(UnreachableError):
    """The conversation ended before the answer came; whether the request was carried out is not known."""


class AgentStartFailed(UnreachableError):
    """The pod answers over SSH, but the agent did not start in it."""


class AgentRefused(DevpodError):
    """The agent would not or could not do what was asked; *code* is one of `devpod_rp.agent.wire.CODES`."""

    kind = "agent-refused"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
