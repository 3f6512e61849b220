"""Who waits until everything is synchronised."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from devpod_rp.errors import DevpodError
from devpod_rp.keeper.requests import Request


class Waiting:
    """The requests that a cycle answers, in the order in which they came. *changed* is told whether there are any."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._requests: list[Request] = []
        self._promised: list[Request] = []

    def add(self, request: Request) -> None:
        self._requests.append(request)
        self._changed(True)

    def all(self) -> list[Request]:
        return list(self._requests)

    def promise(self) -> None:
        """An attempt to connect begins: those who wait already are answered when it fails, later ones have another."""
        self._promised = self.all()

    def let_go(self, requests: Collection[Request]) -> None:
        """Somebody else answers *requests*."""
        self._requests = [each for each in self._requests if each not in requests]
        self._promised = [each for each in self._promised if each not in requests]
        self._changed(bool(self._requests))

    def fulfil(self, requests: Collection[Request], result: Callable[[], dict[str, Any]]) -> None:
        """Answer *requests*; *result* is asked when they no longer wait."""
        self.let_go(requests)
        for request in requests:
            request.fulfil(result())

    def refuse(self, requests: Collection[Request], error: DevpodError) -> None:
        self.let_go(requests)
        for request in requests:
            request.refuse(error)

    def refuse_all(self, error: DevpodError) -> None:
        self.refuse(self.all(), error)

    def refuse_promised(self, error: DevpodError) -> None:
        self.refuse(list(self._promised), error)
