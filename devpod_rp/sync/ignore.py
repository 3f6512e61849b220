"""Which files take part: built-in defaults, ``.gitignore``, ``.devpodignore`` and the spec's own list.

From weak to strong: every ``.gitignore`` < defaults < every ``.devpodignore`` < the spec's ``ignore`` list. A later
line or a deeper file of one kind beats an earlier or higher one, as in gitignore(5), so ``!data/`` in a
``.devpodignore`` brings back what a ``.gitignore`` leaves out. The defaults are stronger than ``.gitignore`` because
the common ``*``, ``!*/``, ``!*.py`` would else bring back ``.git`` itself. Our own bookkeeping never comes back.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from devpod_rp.agent.sync.rules import NAME, NAME_PATTERN, PATTERN, SUFFIX, Rule, RuleFile, Rules

log = logging.getLogger(__name__)

IGNORE_FILES = (".gitignore", ".devpodignore")
"""The names whose change means that the rules must be read again."""

_OWN = (".devpod_rp/", ".devpod/")

_DEFAULTS = (
    # Version control keeps its own consistency; half a repository on the pod is worse than none.
    ".git", ".hg/", ".svn/", ".jj/",
    # Built for this machine, not for the pod, and rebuilt from a lock file.
    "node_modules/", "venv/", ".venv/", ".tox/", ".nox/", ".direnv/",
    # Caches that the tools make again.
    "__pycache__/", "*.pyc", "*.pyo", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".ipynb_checkpoints/",
    # What desktops and file systems leave behind.
    ".DS_Store", "Thumbs.db", "lost+found/",
    # Editors' swap, lock and save-by-rename files.
    ".*.swp", ".*.swo", ".#*", "*___jb_tmp___", "*___jb_old___",
)  # fmt: skip

_ANYWHERE = "^(?:.+/)?"
_LITERAL = re.compile(r"(?P<stem>[^/*?\[\]\\\s!#]+)(?P<folder>/?)")
_SUFFIX = re.compile(r"\*(?P<stem>\.[^/*?\[\]\\\s]+)(?P<folder>/?)")


@dataclass(frozen=True)
class Explanation:
    """Why a path takes part or does not: the deciding line and where it stands."""

    path: str
    ignored: bool
    rule: str | None
    source: str


class IgnoreRules:
    """The rules of one folder, read while it is walked: :meth:`sift` is made for that."""

    def __init__(self, root: Path, ignore: Sequence[str] = ()) -> None:
        self._root = str(root)
        self.problems: dict[str, str] = {}
        self._seen: dict[str, tuple[bytes, RuleFile]] = {}
        self._git: dict[str, RuleFile] = {}
        self._devpod: dict[str, RuleFile] = {}
        own = {"": RuleFile(compile_lines(_OWN, "devpod_rp itself"))}
        spec = {"": RuleFile(compile_lines(ignore, "ignore list of the environment", self.problems))}
        defaults = {"": RuleFile(compile_lines(_DEFAULTS, "built-in default"))}
        self.rules = Rules([own, spec, self._devpod, defaults, self._git])
        self.reload()

    def reload(self) -> None:
        """Read the root's ignore files again; a scan then reads those of every folder it arrives at."""
        self._read("", {name for name in IGNORE_FILES if os.path.lexists(f"{self._root}/{name}")})

    def sift(self, folder: str, listing: Iterable[os.DirEntry[str]]) -> Iterable[os.DirEntry[str]]:
        """Read the ignore files of *folder*, and say what of its *listing* takes part; see `tree.Sift`. Those of the
        root stay as they are until :meth:`reload`: the pod was told of them already."""
        if folder:
            listing = list(listing)
            self._read(folder, {entry.name for entry in listing})
        return self.rules.sift(folder, listing)

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Whether *path* or a folder above it is left out; for single paths, with what the last scan has read."""
        return self.rules.ignored(path, is_folder)

    def files_in(self, paths: Container[str]) -> bool:
        """Whether every ignore file that counts is among *paths*; one may be left out itself."""
        folders = ((".gitignore", self._git), (".devpodignore", self._devpod))
        return all((f"{folder}/{name}" if folder else name) in paths for name, files in folders for folder in files)

    def explain(self, path: str, is_folder: bool) -> Explanation:
        """Name the line that decides about *path*."""
        rule = self.rules.deciding(path, is_folder)
        if rule is None:
            return Explanation(path, False, None, "no rule speaks about it")
        return Explanation(path, rule.leaves_out, rule.line, rule.source)

    def _read(self, folder: str, names: Container[str]) -> None:
        for name, files in ((".gitignore", self._git), (".devpodignore", self._devpod)):
            if name not in names:
                self._set(files, folder, None)
                continue
            path = f"{folder}/{name}" if folder else name
            try:
                data = Path(f"{self._root}/{path}").read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                self._set(files, folder, None)
                continue
            except OSError as error:
                # Rules that cannot be read must not turn into "nothing is ignored": keep what was known.
                self.problems[path] = f"ignore file cannot be read: {os.strerror(error.errno or 0)}"
                continue
            known = self._seen.get(path)
            if known is None or known[0] != data:
                for place in [place for place in self.problems if place.rsplit(":", 1)[0] == path]:
                    del self.problems[place]
                lines = data.decode("utf-8-sig", "surrogateescape").split("\n")
                stripped = [line[:-1] if line.endswith("\r") else line for line in lines]
                self._seen[path] = (data, RuleFile(compile_lines(stripped, path, self.problems)))
            self._set(files, folder, self._seen[path][1])

    def _set(self, files: dict[str, RuleFile], folder: str, file: RuleFile | None) -> None:
        if files.get(folder) is file:
            return
        if file is None:
            del files[folder]
        else:
            files[folder] = file
        self.rules.refresh()


def compile_lines(lines: Iterable[str], source: str, problems: dict[str, str] | None = None) -> list[Rule]:
    """Turn the lines of an ignore file into rules; comments and blanks vanish, unusable lines go to *problems*."""
    rules: list[Rule] = []
    for number, line in enumerate(lines, start=1):
        place = source if source.startswith(("built-in", "devpod_rp")) else f"{source}:{number}"
        try:
            rule = _compile(line, place)
        except ValueError:
            if problems is not None:
                problems[place] = f"not a pattern: {line.strip()}"
            continue
        if rule is not None:
            rules.append(rule)
    return rules


def _compile(line: str, place: str) -> Rule | None:
    if not line.strip():
        return None
    text = line[1:] if line.startswith("!") else line
    leaves_out = text is line
    for form, shape in ((NAME, _LITERAL), (SUFFIX, _SUFFIX)):
        found = shape.fullmatch(text)
        if found:
            return Rule(leaves_out, form, found["stem"], bool(found["folder"]), place, line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "[[:alpha:]]" is odd, but what the user wrote
        pattern = GitIgnoreSpec.from_lines([line]).patterns[0]
    if pattern.include is None or pattern.regex is None:
        return None
    regex = _whole(pattern.regex.pattern)
    if text.endswith("/**/"):
        # For git this is every folder below, not the folder itself; pathspec reads it as the folder.
        regex = regex[:-1] + "/.+/" if regex.endswith("/") else regex
    by_name = regex.removeprefix(_ANYWHERE)
    if by_name != regex and "/" not in by_name.replace("[^/]", "").rstrip("/?"):
        return Rule(bool(pattern.include), NAME_PATTERN, by_name, False, place, line)
    return Rule(bool(pattern.include), PATTERN, regex, False, place, line)


def _whole(regex: str) -> str:
    """Make pathspec's prefix search match a whole path and nothing more.

    pathspec lets "build" also match "build/x" (it sees paths without their folders); our walk judges the folder first,
    and a match of the folder must not decide about what a stronger "!" line brought back below it.
    """
    if not regex.startswith("^"):  # pathspec shortens "*" and "*/" to a search for any character or folder
        return ".+/" if "ps_d" in regex else ".+"
    for ending, whole in (("(?:(?P<ps_d>/)|$)", "/?"), ("(?P<ps_d>/)", "/")):
        if regex.endswith(ending):
            return regex[: -len(ending)] + whole
    return regex + ".+" if regex.endswith("/") else regex + ".*"
