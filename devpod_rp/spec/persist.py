"""What of the container disk lives on the volume unless the project says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devpod_rp.agent.servers.extending import SERVERS

FOLDER = "/"
"""How a path ends that is a folder: where neither side has it yet, only that tells what to make."""

PATHS = (
    # What editors install for themselves, with their extensions and settings.
    *(f"~/{folder}/" for folder, _command in SERVERS.values()),
    "~/.zed_server/",
    "~/.local/share/zed/",
    # Histories.
    *(f"~/.{shell}_history" for shell in ("bash", "zsh", "python", "node_repl")),
    "~/.local/share/fish/",
    # Who one is, and how one likes it.
    "~/.gitconfig",
    "~/.config/git/",
    "~/.config/gh/",
    "~/.jupyter/",
    "~/.ipython/",
)

# What people make in an editor server's folder, bit by bit; the rest of it is the server.
_BESIDE_SERVERS = ("extensions", "data/Machine", "data/User")

_CACHES = {
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "PIP_CACHE_DIR": "pip",
    "UV_CACHE_DIR": "uv",
}


def caches(volume_path: str) -> Mapping[str, str]:
    """The variables that make tools keep what they download on the volume, which pods that share it share."""
    return {name: f"{volume_path}/.devpod/cache/{folder}" for name, folder in _CACHES.items()}


def without_servers(paths: Iterable[str]) -> tuple[str, ...]:
    """*paths*, of the folders of editor servers only what is not the server itself."""
    folders = {f"~/{folder}" for folder, _command in SERVERS.values()}
    return tuple(
        kept
        for path in paths
        for kept in (
            [f"{path.rstrip(FOLDER)}/{each}{FOLDER}" for each in _BESIDE_SERVERS]
            if path.rstrip(FOLDER) in folders
            else [path]
        )
    )


def checked(path: str, volume_path: str = "/workspace") -> str:
    """*path* if it can live on the volume.

    Raises:
        ValueError: it is no plain path of the container disk.
    """
    plain = path.rstrip(FOLDER)
    if not path.startswith(("/", "~/")):
        raise ValueError(f"{path!r} must begin with / or ~/, such as ~/.config/mytool/ (a folder ends with /)")
    if {".", ".."} & set(plain.split("/")) or "//" in path or "\0" in path:
        raise ValueError(f"{path!r} must be written without . and .. and //")
    if plain in ("", "~"):
        raise ValueError(f"{path!r} would be the whole disk: name what is worth keeping")
    if any(character in plain for character in "*?["):
        raise ValueError(f"{path!r} is a pattern: name one file, or a folder that ends with /")
    if (plain + "/").startswith((volume_path.rstrip("/") + "/", "/workspace/")):
        raise ValueError(f"{path!r} is on the volume already")
    if plain.split("/")[1] in ("proc", "sys", "dev", "run", "tmp") and plain.startswith("/"):
        raise ValueError(f"{path!r} is nothing that outlives a system's start")
    return path
