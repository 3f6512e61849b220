"""Which symbolic links travel: those that mean the same on the other side. Pure."""

from __future__ import annotations


def leaves_the_folder(path: str, target: str) -> bool:
    """Whether the link at *path* (relative to the root) points out of the root, or cannot mean the same on the pod.

    Links are carried as text and never followed. A dangling link inside the folder is fine: its target may come later.
    """
    if not target or target.startswith("/") or "\\" in target or target[1:2] == ":":
        return True
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False
