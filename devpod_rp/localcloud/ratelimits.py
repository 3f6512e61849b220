"""Request quotas per minute, hour and day, and the headers that tell clients about them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devpod_rp.localcloud.problems import too_many_requests

_WINDOW_SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass
class _Window:
    ends_at: float
    used: int = 0


class RateLimits:
    """Fixed windows for the one account there is."""

    def __init__(self, quotas: Mapping[str, int], clock: Callable[[], float]) -> None:
        self._quotas = quotas
        self._clock = clock
        self._lock = threading.Lock()
        self._windows = {name: _Window(0.0) for name in _WINDOW_SECONDS}

    def count(self) -> dict[str, str]:
        """Count one request; the ``RateLimit`` and ``RateLimit-Policy`` headers that go with its response.

        Raises:
            Problem: 429 with ``Retry-After``, the first exhausted window.
        """
        with self._lock:
            now = self._clock()
            for name, window in self._windows.items():
                if now >= window.ends_at:
                    self._windows[name] = _Window(now + _WINDOW_SECONDS[name])
            for name, window in self._windows.items():
                if window.used >= self._quotas[name]:
                    problem = too_many_requests(name, int(window.ends_at - now) + 1)
                    problem.headers.update(self._headers(now))
                    raise problem
            for window in self._windows.values():
                window.used += 1
            return self._headers(now)

    def _headers(self, now: float) -> dict[str, str]:
        state = ", ".join(
            f'"{name}";r={max(0, self._quotas[name] - window.used)};t={max(0, int(window.ends_at - now))}'
            for name, window in self._windows.items()
        )
        policy = ", ".join(f'"{name}";q={self._quotas[name]};w={seconds}' for name, seconds in _WINDOW_SECONDS.items())
        return {"RateLimit": state, "RateLimit-Policy": policy}
