"""The branch that is checked out here, as git itself says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from devpod_rp.sync.branch import branch
from tests.sync.conftest import Pair


def git(root: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    return root


def test_a_branch_with_a_slash_a_commit_and_a_work_tree_are_told_as_git_tells_them(repository: Path) -> None:
    assert branch(repository) == "main"
    git(repository, "checkout", "-q", "-b", "feature/x")
    assert branch(repository) == git(repository, "branch", "--show-current") == "feature/x"
    git(repository, "worktree", "add", "-q", "../tree", "main")
    assert branch(repository.parent / "tree") == "main"
    git(repository, "checkout", "-q", "--detach")
    assert branch(repository) == git(repository, "rev-parse", "HEAD")[:12]


def test_what_is_no_repository_has_no_branch(tmp_path: Path) -> None:
    assert branch(tmp_path) is None
    (tmp_path / ".git").write_text("rubbish")
    assert branch(tmp_path) is None


def test_the_repository_stays_here_and_its_branch_is_shown_unless_it_travels(pair: Pair, repository: Path) -> None:
    shutil.copytree(repository / ".git", pair.local.root / ".git")
    pair.both({"a.py": "a"}).sync()
    assert pair.pod.files() == {"a.py": "a"}
    assert pair.session.status().branch == "main"
    pair.session.close()
    pair.ignore = ("!.git",)
    pair.session = pair.new_session()
    assert pair.session.status().branch is None, "where it travels, the pod's git tells"
