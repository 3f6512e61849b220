"""The keeper's tunnels: local ports that lead to the pod over whatever connection there is at the moment.

A port stays ours while the pod is away: a browser or a client that comes too early waits a little, and the address is
the same after a restart of pod or keeper.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devpod_rp.environments import Environment, Forward, load, read_forwards, write_forwards
from devpod_rp.errors import DevpodError, UnreachableError, UsageError
from devpod_rp.spec.ports import PortWish, port_wish
from devpod_rp.ssh.errors import NothingListens, Unreachable
from devpod_rp.ssh.forward import Forwarding, PortTaken, Stream

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_SECRET_BYTES = 24
# How far above the wished-for number a free one is looked for before any will do.
_NEAR = 20
# Numbers below need privileges here; 80 becomes 8080.
_FIRST_FREE_FOR_ALL = 1024
_ABOVE_THE_RESERVED = 8000


Serve = Callable[["Environment", "AgentLink", Forward, Callable[[str], None]], int]
"""Brings up a service on the pod, telling what it is about, and gives its port there."""


@dataclass
class _Tunnel:
    """A service's *served* is where it was brought up last: over which link, and the port there."""

    forward: Forward
    forwarding: Forwarding | None = None
    problem: str | None = None
    activity: str | None = None
    served: tuple[AgentLink, int] | None = None
    serving: threading.Lock = field(default_factory=threading.Lock)

    def shown(self) -> dict[str, Any]:
        forwarding = self.forwarding
        return self.forward.as_json(
            listening=forwarding is not None,
            connections=forwarding.connections if forwarding else 0,
            activity=self.activity,
            problem=self.problem or (forwarding.problem if forwarding else None),
        )


