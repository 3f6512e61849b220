from __future__ import annotations

import hashlib
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
    return packages.owned(pod.examine().changes.found, root=str(pod.root))


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
    assert owned(pod).packages == [Package("apt", "tool", "apt-get install -y tool")]
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
    assert owned(pod).packages == [Package("pip", "lib==1.0", "python3.12 -m pip install 'lib==1.0'")]
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


@pytest.mark.parametrize(
    ("direct_url", "how"),
    [
        ('{"url": "https://x.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "ab"}}', "git+https://x.org/r.git@ab"),
        ('{"url": "https://x.org/l.whl", "archive_info": {}}', "https://x.org/l.whl"),
        ('{"url": "file:///root/lib", "dir_info": {"editable": true}}', None),
        ('{"url": "file:///root/lib.whl", "archive_info": {}}', None),
        ("{", None),
    ],
)
def test_only_what_can_be_fetched_again_is_rebuildable(pod, direct_url, how):
    distribution(pod, **{"lib-1.0.dist-info/direct_url.json": direct_url})
    expected = [] if how is None else [Package("pip", "lib==1.0", f"python3.12 -m pip install '{how}'")]
    assert owned(pod).packages == expected
    assert (left(pod) == set()) is (how is not None)


def test_cuda_builds_of_pytorch_name_their_index(pod):
    distribution(pod, name="torch-2.8.0+cu128")
    assert owned(pod).packages[0].how.endswith("--extra-index-url https://download.pytorch.org/whl/cu128")


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
    assert Package("pip", "demo==2.0", "/root/venv/bin/python -m pip install 'demo==2.0'") in found.packages
    remaining = {Path(path).relative_to("/root/venv") for path in left(pod) if not path.endswith(".pyc")}
    outside = {str(path) for path in remaining if path.parts[0] not in ("bin", "lib64", "pyvenv.cfg")}
    assert outside == set()
    assert Path("bin/demo") not in remaining
