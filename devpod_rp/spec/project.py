"""What kind of project a folder holds, told by a few of its files: what ``init`` proposes is taken from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from devpod_rp.spec import devcontainer

# Distributions that want a GPU, as they are spelled in requirements.
_GPU = re.compile(
    r"^[\s\"'-]*(torch|pytorch|torchvision|tensorflow|jax|transformers|diffusers|accelerate|vllm|cupy|lightning|unsloth|"
    r"deepspeed|flash[-_]attn|bitsandbytes|triton|xformers|keras|onnxruntime-gpu)\b",
    re.MULTILINE | re.IGNORECASE,
)
_REQUIREMENTS = ("requirements.txt", "pyproject.toml", "environment.yml", "environment.yaml", "setup.py", "uv.lock")
_PACKAGE = re.compile(r"^\[(build-system|project)\]", re.MULTILINE)
_LARGEST = 1 << 20
_NOTEBOOKS = 20
_FOLDERS = ("", "notebooks", "nb", "src")


@dataclass(frozen=True)
class Project:
    """*signs* are what was found, in words; *install* are the commands that bring what it needs, in order.

    *template* is the one of ours that fits; None where a devcontainer.json says all that a template would.
    """

    signs: tuple[str, ...]
    template: str | None
    install: tuple[str, ...]


def detect(folder: Path) -> Project:
    """Look at *folder*; nothing in it is run, and no file is read beyond its first mebibyte."""
    container = devcontainer.find(folder)
    present = [name for name in _REQUIREMENTS if (folder / name).is_file()]
    wanting = [name for name in present if _GPU.search(_text(folder / name))]
    notebooks = sum(1 for _ in islice(_notebooks(folder), _NOTEBOOKS))
    node = (folder / "package.json").is_file()
    signs = [f"{name} (a GPU library)" if name in wanting else name for name in present]
    signs += ["package.json"] if node else []
    signs += [f"{notebooks} notebook{'' if notebooks == 1 else 's'}"] if notebooks else []
    if container is not None:
        return Project((*signs, container.relative_to(folder).as_posix()), None, ())
    only_node = node and not present and not notebooks
    return Project(tuple(signs), "cpu" if only_node else "pytorch", tuple(_install(folder, present, node)))


def _install(folder: Path, present: list[str], node: bool) -> Iterator[str]:
    if "requirements.txt" in present:
        yield "pip install -r requirements.txt"
    elif "pyproject.toml" in present and _PACKAGE.search(_text(folder / "pyproject.toml")):
        yield "pip install -e ."
    if node:
        yield "npm install"


def _notebooks(folder: Path) -> Iterator[Path]:
    for place in _FOLDERS:
        yield from (folder / place).glob("*.ipynb")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""  # what cannot be read says nothing about the project
