"""RunPod's API key: where it is looked for, and where ``login`` puts it.

First ``RUNPOD_API_KEY``; then what ``login`` stored (the operating system's keyring, or a file that only its owner
reads); then runpodctl's ``~/.runpod/config.toml``. A small file without the key says which store ``login`` used, so
that nobody's keyring is opened, or unlocked, who never logged in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import AuthenticationError, ConfigurationError
from devpod_rp.spec.toml_file import read_toml

VARIABLE = "RUNPOD_API_KEY"
_SERVICE, _USER = "devpod-rp", "runpod-api-key"
_IN_KEYRING, _IN_FILE = "keyring", "file"


@dataclass(frozen=True)
class ApiKey:
    """A key and the source that gave it, in the words of an announcement."""

    key: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Stored:
    """Where ``login`` put the key; *warning* says why it is not the keyring."""

    store: str
    where: str
    warning: str | None = None


def find(environ: Mapping[str, str] = os.environ) -> ApiKey | None:
    """The first key there is.

    Raises:
        AuthenticationError: the stored key cannot be read; another account's key is not taken instead.
        ConfigurationError: runpodctl's file is needed and cannot be read.
    """
    given = environ.get(VARIABLE, "").strip()
    if given:
        return ApiKey(given, f"{VARIABLE} is set")
    return _stored() or _of_runpodctl()


def store(key: str) -> Stored:
    """Put *key* into the keyring, else into a file with mode 0600; what was stored before is replaced."""
    forget()
    problem = _into_keyring(key)
    if problem is None:
        _note(_IN_KEYRING)
        return Stored(_IN_KEYRING, _keyring_name())
    path = paths.api_key_file()
    write_atomically(path, key.encode("utf-8") + b"\n", mode=0o600)
    _note(_IN_FILE)
    warning = f"no keyring can be used ({problem}), so the key is in {path}, readable by you alone"
    return Stored(_IN_FILE, str(path), warning)


def forget() -> str | None:
    """Remove the key that ``login`` stored; the answer is the store it was in, None if there was none.

    Raises:
        AuthenticationError: the keyring keeps it.
    """
    where = _store()
    if where == _IN_KEYRING:
        _out_of_keyring()
    paths.api_key_file().unlink(missing_ok=True)
    paths.login_file().unlink(missing_ok=True)
    return where


def _stored() -> ApiKey | None:
    where = _store()
    if where == _IN_KEYRING:
        return ApiKey(_from_keyring(), "devpod-rp login, keyring")
    if where == _IN_FILE:
        return ApiKey(_from_file(), "devpod-rp login")
    return None


def _store() -> str | None:
    path = paths.login_file()
    try:
        noted: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", hint="devpod-rp login writes it anew.") from error
    found = noted.get("store") if isinstance(noted, dict) else None
    return found if found in (_IN_KEYRING, _IN_FILE) else None


def _note(where: str) -> None:
    write_atomically(paths.login_file(), json.dumps({"store": where}).encode("utf-8"), mode=0o600)


def _from_file() -> str:
    path = paths.api_key_file()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(f"{path} cannot be read: {error}") from error


def _of_runpodctl() -> ApiKey | None:
    """The key of runpodctl (``apikey``) or of RunPod's Python package (``api_key`` of the default profile)."""
    path = paths.runpodctl_config()
    if not path.is_file():
        return None
    values = read_toml(path)
    profile = values.get("default")
    key = values.get("apikey") or (profile.get("api_key") if isinstance(profile, dict) else None)
    if not isinstance(key, str) or not key.strip():
        return None
    return ApiKey(key.strip(), f"{path} has a key")


def _into_keyring(key: str) -> str | None:
    """Why *key* could not be stored, None once it can be read back."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(_SERVICE, _USER, key)
        kept = keyring.get_password(_SERVICE, _USER)
    except (KeyringError, OSError, RuntimeError) as error:
        return str(error).partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
    return None if kept == key else "it does not give back what it was given"


def _from_keyring() -> str:
    import keyring
    from keyring.errors import KeyringError

    try:
        key = keyring.get_password(_SERVICE, _USER)
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unreadable(f"the keyring does not give the API key: {error}") from error
    if not key:
        raise _unreadable("the keyring no longer has the API key")
    return key


def _out_of_keyring() -> None:
    import keyring
    from keyring.errors import KeyringError, PasswordDeleteError

    try:
        if keyring.get_password(_SERVICE, _USER) is not None:
            keyring.delete_password(_SERVICE, _USER)
    except PasswordDeleteError as error:
        raise _unreadable(f"the keyring does not let the API key go: {error}") from error
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unreadable(f"the keyring does not answer: {error}") from error


def _keyring_name() -> str:
    import keyring

    return str(keyring.get_keyring().name)


def _unreadable(what: str) -> AuthenticationError:
    return AuthenticationError(
        f"{what[0].upper()}{what[1:]}.",
        hint=f"unlock it, or devpod-rp login again; {VARIABLE} goes before what is stored.",
    )
