"""Faults of a real connection: a server that hangs up in the middle, answers nonsense, or is not there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from devpod_rp.runpod import errors
from devpod_rp.runpod.client import RunPod
from devpod_rp.runpod.model import CreatePodRequest
from tests.runpod.scripted import KEY

REQUEST = CreatePodRequest(name="dev")
POD = b'{"id": "p1", "name": "dev", "status": "RUNNING"}'


class Server:
    """Answers one connection after the other with the given bytes, and hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(answers,), name="one-answer-server")
        self._thread.start()

    def _serve(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                self.requests.append(request)
                connection.sendall(answer)

    def end(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def client(url: str) -> RunPod:
    return RunPod(url, KEY, sleep=lambda _: None)


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(*request.param)
    yield server
    server.end()


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


CUT = http(POD, length=len(POD) + 50)


@pytest.mark.parametrize("served", [(b"", CUT, b"SSH-2.0-OpenSSH_9.9\r\n", http(POD))], indirect=True)
def test_a_question_survives_hang_ups_and_nonsense(served: Server) -> None:
    with client(served.url) as cloud:
        assert cloud.get_pod("p1").id == "p1"
    assert len(served.requests) == 4


@pytest.mark.parametrize("served", [(b"",), (CUT,), (b"SSH-2.0-OpenSSH_9.9\r\n",)], indirect=True)
def test_a_creation_that_breaks_off_is_ambiguous(served: Server) -> None:
    with client(served.url) as cloud, pytest.raises(errors.Ambiguous):
        cloud.create_pod(REQUEST)
    assert len(served.requests) == 1


def test_a_port_where_nobody_listens_is_unreachable_even_for_a_creation() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client(f"http://127.0.0.1:{port}") as cloud, pytest.raises(errors.Unreachable) as caught:
        cloud.create_pod(REQUEST)
    assert not isinstance(caught.value, errors.Ambiguous)


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    with client("http://no-such-host.invalid") as cloud, pytest.raises(errors.Unreachable, match="cannot be reached"):
        cloud.list_pods()
