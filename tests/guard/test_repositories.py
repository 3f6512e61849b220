"""Git repositories on the container disk: what no remote has is named, what a remote has comes back with a clone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devpod_rp import guard
from tests.agent.containers import Container
from tests.guard.links import DirectLink

REMOTE = "https://token@git.invalid/me/proj.git"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Me", "GIT_AUTHOR_EMAIL": "me@example.com",
    "GIT_COMMITTER_NAME": "Me", "GIT_COMMITTER_EMAIL": "me@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **_IDENTITY}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class Project:
    """A clone at /root/proj whose remote, so says its configuration, is on another machine."""

    def __init__(self, pod: Container, base: Path, *clone_options: str, address: str = REMOTE) -> None:
        self.origin = base / "origin"
        self.origin.mkdir()
        git(self.origin, "init", "-q", "-b", "main")
        for name in ("train.py", "lib/model.py"):
            self._write(self.origin / name, f"# {name}\n")
            git(self.origin, "add", "-A")
            git(self.origin, "commit", "-qm", name)
        git(self.origin, "tag", "v1")
        pod.path("/root").mkdir(exist_ok=True)
        self.folder = pod.path("/root/proj")
        git(base, "clone", "-q", *clone_options, f"file://{self.origin}", str(self.folder))
        git(self.folder, "remote", "set-url", "origin", address)

    def write(self, name: str, content: str = "mine\n") -> None:
        self._write(self.folder / name, content)

    def git(self, *arguments: str) -> str:
        return git(self.folder, *arguments)

    def commit(self, name: str = "new.py") -> None:
        self.write(name)
        self.git("add", "-A")
        self.git("commit", "-qm", f"add {name}")

    @staticmethod
    def _write(path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.runs(8, "sleep infinity")
    container.boots()
    return container


@pytest.fixture
def project(pod, tmp_path):
    return Project(pod, tmp_path)


def look(pod):
    report = guard.inspect(DirectLink(pod), volume_path="/workspace")
    return report, {risk.path for risk in report.sole_copies}, {each.path: each for each in report.repositories}


def test_a_clean_clone_is_no_loss_and_the_command_that_brings_it_back_holds_no_password(pod, project):
    report, lost, repositories = look(pod)
    assert lost == set()
    assert repositories["/root/proj"].wording() == "all of it is on its remote"
    [clone] = [each for each in report.rebuildable if each.kind == "git"]
    assert clone.how == "git clone https://git.invalid/me/proj.git /root/proj && git -C /root/proj checkout main"
    assert "token" not in str(report.as_json())


def test_an_uncommitted_and_an_untracked_file_are_at_risk_and_the_rest_of_the_clone_is_not(pod, project):
    project.write("train.py", "changed\n")
    project.write("notes.md")
    _report, lost, repositories = look(pod)
    assert lost == {"/root/proj/train.py", "/root/proj/notes.md"}
    assert repositories["/root/proj"].wording() == "1 file uncommitted, 1 file untracked"


def test_what_gitignore_names_is_on_no_remote_either(pod, project):
    project.write(".git/info/exclude", "data/\n")
    project.write("data/measured.csv")
    assert look(pod)[1] == {"/root/proj/data/measured.csv"}


def test_a_file_that_was_only_made_executable_differs_from_the_commit(pod, project):
    (project.folder / "train.py").chmod(0o755)
    assert look(pod)[1] == {"/root/proj/train.py"}


def test_unpushed_commits_are_counted_by_branch_and_the_whole_repository_is_at_risk(pod, project):
    project.commit("a.py")
    project.git("checkout", "-qb", "experiment")
    project.commit("b.py")
    project.git("checkout", "-q", "main")
    report, lost, repositories = look(pod)
    found = repositories["/root/proj"]
    assert dict(found.unpushed) == {"main": 1, "experiment": 2}
    assert found.wording() == "2 commits on experiment, 1 commit on main not pushed"
    assert {"/root/proj/a.py", "/root/proj/.git/HEAD", "/root/proj/train.py"} <= lost
    [reason] = {risk.reason for risk in report.sole_copies if risk.path == "/root/proj/a.py"}
    assert "in a git repository (2 commits on experiment, 1 commit on main not pushed)" in reason


def test_a_commit_on_no_branch_at_all_counts(pod, project):
    project.git("checkout", "-q", "--detach")
    project.commit("c.py")
    assert dict(look(pod)[2]["/root/proj"].unpushed) == {"HEAD": 1}


def test_a_commit_that_only_a_tag_of_ours_holds_counts(pod, project):
    project.git("checkout", "-q", "--detach")
    project.commit("c.py")
    project.git("tag", "mine")
    project.git("checkout", "-q", "main")
    assert dict(look(pod)[2]["/root/proj"].unpushed) == {"tags": 1}


def test_a_stash_is_work(pod, project):
    project.write("train.py", "stashed\n")
    project.git("stash")
    _report, lost, repositories = look(pod)
    assert repositories["/root/proj"].wording() == "1 stash"
    assert "/root/proj/.git/refs/stash" in lost


def test_content_that_was_staged_and_then_overwritten_exists_in_the_index_alone(pod, project):
    project.write("train.py", "precious\n")
    project.git("add", "train.py")
    project.write("train.py", "overwritten\n")
    found = look(pod)[2]["/root/proj"]
    assert found.staged == 1
    assert found.sole_copy


def test_content_that_is_staged_and_in_its_file_is_at_risk_as_that_file_only(pod, project):
    project.write("train.py", "precious\n")
    project.git("add", "train.py")
    assert look(pod)[1] == {"/root/proj/train.py"}


def test_a_repository_without_any_remote_is_a_sole_copy(pod, tmp_path):
    folder = pod.path("/root/own")
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.py").write_text("x")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a")
    _report, lost, repositories = look(pod)
    assert repositories["/root/own"].wording() == "1 commit on main and no remote"
    assert {"/root/own/a.py", "/root/own/.git/refs/heads/main"} <= lost


def test_a_repository_without_any_commit_loses_its_files(pod):
    folder = pod.path("/root/own")
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "a.py").write_text("x")
    assert "/root/own/a.py" in look(pod)[1]


def test_a_remote_that_is_a_folder_of_the_container_disk_saves_nothing(pod, tmp_path):
    Project(pod, tmp_path, address="/srv/proj.git")
    assert dict(look(pod)[2]["/root/proj"].unpushed) == {"main": 2}


def test_a_remote_on_the_volume_is_one(pod, tmp_path):
    Project(pod, tmp_path, address="/workspace/proj.git")
    assert look(pod)[1] == set()


@pytest.mark.parametrize("options", [("--depth=1",), ("--depth=1", "--branch=v1"), ("--single-branch",)])
def test_a_shallow_clone_or_one_of_a_tag_comes_back(pod, tmp_path, options):
    Project(pod, tmp_path, *options)
    assert look(pod)[1] == set()


def test_a_hook_that_somebody_wrote_is_at_risk_and_one_that_a_tool_wrote_is_not(pod, project):
    project.write(".git/hooks/pre-push", "#!/bin/sh\ngit lfs pre-push\n")
    project.write(".git/hooks/post-commit", "#!/bin/sh\nmake report\n")
    assert look(pod)[1] == {"/root/proj/.git/hooks/post-commit"}


def test_nothing_that_the_repository_configures_is_run(pod, project, tmp_path):
    trap = tmp_path / "trap"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(program)
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.smudge",
        "diff.external",
        "core.pager",
        "core.sshCommand",
    ):
        project.git("config", key, str(program))
    project.git("config", "core.hooksPath", str(hooks))
    project.write(".gitattributes", "* filter=x diff=x\n")
    project.write("train.py", "changed\n")
    index = (project.folder / ".git/index").read_bytes()
    _report, lost, _repositories = look(pod)
    assert "/root/proj/train.py" in lost
    assert not trap.exists()
    assert (project.folder / ".git/index").read_bytes() == index


def test_without_git_on_the_pod_a_repository_is_a_sole_copy_and_says_why(pod, project, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    _report, lost, repositories = look(pod)
    assert repositories["/root/proj"].wording() == "there is no git on the pod to look into it"
    assert "/root/proj/train.py" in lost


def test_a_damaged_repository_is_a_sole_copy(pod, project):
    (project.folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    for thing in (project.folder / ".git/objects").rglob("*"):
        if thing.is_file():
            thing.unlink()
    assert "/root/proj/train.py" in look(pod)[1]


def test_a_submodule_is_judged_by_its_own_remote(pod, project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "lib.py").write_text("lib")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "lib")
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    git(project.folder / "sub", "remote", "set-url", "origin", "git@git.invalid:me/other.git")
    report, lost, repositories = look(pod)
    assert lost == {"/root/proj/.gitmodules"}
    assert not repositories["/root/proj/sub"].sole_copy
    assert "/root/proj/sub" in [each.name for each in report.rebuildable]
    (project.folder / "sub" / "lib.py").write_text("mine")
    assert look(pod)[1] == {"/root/proj/.gitmodules", "/root/proj/sub/lib.py"}


def test_a_repository_of_the_image_with_a_commit_of_ours_loses_what_we_changed(tmp_path):
    pod = Container(tmp_path)
    project = Project(pod, tmp_path)
    pod.boots()
    project.commit("new.py")
    _report, lost, repositories = look(pod)
    assert dict(repositories["/root/proj"].unpushed) == {"main": 1}
    assert "/root/proj/new.py" in lost
    assert "/root/proj/train.py" not in lost