class Tunnels:
    """The tunnels of environment *name*; *link* gives the present link. Any thread may call."""

    def __init__(self, name: str, link: Callable[[], AgentLink | None], serve: Serve) -> None:
        self._name = name
        self._link = link
        self._serve = serve
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._tunnels = {each.key: _Tunnel(each) for each in read_forwards(name)}

    def follow(self, spec_ports: Sequence[str]) -> None:
        """Have what the spec asks for, and try again what could not be listened on."""
        wishes = {str(wish.port): wish for wish in map(port_wish, spec_ports)}
        with self._lock:
            for key, tunnel in list(self._tunnels.items()):
                if tunnel.forward.from_spec and key not in wishes:
                    self._drop(key)
            for key, wish in wishes.items():
                present = self._tunnels.get(key)
                if present is None or (present.forward.from_spec and not _fulfils(present.forward, wish)):
                    self._drop(key)
                    self._tunnels[key] = _Tunnel(_forward(wish, from_spec=True))
            for tunnel in self._tunnels.values():
                if tunnel.forwarding is None:
                    self._try_to_listen(tunnel)

    def add(self, wishes: Iterable[PortWish]) -> None:
        """Forward what *wishes* ask for; one that differs replaces the tunnel of its port.

        Raises:
            PortTaken: a local port that was asked for is not free; tunnels before it in the list are there.
        """
        with self._lock:
            for wish in wishes:
                key = str(wish.port)
                present = self._tunnels.get(key)
                if present is not None and present.forwarding is not None and _fulfils(present.forward, wish):
                    continue
                before = self._drop(key)
                tunnel = _Tunnel(_forward(wish, from_spec=False))
                try:
                    self._listen(tunnel)
                except PortTaken:
                    if before is not None:
                        self._tunnels[key] = _Tunnel(before)
                        self._try_to_listen(self._tunnels[key])
                    raise
                self._tunnels[key] = tunnel
                self._remember()

    def serve(self, service: str) -> Forward:
        """Bring up *service* on the pod, unless it is, and have it here, at its old address and with its old secret.

        Raises:
            DevpodError: it could not be brought up; the tunnel stays and tries again at the next connection.
        """
        with self._lock:
            tunnel = self._tunnels.get(service)
            if tunnel is None:
                secret = secrets.token_urlsafe(_SECRET_BYTES)
                tunnel = self._tunnels[service] = _Tunnel(Forward(None, None, service=service, secret=secret))
            if tunnel.forwarding is None:
                self._listen(tunnel)
                self._remember()
        self._bring_up(tunnel, self._present_link(), again=True)
        return tunnel.forward

    def connected(self) -> None:
        """There is a new link: services are brought up again, in the background."""
        with self._lock:
            services = [each for each in self._tunnels.values() if each.forward.service is not None]
        for tunnel in services:
            threading.Thread(
                target=self._bring_up_again, args=(tunnel,), name=f"serve {tunnel.forward.key}", daemon=True
            ).start()

    def remove(self, keys: Iterable[str]) -> None:
        """End the tunnels with *keys* (ports, names of services or labels).

        Raises:
            UsageError: there is none of that name, or the spec asks for it.
        """
        with self._lock:
            for wanted in keys:
                key = next((key for key, each in self._tunnels.items() if wanted in (key, each.forward.label)), None)
                if key is None:
                    known = ", ".join(self._tunnels) or "none"
                    raise UsageError(f"There is no tunnel {wanted!r}.", hint=f"the tunnels are: {known}.")
                if self._tunnels[key].forward.from_spec:
                    raise UsageError(
                        f"The configuration asks for port {key}.", hint="take it out of forward_ports, and up again."
                    )
                self._drop(key)
                self._remember()

    def status(self) -> list[dict[str, Any]]:
        """Every tunnel, as ``status`` and ``forward`` show it."""
        with self._lock:
            return [each.shown() for each in self._tunnels.values()]

    def close(self) -> None:
        """Give every port back; what was wanted is remembered."""
        self._closed.set()
        with self._lock:
            for tunnel in self._tunnels.values():
                if tunnel.forwarding is not None:
                    tunnel.forwarding.close()

    # Listening.

    def _try_to_listen(self, tunnel: _Tunnel) -> None:
        try:
            self._listen(tunnel)
        except PortTaken as taken:
            if tunnel.problem != taken.message:
                log.warning("tunnel=%s problem=%s", tunnel.forward.key, taken.message)
            tunnel.problem = taken.message
        else:
            self._remember()

    def _listen(self, tunnel: _Tunnel) -> None:
        wish = tunnel.forward
        tunnel.forwarding = self._first_free(tunnel, _candidates(wish))
        tunnel.forward = dataclasses.replace(wish, local_port=tunnel.forwarding.port)
        tunnel.problem = None
        log.info("tunnel=%s local=%d", wish.key, tunnel.forwarding.port)

    def _first_free(self, tunnel: _Tunnel, candidates: Sequence[int]) -> Forwarding:
        for port in candidates[:-1]:
            try:
                return Forwarding(port, lambda: self._dial(tunnel))
            except PortTaken as taken:
                log.info("tunnel=%s taken=%s", tunnel.forward.key, taken.message)
        return Forwarding(candidates[-1], lambda: self._dial(tunnel))

    def _drop(self, key: str) -> Forward | None:
        tunnel = self._tunnels.pop(key, None)
        if tunnel is None:
            return None
        if tunnel.forwarding is not None:
            tunnel.forwarding.close()
        return tunnel.forward

    def _remember(self) -> None:
        write_forwards(self._name, [each.forward for each in self._tunnels.values()])

    # Carrying.

    def _dial(self, tunnel: _Tunnel) -> Stream:
        """A stream to the pod, which may just be coming back."""
        while True:
            link = self._present_link()
            try:
                port = tunnel.forward.port or self._bring_up(tunnel, link)
                return link.connection.dial(port)
            except NothingListens:
                if tunnel.forward.service is None or not link.alive:
                    raise
                # It ended since it was brought up.
                self._bring_up(tunnel, link, again=True)
            except Unreachable as lost:
                log.debug("tunnel=%s lost=%s", tunnel.forward.key, lost.message)
                if link.alive:
                    raise
            if self._closed.wait(_LOOK_SECONDS):
                raise UnreachableError("The keeper ends.")

    def _present_link(self) -> AgentLink:
        """The link, which may just be coming back.

        Raises:
            UnreachableError: it did not come back in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            link = self._link()
            if link is not None and link.alive:
                return link
            if time.monotonic() > deadline or self._closed.wait(_LOOK_SECONDS):
                raise UnreachableError(
                    f"{self._name} is not connected.", hint=f"devpod-rp up {self._name} connects it."
                )

    # Services.

    def _bring_up(self, tunnel: _Tunnel, link: AgentLink, *, again: bool = False) -> int:
        """The port of the service on the pod at the other end of *link*; *again*: do not trust what is known."""
        with tunnel.serving:
            if not again and tunnel.served is not None and tunnel.served[0] is link:
                return tunnel.served[1]

            def say(text: str) -> None:
                tunnel.activity = text

            try:
                port = self._serve(load(self._name), link, tunnel.forward, say)
            except DevpodError as error:
                tunnel.problem = error.message
                raise
            finally:
                tunnel.activity = None
            tunnel.served, tunnel.problem = (link, port), None
            return port

    def _bring_up_again(self, tunnel: _Tunnel) -> None:
        try:
            self._bring_up(tunnel, self._present_link())
        except DevpodError as error:
            log.warning("service=%s problem=%s", tunnel.forward.key, error.message)


def _add(tunnels: Tunnels, fields: Mapping[str, Any]) -> None:
    try:
        wishes = [port_wish(str(text)) for text in fields.get("ports", ())]
    except ValueError as error:
        raise UsageError(str(error)) from error
    tunnels.add(wishes)


def _remove(tunnels: Tunnels, fields: Mapping[str, Any]) -> None:
    tunnels.remove([str(key) for key in fields.get("keys", ())])


def _serve(tunnels: Tunnels, fields: Mapping[str, Any]) -> None:
    tunnels.serve(str(fields["service"]))


TUNNEL_OPS: dict[str, Callable[[Tunnels, Mapping[str, Any]], None]] = {
    "forward": _add,
    "unforward": _remove,
    "serve": _serve,
}
"""What a control request asks of the tunnels; each answers with the list of them."""


def _forward(wish: PortWish, *, from_spec: bool) -> Forward:
    return Forward(wish.port, wish.local, wish.label, exact=wish.local is not None, from_spec=from_spec)


def _fulfils(forward: Forward, wish: PortWish) -> bool:
    at_will = wish.local is None and not forward.exact
    return forward.label == wish.label and (at_will or (forward.exact and forward.local_port == wish.local))


def _candidates(forward: Forward) -> list[int]:
    """The local ports to try, best first; 0 is any."""
    if forward.exact and forward.local_port is not None:
        return [forward.local_port]
    first = forward.local_port or forward.port
    if first is None:
        return [0]
    if first < _FIRST_FREE_FOR_ALL:
        first += _ABOVE_THE_RESERVED
    return [*range(first, min(first + _NEAR, 65536)), 0]
