"""Our two lines in somebody else's SSH configuration: bytes in, bytes out, every other byte as it was.

The Include stands before the first ``Host`` or ``Match``: below one it would belong to that block and silently not
apply, and VS Code would not list our hosts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

COMMENT = b"# devpod_rp: hosts of your RunPod pods"
# What the comment remembers, so that taking our lines out again gives back the file as it was.
_OF_MARKED_FILE = COMMENT + b" (OpenSSH refuses the byte order mark that was here)"
_OF_OWN_FILE = COMMENT + b" (this file was made for them)"

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BLOCK = re.compile(rb'^\s*"?(host|match)"?(\s|=|$)', re.IGNORECASE)
_INCLUDE = re.compile(rb'^\s*"?include"?(?:\s*=\s*|\s+)(.*)$', re.IGNORECASE | re.DOTALL)
_ARGUMENT = re.compile(rb'"([^"]*)"|([^\s"]+)')

Names = Callable[[str], bool]
"""Whether an argument of Include, unquoted, names our file."""


class NotSshConfigurationError(ValueError):
    """The bytes are in an encoding that no SSH client reads."""


def with_include(content: bytes | None, argument: str, names_us: Names) -> bytes:
    """*content* (None: no file) with ``Include`` *argument* at the top, or unchanged if it is there.

    Below a block it is moved to the top. A UTF-8 byte order mark gives way to our comment, because OpenSSH refuses
    the whole file for it. A file that includes us above its first block already is left alone, wherever there: other
    tools want to be first too.

    Raises:
        NotSshConfigurationError: *content* is UTF-16.
    """
    body = content or b""
    if body.startswith(_UTF16):
        raise NotSshConfigurationError("it is UTF-16, which OpenSSH cannot read")
    marked = body.startswith(_BOM)
    body = body.removeprefix(_BOM)
    if not marked and includes_us(body, names_us):
        return body
    newline = b"\r\n" if body.partition(b"\n")[0].endswith(b"\r") else b"\n"
    known = {line.strip() for line in body.split(b"\n")}
    if content is None or _OF_OWN_FILE in known:
        comment = _OF_OWN_FILE
    else:
        comment = _OF_MARKED_FILE if marked or _OF_MARKED_FILE in known else COMMENT
    return comment + newline + b"Include " + os.fsencode(argument) + newline + _foreign(body, names_us)


def without_include(content: bytes, names_us: Names) -> bytes | None:
    """*content* as it was before our lines: without our comment and the Includes that name our file and nothing else.

    None if the file was made for them and holds nothing else.
    """
    lines = {line.strip() for line in content.split(b"\n")}
    foreign = _foreign(content, names_us)
    if _OF_OWN_FILE in lines and not foreign:
        return None
    return _BOM + foreign if _OF_MARKED_FILE in lines else foreign


def includes_us(body: bytes, names_us: Names) -> bool:
    """Whether an Include above the first block of *body* names our file."""
    for line in body.split(b"\n"):
        if _BLOCK.match(line):
            return False
        if any(names_us(each) for each in _included(line)):
            return True
    return False


def _foreign(content: bytes, names_us: Names) -> bytes:
    # Only "\n" ends a line for OpenSSH; splitlines() would also cut at a lone "\r".
    return b"".join(line for line in re.findall(rb"[^\n]*\n|[^\n]+", content) if not _is_ours(line, names_us))


def _is_ours(line: bytes, names_us: Names) -> bool:
    included = _included(line)
    ours = line.strip() in (COMMENT, _OF_MARKED_FILE, _OF_OWN_FILE)
    return ours or (len(included) == 1 and names_us(included[0]))


def _included(line: bytes) -> list[str]:
    found = _INCLUDE.match(line)
    if found is None:
        return []
    return [os.fsdecode(quoted or bare) for quoted, bare in _ARGUMENT.findall(found[1])]
