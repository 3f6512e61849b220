"""A keyring of the tests' own, chosen as any other: by PYTHON_KEYRING_BACKEND. It keeps everything in one file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError


class Drawer(KeyringBackend):
    """Passwords in the file that DRAWER names; one that holds ``locked`` lets nothing in."""

    priority: Any = 1

    def set_password(self, service: str, username: str, password: str) -> None:
        if _path().exists() and _path().read_text() == "locked":
            raise PasswordSetError("the drawer is locked")
        _path().write_text(json.dumps({**_content(), f"{service}/{username}": password}))

    def get_password(self, service: str, username: str) -> str | None:
        found: str | None = _content().get(f"{service}/{username}")
        return found

    def delete_password(self, service: str, username: str) -> None:
        content = _content()
        if content.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("not there")
        _path().write_text(json.dumps(content))


def _path() -> Path:
    return Path(os.environ["DRAWER"])


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_path().read_text()) if _path().exists() else {}
    return content
