"""What makes a pod its user's: their dotfiles out of a real git repository, and their credentials for git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.conftest import World, eventually
from tests.end_to_end.mirror import serving
from tests.end_to_end.terminal import Terminal

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

KEPT = "/workspace/.devpod/dotfiles"


class Repository:
    """A work tree here, and its bare clone as a plain web server has it."""

    def __init__(self, base: Path) -> None:
        self._tree = base / "tree"
        self.bare = base / "dots.git"
        self._git("init", "-q", "-b", "main", str(self._tree))

    def publish(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self._tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("-C", str(self._tree), "add", "-A")
        who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
        self._git("-C", str(self._tree), *who, "commit", "-q", "-m", "how I like it")
        if not self.bare.exists():
            self._git("clone", "-q", "--bare", str(self._tree), str(self.bare))
        self._git("-C", str(self._tree), "push", "-q", str(self.bare), "main")
        self._git("-C", str(self.bare), "update-server-info")

    @staticmethod
    def _git(*words: str) -> None:
        subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("dotfiles"))
    made.publish({".vimrc": "set number\n", ".config/mytool/rc": "mine\n", ".bashrc": "# mine\n", "README.md": "x"})
    return made


@pytest.fixture(scope="module")
def url(repository: Repository) -> Iterator[str]:
    with serving(repository.bare) as server:
        yield server.url


@pytest.fixture(scope="module")
def pod(world: World, url: str) -> World:
    configure(world, url)
    up(world)
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("comfort"))
    helper = '!f() { test "$1" = get && echo username=me && echo password=s3cr3t-of-mine; }; f'
    git = world.home / "gitconfig"
    git.parent.mkdir()
    for host in ("git.example.org", "other.example.org"):
        key = f"credential.https://{host}.helper"
        subprocess.run(["git", "config", "--file", str(git), key, helper], check=True)
    world.environ["GIT_CONFIG_GLOBAL"] = str(git)
    (world.folder / "devpod-rp.toml").write_text('git_credentials = ["git.example.org"]\nnotify_after = "1s"\n')
    # The desktop's own program, which notes what it is to show.
    shown = world.home / "bin" / "notify-send"
    shown.parent.mkdir()
    shown.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {world.home}/shown\necho >> {world.home}/shown\n')
    shown.chmod(0o755)
    world.environ["PATH"] = f"{shown.parent}:{world.environ['PATH']}"
    try:
        yield world
    finally:
        world.end()


def configure(world: World, repository: str, install: str = "") -> None:
    # In the user's own configuration, where it counts for every project.
    config = world.home / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f'[dotfiles]\nrepository = "{repository}"\n' + (f'install = "{install}"\n' if install else ""))


def up(world: World) -> str:
    done = world.run("up", "--yes", "--json")
    assert done.exit_code == 0, done.stdout + done.stderr
    return done.stderr


def wipe(world: World) -> str:
    stopped = world.run("stop", "--force", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    return up(world)


def test_without_a_script_they_are_linked_into_the_home(pod: World) -> None:
    assert pod.ssh("readlink ~/.vimrc").stdout.startswith(f"{KEPT}/dots-")
    assert pod.ssh("cat ~/.vimrc ~/.config/mytool/rc ~/.bashrc").stdout == "set number\nmine\n# mine\n"
    assert pod.ssh("test -e ~/README.md -o -e ~/.git").exit_code == 1
    assert pod.ssh("test -L ~/.config/gh && ! test -L ~/.config").exit_code == 0, "a folder that is there is joined"


def test_they_are_no_loss_at_a_stop_and_cost_nothing_the_second_time(pod: World) -> None:
    assert pod.run("check", "--json").json["at_risk"] == []
    before = pod.ssh("stat -c %Z ~/.vimrc").stdout
    up(pod)
    assert pod.ssh("stat -c %Z ~/.vimrc").stdout == before


def test_a_new_container_has_their_newest_version_and_its_script_is_run(pod: World, repository: Repository) -> None:
    script = '#!/bin/sh\npwd > ~/.installed\ncat "$0" > /dev/null && echo "$HOME" >> ~/.installed\n'
    repository.publish({"script/setup": "exit 1", "bootstrap.sh": script, "setup.sh": "exit 1"})
    assert "dotfiles were not installed" not in wipe(pod)
    where, home = pod.ssh("cat ~/.installed").stdout.split()
    assert where.startswith(f"{KEPT}/dots-")
    assert home == "/root"
    assert pod.ssh("test -e ~/.vimrc").exit_code == 1, "a script does all there is to do"
    assert pod.run("check", "--json").json["at_risk"] == []


def test_a_script_that_fails_is_told_with_its_words_and_keeps_nobody_from_working(
    pod: World, repository: Repository, url: str
) -> None:
    repository.publish({"tools/mine.sh": "#!/bin/sh\necho no such tool >&2\nexit 3\n"})
    configure(pod, url, install="tools/mine.sh")
    said = wipe(pod)
    assert "dotfiles were not installed" in said
    assert "no such tool" in said
    assert pod.ssh("echo works").stdout == "works\n"


def test_a_repository_that_is_not_there_is_told(pod: World, url: str) -> None:
    configure(pod, url.replace("dots.git", "nothing.git"))
    said = up(pod)
    assert "dotfiles were not installed" in said
    assert "not found" in said


def credentials(pod: World, host: str) -> str:
    ask = f"printf 'protocol=https\\nhost={host}\\n\\n' | GIT_TERMINAL_PROMPT=0 git credential fill"
    return pod.ssh(ask).stdout


def test_git_on_the_pod_gets_the_credentials_of_this_machine_for_the_hosts_that_are_named(pod: World) -> None:
    eventually(lambda: "username=me\npassword=s3cr3t-of-mine\n" in credentials(pod, "git.example.org"), "they are lent")
    assert credentials(pod, "other.example.org") == ""


def test_they_are_never_stored_there_and_gone_with_the_connection(pod: World) -> None:
    found = pod.ssh("grep -rlsF s3cr3t-of-mine /root /etc /run /tmp /var /workspace")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "s3cr3t" not in pod.run("logs", "--keeper").stdout
    psutil.Process(pod.run("status", "--json").json["sync"]["pid"]).terminate()
    eventually(lambda: credentials(pod, "git.example.org") == "", "nobody lends any more")
    up(pod)
    eventually(lambda: "s3cr3t-of-mine" in credentials(pod, "git.example.org"), "they are lent again")


def test_the_end_of_long_work_is_told_on_the_desktop_and_that_of_a_quick_command_is_not(pod: World) -> None:
    shown = pod.home / "shown"
    assert "|up proj is done|It took " in shown.read_text(), "pods take longer than a second to start"
    shown.write_text("")
    assert pod.run("ssh", "--", "true").exit_code == 0
    assert shown.read_text() == ""
    assert pod.run("ssh", "--", "sleep 1.2; exit 3").exit_code == 3
    assert shown.read_text().endswith("|sleep 1.2; exit 3 ended on proj|Exit code 3.|\n")


def test_an_editor_on_path_is_asked_for_the_projects_workspace_file(pod: World) -> None:
    asked = pod.home / "asked"
    code = pod.home / "bin" / "code"
    code.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {asked}\necho >> {asked}\n')
    code.chmod(0o755)
    opened = pod.run("open", "--ide", "code", "--path", "all.code-workspace", "--json")
    assert opened.json["launched"] is True
    assert opened.json["missing_extension"] == "ms-vscode-remote.remote-ssh"
    assert "code --install-extension ms-vscode-remote.remote-ssh" in opened.stderr
    uri = "vscode-remote://ssh-remote+proj.devpod/workspace/proj/all.code-workspace"
    assert asked.read_text().splitlines() == ["--list-extensions|", f"--file-uri={uri}|"]


def test_at_a_terminal_the_extension_for_ssh_is_offered_and_installed(pod: World) -> None:
    asked = pod.home / "asked"
    asked.write_text("")
    with Terminal(pod, "open") as terminal:
        terminal.sees("needs its extension ms-vscode-remote.remote-ssh to connect. Install it")
        terminal.types("y")
        terminal.sees("Visual Studio Code opens /workspace/proj on proj.devpod")
    assert asked.read_text().splitlines() == [
        "--list-extensions|",
        "--install-extension|ms-vscode-remote.remote-ssh|",
        "--folder-uri=vscode-remote://ssh-remote+proj.devpod/workspace/proj|",
    ]
