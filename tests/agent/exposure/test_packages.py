from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from devpod_rp.agent.exposure import packages
from devpod_rp.agent.exposure.packages import Package
from tests.agent.containers import Container

needs_dpkg = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dpkg-deb") is None, reason="installs with the real dpkg, as root"
)


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    (container.path("/var/lib/dpkg/info")).mkdir(parents=True)
    container.write("/var/lib/dpkg/status", "")
    container.boots()
    return container


def owned(pod):
    return packages.owned(pod.examine().changes.found, volumes=["/workspace"], root=str(pod.root))


def commands(pod):
    return [package.how for package in owned(pod).packages]


def left(pod):
    """What packages do not own, apart from the package manager's own records."""
    return {path for path in pod.exposed() - owned(pod).paths if not path.startswith(("/var/lib/dpkg/", "/var/log/"))}


def install_deb(pod, tmp_path):
    source = tmp_path / "package"
    (source / "DEBIAN").mkdir(parents=True)
    control = "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: m <m@example.org>\nDescription: d\n"
    (source / "DEBIAN" / "control").write_text(control)
    (source / "DEBIAN" / "conffiles").write_text("/etc/tool.conf\n")
    (source / "usr/bin").mkdir(parents=True)
    (source / "usr/bin/tool").write_text("#!/bin/sh\n")
    (source / "usr/bin/also").symlink_to("tool")
    (source / "etc").mkdir()
    (source / "etc/tool.conf").write_text("a = 1\n")
    digest = hashlib.md5(b"#!/bin/sh\n").hexdigest()
    (source / "DEBIAN" / "md5sums").write_text(f"{digest}  usr/bin/tool\n")
    subprocess.run(["dpkg-deb", "--build", source, tmp_path / "tool.deb"], check=True, stdout=subprocess.DEVNULL)
    command = ["dpkg", f"--root={pod.root}", "--force-not-root", "--install", str(tmp_path / "tool.deb")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@needs_dpkg
def test_an_installed_debian_package_is_rebuildable_and_its_files_are_no_loss(pod, tmp_path):
    install_deb(pod, tmp_path)
    mark = "/var/lib/dpkg/info/tool.list"
    assert owned(pod).packages == [Package("apt", "tool", "apt-get install -y tool", "apt-get install -y", mark)]
    assert {"/usr/bin/tool", "/usr/bin/also", "/etc/tool.conf"} <= owned(pod).paths
    assert left(pod) == set()


@needs_dpkg
def test_a_packages_file_that_was_edited_is_the_users(pod, tmp_path):
    install_deb(pod, tmp_path)
    pod.write("/etc/tool.conf", "a = 2\n")
    pod.write("/usr/bin/tool", "#!/bin/xx\n")
    pod.write("/usr/bin/mine", "#!/bin/sh\n")
    assert left(pod) == {"/etc/tool.conf", "/usr/bin/tool", "/usr/bin/mine"}


@needs_dpkg
def test_an_edit_stays_the_users_when_the_package_is_installed_again(pod, tmp_path):
    install_deb(pod, tmp_path)
    pod.write("/etc/tool.conf", "a = 2\n")
    shutil.rmtree(tmp_path / "package")
    install_deb(pod, tmp_path)
    assert "/etc/tool.conf" in left(pod)


def test_what_apt_brought_along_for_others_is_not_named(pod):
    pod.write("/var/lib/dpkg/info/libx:amd64.list", "/.\n")
    pod.write("/var/lib/dpkg/info/x.list", "/.\n")
    pod.write("/var/lib/apt/extended_states", "Package: libx\nArchitecture: amd64\nAuto-Installed: 1\n\n")
    assert [package.name for package in owned(pod).packages] == ["x"]


def test_an_old_name_below_merged_usr_is_the_same_file(pod):
    pod.write("/usr/lib/thing.so", "code")
    pod.write("/var/lib/dpkg/info/thing.md5sums", hashlib.md5(b"code").hexdigest() + "  lib/thing.so\n")
    assert "/usr/lib/thing.so" in owned(pod).paths


SITE = "/usr/lib/python3.12/site-packages"


def distribution(pod, site=SITE, name="lib-1.0", **files):
    files = {"lib/__init__.py": "code", **files}
    for path, content in files.items():
        pod.write(f"{site}/{path}", content)
    record = "".join(record_line(path, content) for path, content in files.items())
    pod.write(f"{site}/{name}.dist-info/RECORD", record + f"{name}.dist-info/RECORD,,\n")


def record_line(path, content):
    digest = urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def test_an_installed_python_package_is_rebuildable_and_an_edited_file_of_it_is_not(pod):
    distribution(pod, **{"lib/other.py": "other"})
    assert commands(pod) == ["python3.12 -m pip install --no-deps lib==1.0"]
    assert left(pod) == set()
    pod.write(f"{SITE}/lib/other.py", "patch")  # the same size
    pod.write(f"{SITE}/lib/new.py", "new")
    assert left(pod) == {f"{SITE}/lib/other.py", f"{SITE}/lib/new.py"}


def test_a_large_library_older_than_its_record_is_believed_and_a_later_edit_is_seen(pod):
    distribution(pod, **{"lib/large.so": "x" * (2 << 20)})
    assert left(pod) == set()
    pod.write(f"{SITE}/lib/large.so", "y" * (2 << 20))
    assert left(pod) == {f"{SITE}/lib/large.so"}
    record = pod.path(f"{SITE}/lib-1.0.dist-info/RECORD")
    record.chmod(0o600)  # moves the record's ctime past the edit's
    assert left(pod) == {f"{SITE}/lib/large.so"}


GIT = '{"url": "https://x.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "ab"}%s}'


@pytest.mark.parametrize(
    ("direct_url", "how"),
    [
        (GIT % "", "git+https://x.org/r.git@ab"),
        (GIT % ', "subdirectory": "py"', "'git+https://x.org/r.git@ab#subdirectory=py'"),
        ('{"url": "https://x.org/l.whl", "archive_info": {}}', "https://x.org/l.whl"),
        ('{"url": "file:///root/lib", "dir_info": {"editable": true}}', None),
        ('{"url": "file:///root/lib.whl", "archive_info": {}}', None),
        ("{", None),
    ],
)
def test_only_what_can_be_fetched_again_is_rebuildable(pod, direct_url, how):
    distribution(pod, **{"lib-1.0.dist-info/direct_url.json": direct_url})
    assert commands(pod) == ([] if how is None else [f"python3.12 -m pip install --no-deps {how}"])
    assert (left(pod) == set()) is (how is not None)


def test_cuda_builds_of_pytorch_name_their_index(pod):
    distribution(pod, name="torch-2.8.0+cu128")
    index = "--extra-index-url https://download.pytorch.org/whl/cu128"
    assert commands(pod) == [f"python3.12 -m pip install --no-deps {index} torch==2.8.0+cu128"]


@pytest.mark.parametrize(
    ("site", "installer", "how"),
    [
        (
            "/usr/local/lib/python3.12/site-packages",
            "pip",
            "/usr/local/bin/python3.12 -m pip install --no-deps lib==1.0",
        ),
        ("/root/.local/lib/python3.12/site-packages", "pip", "python3.12 -m pip install --user --no-deps lib==1.0"),
        (
            "/root/env/lib/python3.12/site-packages",
            "uv",
            "uv pip install --python /root/env/bin/python --no-deps lib==1.0",
        ),
    ],
)
def test_each_interpreter_and_installer_has_its_own_command(pod, site, installer, how):
    pod.write("/usr/local/bin/python3.12", "image")
    pod.write("/root/env/pyvenv.cfg", "home = /usr/bin\nuv = 0.5\nversion_info = 3.12.3\n")
    distribution(pod, site, **{"lib-1.0.dist-info/INSTALLER": installer + "\n"})
    assert how in commands(pod)
    assert "uv venv --python 3.12 /root/env" in commands(pod)


def test_an_editable_install_of_a_folder_on_the_volume_is_rebuildable(pod):
    pod.path("/workspace/my lib").mkdir()
    direct = '{"url": "file:///workspace/my%20lib", "dir_info": {"editable": true}}'
    distribution(pod, **{"__editable__.lib-1.0.pth": "/workspace/my lib", "lib-1.0.dist-info/direct_url.json": direct})
    [package] = owned(pod).packages
    assert package.how == "python3.12 -m pip install --no-deps -e '/workspace/my lib'"
    assert package.needs == "/workspace/my lib"
    assert left(pod) == set()


@pytest.mark.parametrize("changed", [False, True])
def test_a_wheel_on_the_volume_is_a_source_as_long_as_it_is_what_was_installed(pod, changed):
    digest = hashlib.sha256(b"wheel").hexdigest()
    pod.write("/workspace/lib.whl", "other" if changed else "wheel")
    direct = {"url": "file:///workspace/lib.whl", "archive_info": {"hashes": {"sha256": digest}}}
    distribution(pod, **{"lib-1.0.dist-info/direct_url.json": json.dumps(direct)})
    assert commands(pod) == ([] if changed else ["python3.12 -m pip install --no-deps /workspace/lib.whl"])


def conda_package(pod, environment="/opt/conda", *, url="https://conda.anaconda.org/forge/linux-64/lib-1.0-0.conda"):
    pod.write(f"{environment}/lib/lib.so", "code")
    pod.write(f"{environment}/conda-meta/history", "==> now <==")
    paths = [
        {"_path": "lib/lib.so", "path_type": "hardlink", "sha256": hashlib.sha256(b"code").hexdigest()},
        {"_path": "lib/lib.so.1", "path_type": "softlink", "sha256": ""},
    ]
    pod.path(f"{environment}/lib/lib.so.1").symlink_to("lib.so")
    record = {"name": "lib", "version": "1.0", "url": url, "paths_data": {"paths": paths}}
    pod.write(f"{environment}/conda-meta/lib-1.0-0.json", json.dumps(record))


def test_a_conda_package_is_rebuildable_from_the_very_archive_it_came_from(pod, tmp_path):
    pod.write("/opt/conda/conda-meta/python-3.12-0.json", "{}")
    pod.boots()
    conda_package(pod)
    archive = "https://conda.anaconda.org/forge/linux-64/lib-1.0-0.conda"
    assert commands(pod) == [f"conda install -y -p /opt/conda {archive}"]
    assert left(pod) == set()
    pod.write("/opt/conda/lib/lib.so", "mine")
    assert left(pod) == {"/opt/conda/lib/lib.so"}


def test_what_was_used_in_a_conda_environment_is_used_again(pod):
    conda_package(pod, "/root/envs/x")
    pod.write("/root/envs/x/conda-meta/history", "==> now <==\n# cmd: /opt/mamba/bin/mamba create -n x\n")
    assert [each.split(" -p ")[0] for each in commands(pod)] == [
        "/opt/mamba/bin/mamba create -y",
        "/opt/mamba/bin/mamba install -y",
    ]


def test_a_new_conda_environment_is_made_first_and_a_new_conda_is_the_users(pod):
    conda_package(pod, "/root/env")
    assert commands(pod)[0] == "conda create -y -p /root/env"
    conda_package(pod, "/root/miniconda3")
    pod.write("/root/miniconda3/bin/conda", "#!")
    assert not [each for each in commands(pod) if "miniconda3" in each]
    assert "/root/miniconda3/lib/lib.so" in left(pod)


def test_a_conda_archive_behind_a_token_is_not_written_down(pod):
    conda_package(pod, url="https://conda.anaconda.org/t/secret-token/mine/linux-64/lib-1.0-0.conda")
    assert "secret-token" not in repr(owned(pod))


def test_a_global_npm_package_is_pinned(pod):
    pod.write("/usr/local/lib/node_modules/@me/tool/package.json", '{"version": "2.1.0"}')
    assert commands(pod) == ["npm install -g @me/tool@2.1.0"]


@pytest.mark.slow
def test_what_the_real_pip_installs_into_a_venv_is_recognised(pod, tmp_path):
    environment = pod.path("/root/venv")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    wheel = tmp_path / "demo-2.0-py3-none-any.whl"
    contents = {
        "demo/__init__.py": "def main(): pass\n",
        "demo-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 2.0\n",
        "demo-2.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "demo-2.0.dist-info/entry_points.txt": "[console_scripts]\ndemo = demo:main\n",
    }
    record = "".join(record_line(path, content) for path, content in contents.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
        archive.writestr("demo-2.0.dist-info/RECORD", record + "demo-2.0.dist-info/RECORD,,\n")
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--no-index", "--find-links", str(tmp_path), "demo"]
    subprocess.run(pip, check=True, env={"PATH": os.environ["PATH"], "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    found = owned(pod)
    assert "/root/venv/bin/python -m pip install --no-deps demo==2.0" in [each.how for each in found.packages]
    remaining = {Path(path).relative_to("/root/venv") for path in left(pod) if not path.endswith(".pyc")}
    outside = {str(path) for path in remaining if path.parts[0] not in ("bin", "lib64", "pyvenv.cfg")}
    assert outside == set()
    assert Path("bin/demo") not in remaining
