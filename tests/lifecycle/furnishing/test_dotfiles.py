"""Where a user's dotfiles come from, and where their clone lies."""

from __future__ import annotations

import pytest

from devpod_rp.lifecycle.furnishing import dotfiles


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("me/dotfiles", "https://github.com/me/dotfiles.git"),
        ("me.too/.dot-files", "https://github.com/me.too/.dot-files.git"),
        ("https://gitlab.com/me/dotfiles", "https://gitlab.com/me/dotfiles"),
        ("git@github.com:me/dotfiles.git", "git@github.com:me/dotfiles.git"),
        ("ssh://git@host:22/me/dots", "ssh://git@host:22/me/dots"),
        ("/workspace/dots", "/workspace/dots"),
    ],
)
def test_a_short_name_is_one_of_github_and_all_else_is_what_git_takes(repository: str, url: str) -> None:
    assert dotfiles.url(repository) == url


def test_every_repository_has_a_clone_of_its_own() -> None:
    sources = ["https://a.org/me/dotfiles.git", "https://b.org/me/dotfiles.git", "https://a.org/me/dotfiles/"]
    folders = [dotfiles._folder(source) for source in sources]
    assert len(set(folders)) == 3
    assert all(folder.startswith("dotfiles-") and "/" not in folder for folder in folders)
