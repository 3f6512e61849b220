"""Bringing a program onto the pod, whole or not at all: unpacked or built beside its place, then renamed into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from typing import Any, Callable, Dict, List, Optional

Say = Callable[[str], None]

_PIECE_BYTES = 1 << 20
_SILENT_SECONDS = 60.0
_LAST_WORDS = 400


class InstallFailed(Exception):
    """What was asked for could not be installed; the text says why, and nothing half-made is left."""


def unpacked(place: str, url: str, sha256: str, title: str, say: Say) -> None:
    """Download *url*, a tar archive with one folder at its top, and unpack that folder as *place*.

    Nothing is unpacked unless the archive's digest is *sha256*.

    Raises:
        InstallFailed: it cannot be downloaded, or is another archive.
    """
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    archive, draft = place + ".download", place + ".new"
    try:
        found = _download(url, archive, title, say)
        if found != sha256:
            raise InstallFailed(
                "{0} is not the archive that was pinned: its SHA-256 is {1}, not {2}".format(url, found, sha256)
            )
        say("Unpacking {0}".format(title))
        _remove(draft)
        with tarfile.open(archive) as tar:
            for member in tar:
                _top, _, member.name = member.name.partition("/")
                if member.islnk():
                    member.linkname = member.linkname.partition("/")[2]
                if member.name and ".." not in member.name.split("/"):
                    tar.extract(member, draft, numeric_owner=True)
        os.rename(draft, place)
    except (OSError, tarfile.TarError) as error:
        raise InstallFailed("{0}: {1}".format(url, error)) from error
    finally:
        _remove(archive)
        _remove(draft)


def virtual_environment(place: str, requirement: str, say: Say) -> None:
    """Make a virtual environment at *place* that has *requirement*, and sees the packages of this Python.

    Raises:
        InstallFailed: venv or pip failed; their last words say why.
    """
    # Not built beside and renamed: the paths inside would be wrong. The stamp says that it is whole.
    _remove(place)
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    try:
        say("Making a virtual environment for {0}".format(requirement))
        _run([_python(), "-m", "venv", "--system-site-packages", place])
        say("Installing {0}".format(requirement))
        _run([os.path.join(place, "bin", "python"), "-m", "pip", "install", "--quiet", requirement])
        with open(os.path.join(place, STAMP), "w", encoding="utf-8") as stream:
            stream.write(requirement + "\n")
    except BaseException:
        _remove(place)
        raise


STAMP = ".devpod-complete"
"""What a virtual environment holds once it is whole."""


def is_whole(place: str) -> bool:
    return os.path.exists(os.path.join(place, STAMP))


def _python() -> str:
    """The Python whose packages a notebook should see: the one on PATH, else ours."""
    return shutil.which("python3") or sys.executable


def _run(command: List[str], environ: Optional[Dict[str, str]] = None) -> None:
    done: Any = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, check=False
    )
    if done.returncode != 0:
        words = done.stdout.decode("utf-8", "replace").strip()[-_LAST_WORDS:]
        raise InstallFailed("{0} ended with code {1}: {2}".format(" ".join(command[:5]), done.returncode, words))


def _download(url: str, target: str, title: str, say: Say) -> str:
    """Store *url* as *target*; gives the SHA-256 of what came."""
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "devpod-rp"})  # noqa: S310 - the user's or our own
    with urllib.request.urlopen(request, timeout=_SILENT_SECONDS) as response, open(target, "wb") as stream:  # noqa: S310
        total = int(response.headers.get("Content-Length") or 0)
        done, told = 0, -1
        while True:
            piece = response.read(_PIECE_BYTES)
            if not piece:
                break
            stream.write(piece)
            digest.update(piece)
            done += len(piece)
            percent = 100 * done // total if total else 0
            if percent // 5 != told:
                told = percent // 5
                share = ", {0} %".format(percent) if total else ""
                say("Downloading {0}: {1} MB{2}".format(title, done // 10**6, share))
        if total and done < total:
            raise InstallFailed("{0} ended after {1} of {2} bytes".format(url, done, total))
    return digest.hexdigest()


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
