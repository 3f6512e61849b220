"""A server of one file, as a company keeps its own, that counts who asks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Mirror(ThreadingHTTPServer):
    def __init__(self, archive: Path) -> None:
        self.asked = 0
        mirror = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked += 1
                super().do_GET()

            def log_message(self, *_: object) -> None:
                """The count is all we want to know."""

        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(archive.parent)))
        self.url = f"http://127.0.0.1:{self.server_port}/{archive.name}"


@contextmanager
def serving(archive: Path) -> Iterator[Mirror]:
    with Mirror(archive) as server:
        thread = threading.Thread(target=server.serve_forever, name="mirror")
        thread.start()
        yield server
        server.shutdown()
        thread.join()
