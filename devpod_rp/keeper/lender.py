"""Answering git on the pod, which asks for credentials of this machine (``furnishing/git_credentials.py``)."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devpod_rp.agent.servers.lending import MARK
from devpod_rp.errors import DevpodError

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 16

Answer = Callable[[Mapping[str, str]], dict[str, str]]


class Lender:
    """Serves the pod at the other end of each link, as long as that lasts. *hosts* may change between links."""

    def __init__(self, hosts: Callable[[], tuple[str, ...]], answer: Answer) -> None:
        self._hosts = hosts
        self._answer = answer

    def connected(self, link: AgentLink) -> None:
        """There is a new link: whoever asks there is answered, in the background."""
        # A daemon: an answer that is cut off is asked for again.
        threading.Thread(target=self._serve, args=(link,), name="git-credentials", daemon=True).start()

    def _serve(self, link: AgentLink) -> None:
        hosts = self._hosts()
        if not hosts:
            return
        try:
            self._lend(link, hosts)
        except DevpodError as error:
            log.info("git-credentials=ended reason=%s", error.message)

    def _lend(self, link: AgentLink, hosts: tuple[str, ...]) -> None:
        from devpod_rp.pod import bootstrap

        request = f"{json.dumps({'hosts': list(hosts)})}\n".encode()
        command, payload = bootstrap.program("servers.lending", request)
        channel = link.connection.channel(command)
        try:
            channel.stdin.write(payload)
            channel.stdin.flush()
            log.info("git-credentials=lent hosts=%s", ",".join(hosts))
            # A shell's start files may print before.
            while line := channel.stdout.readline(_LONGEST_LINE):
                _, mark, question = line.decode("utf-8", "replace").partition(MARK)
                if mark:
                    channel.stdin.write(json.dumps(self._answered(json.loads(question))).encode() + b"\n")
                    channel.stdin.flush()
        finally:
            channel.close()

    def _answered(self, question: Mapping[str, str]) -> dict[str, str]:
        try:
            return self._answer(question)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("git-credentials=failed error=%s", error)
            return {}
