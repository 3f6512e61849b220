"""Our two lines in somebody else's SSH configuration: bytes in, bytes out, every other byte as it was.

The Include stands before the first ``Host`` or ``Match``: below one it would belong to that block and silently not
apply, and VS Code would not list our hosts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

COMMENT = b"# devpod_rp: hosts of your RunPod pods"

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BLOCK = re.compile(rb'^\s*"?(host|match)"?(\s|=|$)', re.IGNORECASE)
_INCLUDE = re.compile(rb'^\s*"?include"?(?:\s*=\s*|\s+)(.*)$', re.IGNORECASE | re.DOTALL)
_ARGUMENT = re.compile(rb'"([^"]*)"|([^\s"]+)')

Names = Callable[[str], bool]
"""Whether an argument of Include, unquoted, names our file."""


class NotSshConfigurationError(ValueError):
    """The bytes are in an encoding that no SSH client reads."""


def with_include(content: bytes, argument: str, names_us: Names) -> bytes:
    """*content* with ``Include`` *argument* at the top, moved there from below a block, or unchanged if it is there.

    A UTF-8 byte order mark is dropped, because OpenSSH refuses the whole file for it. A file that includes us above
    its first block already is left alone, wherever there: other tools want to be first too.

    Raises:
        NotSshConfigurationError: *content* is UTF-16.
    """
    if content.startswith(_UTF16):
        raise NotSshConfigurationError("it is UTF-16, which OpenSSH cannot read")
    body = content.removeprefix(_BOM)
    for line in body.split(b"\n"):
        if _BLOCK.match(line):
            break
        if any(names_us(each) for each in _included(line)):
            return body
    newline = b"\r\n" if body.partition(b"\n")[0].endswith(b"\r") else b"\n"
    ours = COMMENT + newline + b"Include " + os.fsencode(argument) + newline
    return ours + without_include(body, names_us)


def without_include(content: bytes, names_us: Names) -> bytes:
    """*content* without our comment and without the Include lines that name our file and nothing else."""
    # Only "\n" ends a line for OpenSSH; splitlines() would also cut at a lone "\r".
    return b"".join(line for line in re.findall(rb"[^\n]*\n|[^\n]+", content) if not _is_ours(line, names_us))


def _is_ours(line: bytes, names_us: Names) -> bool:
    included = _included(line)
    return line.strip() == COMMENT or (len(included) == 1 and names_us(included[0]))


def _included(line: bytes) -> list[str]:
    found = _INCLUDE.match(line)
    if found is None:
        return []
    return [os.fsdecode(quoted or bare) for quoted, bare in _ARGUMENT.findall(found[1])]
