"""What a first upload would carry: its size, what weighs most in it, and what looks like a secret."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.files.tree import Walk
from devpod_rp.errors import ConfigurationError
from devpod_rp.sync.ignore import IgnoreRules

HEAVY_BYTES = 100_000_000
"""Above it a person may want to know of a folder or file before it travels."""

_HEAVIEST = 5
_MOSTLY = 0.8
_SECRETS = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pypirc", ".npmrc", ".git-credentials", ".htpasswd",
    ".pgpass", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks",
    "*.kdbx", "*.tfstate", "credentials", "credentials.*", "client_secret*.json", "service[-_]account*.json",
    "secrets.*", "kubeconfig", "kaggle.json",
)  # fmt: skip
_NO_SECRETS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub", "*.py", "*.md", "*.crt.pem", "cacert.pem")
_SPECIAL = re.compile(r"([\\*?\[\]])")


@dataclass(frozen=True)
class Weight:
    """A file, or a folder (then *path* ends with ``/``), with all that is in it."""

    path: str
    files: int
    size_bytes: int


@dataclass(frozen=True)
class Preview:
    """*heaviest* are the largest parts, the largest first; *secrets* are told by their names alone; *hard_links* is how
    many names share the content of another one here, and will not on the pod."""

    files: int
    size_bytes: int
    heaviest: tuple[Weight, ...]
    secrets: tuple[str, ...]
    hard_links: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "bytes": self.size_bytes,
            "heaviest": [{"path": each.path, "files": each.files, "bytes": each.size_bytes} for each in self.heaviest],
            "secrets": list(self.secrets),
            "hard_links": self.hard_links,
        }


def preview(folder: Path, ignore: Sequence[str] = ()) -> Preview:
    """Look at *folder* as a first synchronisation would, without reading any file's content.

    Raises:
        ConfigurationError: the folder cannot be read.
    """
    rules = IgnoreRules(folder, ignore)
    walk = Walk(str(folder), sift=rules.sift, reads=False)
    try:
        for _step in walk.steps():
            pass
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}.") from error
    found = walk.take()
    return summary(found.entries, found.stamps.values())


def summary(entries: Mapping[str, Entry], stamps: Collection[Stamp] = ()) -> Preview:
    """What *entries*, by relative path, come to; *stamps* are those of their files."""
    files = {path: entry.size for path, entry in entries.items() if entry.kind != "dir"}
    weights: dict[str, list[int]] = {}
    for path, size in files.items():
        for name in (path, *_folders(path)):
            weight = weights.setdefault(name, [0, 0])
            weight[0] += 1
            weight[1] += size
    children: dict[str, list[str]] = {}
    for name in weights:
        children.setdefault(_above(name), []).append(name)
    heaviest = sorted((_heart(name, weights, children) for name in children.get("", ())), key=lambda each: -each[1])
    return Preview(
        len(files),
        sum(files.values()),
        tuple(Weight(name, weights[name][0], size) for name, size in heaviest[:_HEAVIEST] if size),
        tuple(sorted(path for path in files if looks_secret(path))),
        len(stamps) - len(set(stamps)),
    )


def looks_secret(path: str) -> bool:
    """Whether the name of *path* is one under which people keep keys, tokens and passwords."""
    name = path.rpartition("/")[2].lower()
    return _matches(name, _SECRETS) and not _matches(name, _NO_SECRETS)


def ignore_line(path: str) -> str:
    """The line of an ignore file that leaves out exactly *path* (a folder ends with ``/``).

    Raises:
        ValueError: no line can say it, as the name holds a line break or cannot be written as text.
    """
    if "\n" in path or "\r" in path:
        raise ValueError("a name with a line break cannot stand in an ignore file")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a name that is no text cannot stand in an ignore file") from error
    escaped = _SPECIAL.sub(r"\\\1", path)
    bare = escaped.rstrip(" ")
    return "/" + bare + r"\ " * (len(escaped) - len(bare))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _folders(path: str) -> Iterable[str]:
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)


def _above(name: str) -> str:
    above, slash, _ = name.rstrip("/").rpartition("/")
    return above + slash


def _heart(name: str, weights: Mapping[str, list[int]], children: Mapping[str, list[str]]) -> tuple[str, int]:
    """The deepest part of *name* that holds most of its weight: what one would leave out."""
    size = weights[name][1]
    while inside := children.get(name):
        largest = max(inside, key=lambda child: weights[child][1])
        if weights[largest][1] < _MOSTLY * size:
            break
        name, size = largest, weights[largest][1]
    return name, size
