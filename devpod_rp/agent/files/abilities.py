"""What a file system makes of names and modes: not every disk can hold what another one holds."""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from typing import Any, Dict, List, NamedTuple, Optional

_RESERVED = frozenset('<>:"|?*\\') | {chr(number) for number in range(1, 32)}
_DEVICES = frozenset(
    ("CON", "PRN", "AUX", "NUL", *("COM%d" % number for number in range(1, 10)), *("LPT%d" % n for n in range(1, 10)))
)


class Abilities(NamedTuple):
    """*folds_case*: "A" and "a" are one name. *folds_unicode*: so are the two ways to write "é". *trims*: dots and
    spaces at the end of a name are lost. *reserves*: the characters that Windows keeps for itself are refused.
    *only_text*: names must be UTF-8. *devices*: names such as CON are refused. *keeps_executable*: files have that bit.
    """

    folds_case: bool = False
    folds_unicode: bool = False
    trims: bool = False
    reserves: bool = False
    only_text: bool = False
    devices: bool = False
    keeps_executable: bool = True

    @property
    def folds(self) -> bool:
        return self.folds_case or self.folds_unicode

    def folded(self, name: str) -> str:
        """Two names of one folder are one for this file system when this is equal for both."""
        if self.folds_unicode:
            name = unicodedata.normalize("NFC", name)
        return name.casefold() if self.folds_case else name

    def objection(self, name: str) -> Optional[str]:
        """Why *name* cannot be made there, if so."""
        if self.reserves and not _RESERVED.isdisjoint(name):
            return "has one of the characters " + " ".join(sorted('<>:"|?*\\'))
        if self.trims and name[-1:] in (".", " "):
            return "ends in a dot or a space"
        if self.devices and name.split(".")[0].rstrip().upper() in _DEVICES:
            return "is the name of a device"
        if self.only_text and not _is_text(name):
            return "is no text (UTF-8)"
        return None

    def to_wire(self) -> Dict[str, bool]:
        return self._asdict()


PLAIN = Abilities()
"""What the file systems of Linux do."""

WINDOWS = Abilities(True, False, True, True, True, True, False)


def from_wire(told: Any) -> Abilities:
    """What the other side says; what it does not say is as on Linux."""
    known = told if isinstance(told, dict) else {}
    return Abilities(**{name: bool(known.get(name, default)) for name, default in PLAIN._asdict().items()})


def probe(folder: bytes) -> Abilities:
    """Find out by making files in *folder*, which are removed again.

    Raises:
        OSError: not even a plain file can be made there (a full disk, for example).
    """
    if os.name == "nt":
        return WINDOWS
    made: List[bytes] = []
    prefix = os.path.join(folder, b"probe-%d-" % os.getpid())

    def make(name: str) -> bool:
        path = prefix + name.encode("utf-8", "surrogateescape")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            return False
        made.append(path)
        return True

    def present(name: str) -> bool:
        return os.path.lexists(prefix + name.encode("utf-8", "surrogateescape"))

    plain = prefix + b"a"
    os.close(os.open(plain, os.O_WRONLY | os.O_CREAT, 0o600))
    made.append(plain)
    try:
        folds_case = present("A")
        folds_unicode = make("\u00e9") and present("e\u0301")
        dotted = prefix + b"a."
        trims = not make("a.") or os.path.basename(dotted) not in os.listdir(folder)
        return Abilities(
            folds_case=folds_case,
            folds_unicode=folds_unicode,
            trims=trims,
            reserves=not make("a:b"),
            only_text=not make("\udcff"),
            keeps_executable=_keeps_executable(plain),
        )
    finally:
        for path in made:
            with suppress(OSError):
                os.unlink(path)


def _keeps_executable(path: bytes) -> bool:
    try:
        seen = set()
        for mode in (0o600, 0o700):
            os.chmod(path, mode)
            seen.add(os.stat(path).st_mode & 0o100)
        return len(seen) == 2
    except OSError:
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
