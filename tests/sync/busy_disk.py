"""A pod whose disk is busy for as long as a test wants."""

from __future__ import annotations

from devpod_rp.pod.link import AgentLink, Answer, LinkLost


class BusyDisk(AgentLink):
    """A link to a pod whose disk is busy until the test says that it *has_come* to what we sent."""

    has_come = False

    def ask(self, op, body=b"", **fields):  # type: ignore[no-untyped-def]
        answer = super().ask(op, body, **fields)
        return _Answer(self, answer) if op == "files.settle" else answer


class _Answer:
    def __init__(self, link: BusyDisk, answer: Answer) -> None:
        self._link = link
        self._answer = answer

    @property
    def has_come(self) -> bool:
        return self._link.has_come

    def __call__(self) -> None:
        if not self._link.has_come:
            self._link.close()
            raise LinkLost("cut")
        self._answer()
