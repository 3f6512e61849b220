"""Deciding which names take part in a synchronisation; the same few lines decide on both ends.

The launcher reads the ignore files and compiles them (``devpod_rp/sync/ignore.py``); the pod receives the result as
plain data, so that neither end can hold another opinion about a path than the other.

Matching follows gitignore(5): the last matching line of a file decides, a file deeper in the tree beats one above it,
and a folder that is left out is never looked into, so each path is only judged after all its folders were kept.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

_REMEMBERED_NAMES = 10_000

NAME, SUFFIX, NAME_PATTERN, PATTERN = "name", "suffix", "name-pattern", "pattern"


class Rule:
    """One line of an ignore file: what it matches and whether that is left out or brought back.

    *form* says how *value* is compared: NAME with the last component, SUFFIX with its end, NAME_PATTERN as a regular
    expression that must match the last component, PATTERN as one that must match the whole path below the file's
    folder. For regular expressions a folder ends in "/".
    """

    __slots__ = ("folders_only", "form", "leaves_out", "line", "source", "value")

    def __init__(self, leaves_out: bool, form: str, value: str, folders_only: bool, source: str = "", line: str = ""):
        self.leaves_out = leaves_out
        self.form = form
        self.value = value
        self.folders_only = folders_only
        self.source = source
        self.line = line


class RuleFile:
    """The rules of one file, indexed so that the common forms cost a dictionary lookup, not a regular expression."""

    def __init__(self, rules: Sequence[Rule]):
        self.rules = list(rules)
        self._names: Dict[str, List[int]] = {}
        self._suffixes: Dict[str, List[int]] = {}
        self._patterns: List[Tuple[int, bool, Any]] = []
        self._by_name: Dict[Tuple[str, bool], int] = {}
        for position in range(len(self.rules) - 1, -1, -1):
            rule = self.rules[position]
            if rule.form == NAME:
                self._names.setdefault(rule.value, []).append(position)
            elif rule.form == SUFFIX:
                self._suffixes.setdefault(_last_suffix(rule.value), []).append(position)
            else:
                self._patterns.append((position, rule.form == NAME_PATTERN, re.compile(rule.value, re.DOTALL)))
        self._by_path = [(position, pattern) for position, by_name, pattern in self._patterns if not by_name]
        self.by_name_alone = not self._by_path
        self.names, self.suffixes = self._names.keys(), self._suffixes.keys()
        self.name_patterns = [rule.value for rule in self.rules if rule.form == NAME_PATTERN]
        self._any_name = _any_of(self.name_patterns)

    def decide(self, path: str, name: str, is_folder: bool) -> Optional[Rule]:
        """The last rule that matches *path* (relative to the file's folder, its last part is *name*), or None."""
        if not self.rules:
            return None
        best = self._by_name.get((name, is_folder))
        if best is None:
            if len(self._by_name) >= _REMEMBERED_NAMES:
                self._by_name.clear()
            best = self._by_name[name, is_folder] = self.decide_name(name, is_folder)
        for position, pattern in self._by_path:
            if position < best:
                break
            if pattern.fullmatch(path + "/" if is_folder else path):
                best = position
                break
        return self.rules[best] if best >= 0 else None

    def decide_name(self, name: str, is_folder: bool) -> int:
        """The position of the last rule that decides by the name alone, or -1."""
        best = -1
        for position in self._names.get(name, ()):
            if is_folder or not self.rules[position].folders_only:
                best = position
                break
        if self._suffixes and "." in name:
            for position in self._suffixes.get(_last_suffix(name), ()):
                rule = self.rules[position]
                if position > best and name.endswith(rule.value) and (is_folder or not rule.folders_only):
                    best = position
                    break
        whole = name + "/" if is_folder else name
        if self._any_name is not None and self._any_name.fullmatch(whole):
            for position, by_name, pattern in self._patterns:
                if position < best:
                    break
                if by_name and pattern.fullmatch(whole):
                    best = position
                    break
        return best


def _last_suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _any_of(patterns: Sequence[str]) -> Any:
    """One expression for all of *patterns*: nearly all names match none, which it tells at the price of one of them."""
    return re.compile("|".join("(?:{0})".format(each) for each in patterns), re.DOTALL) if patterns else None


class Rules:
    """Layers of rule files, strongest first; each layer maps a folder ("" is the root) to its rule file.

    Whoever changes a layer calls :meth:`refresh`.
    """

    def __init__(self, layers: Sequence[Dict[str, RuleFile]]):
        self.layers = list(layers)
        self.refresh()

    def refresh(self) -> None:
        """Take in that a layer was changed."""
        # Without nested files and patterns for paths, which is the rule, the same names have the same fate everywhere.
        top_alone = all(not layer or (len(layer) == 1 and "" in layer) for layer in self.layers)
        files = [file for layer in self.layers for file in layer.values()]
        self._by_name_alone = top_alone and all(file.by_name_alone for file in files)
        self._files = [file for file in files if file.rules]
        self._names = frozenset(name for file in files for name in file.names)
        self._suffixes = frozenset(suffix for file in files for suffix in file.suffixes)
        self._any_name = _any_of([pattern for file in files for pattern in file.name_patterns])
        # Last: who judges by the former rules meanwhile remembers it where nobody looks any more.
        self._ignored_folders: Dict[str, bool] = {}

    def decide(self, path: str, is_folder: bool) -> Optional[Rule]:
        """The rule that decides *path*, whose folders are all known to be kept; None: nothing speaks about it."""
        cut = path.rfind("/")
        name = path[cut + 1 :]
        for layer in self.layers:
            if not layer:
                continue
            if cut > 0 and (len(layer) > 1 or "" not in layer):
                rule = self._nested(layer, path, name, is_folder)
            else:
                top = layer.get("")
                rule = top.decide(path, name, is_folder) if top is not None else None
            if rule is not None:
                return rule
        return None

    def _nested(self, layer: Dict[str, RuleFile], path: str, name: str, is_folder: bool) -> Optional[Rule]:
        folder = path
        while folder:
            folder = folder[: folder.rfind("/")] if "/" in folder else ""
            rules = layer.get(folder)
            if rules is not None:
                rule = rules.decide(path[len(folder) + 1 :] if folder else path, name, is_folder)
                if rule is not None:
                    return rule
        return None

    def keep(self, path: str, is_folder: bool) -> bool:
        """Whether *path* takes part, its folders being known to."""
        if not self._by_name_alone:
            rule = self.decide(path, is_folder)
            return rule is None or not rule.leaves_out
        name = path[path.rfind("/") + 1 :]
        if (
            name not in self._names
            and _last_suffix(name) not in self._suffixes
            and (self._any_name is None or self._any_name.fullmatch(name + "/" if is_folder else name) is None)
        ):
            return True  # no rule speaks about such a name
        return self._keep_name(name, is_folder)

    def sift(self, folder: str, listing: "Iterable[os.DirEntry[str]]") -> "List[os.DirEntry[str]]":
        """What of *folder*, which takes part and holds *listing*, takes part; see `tree.Sift`."""
        if not self._by_name_alone:
            prefix = folder + "/" if folder else ""
            return [entry for entry in listing if self.keep(prefix + entry.name, _is_folder(entry))]
        names, suffixes, any_name, others = self._names, self._suffixes, self._any_name, self._keep_name
        # For every name of every look: no call of ours about one that no rule speaks about. A pattern that matches a
        # name also matches it with the "/" of a folder.
        return [
            entry
            for entry in listing
            if (
                (name := entry.name) not in names
                and name[name.rfind(".") :] not in suffixes
                and (any_name is None or any_name.fullmatch(name + "/") is None)
            )
            or others(name, _is_folder(entry))
        ]

    def _keep_name(self, name: str, is_folder: bool) -> bool:
        for file in self._files:
            position = file.decide_name(name, is_folder)
            if position >= 0:
                return not file.rules[position].leaves_out
        return True

    def deciding(self, path: str, is_folder: bool) -> Optional[Rule]:
        """The rule that decides about *path* when nothing is known of its folders: one that leaves out a folder above
        it, else its own."""
        cut = path.find("/")
        while cut > 0:
            rule = self.decide(path[:cut], True)
            if rule is not None and rule.leaves_out:
                return rule
            cut = path.find("/", cut + 1)
        return self.decide(path, is_folder)

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Whether *path* or a folder above it is left out."""
        folder, known = path[: max(0, path.rfind("/"))], self._ignored_folders
        above = known.get(folder)
        if above is None:
            if len(known) >= _REMEMBERED_NAMES:
                known.clear()
            cuts = [at for at, letter in enumerate(folder) if letter == "/"]
            above = known[folder] = any(not self.keep(folder[:cut], True) for cut in (*cuts, len(folder)) if cut)
        return above or not self.keep(path, is_folder)

    def to_wire(self) -> List[List[List[Any]]]:
        """Plain lists for a frame's header: layers of [folder, [rule, …]]."""
        return [
            [
                [folder, [[rule.leaves_out, rule.form, rule.value, rule.folders_only] for rule in file.rules]]
                for folder, file in sorted(layer.items())
            ]
            for layer in self.layers
        ]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # the look finds out what is the matter


def from_wire(layers: Any) -> Rules:
    """The reverse of :meth:`Rules.to_wire`; raises ValueError, TypeError or re.error for what is no rule set."""
    return Rules(
        [
            {
                str(folder): RuleFile(
                    [Rule(bool(out), str(form), str(value), bool(only)) for out, form, value, only in rules]
                )
                for folder, rules in layer
            }
            for layer in layers
        ]
    )
