from __future__ import annotations

import pytest

from devpod_rp.guard.patterns import Matcher


def matches(pattern: str, path: str) -> bool:
    return Matcher([("it", [pattern])]).match(path) is not None


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/jupyter.log", "/jupyter.log", True),
        ("/jupyter.log", "/root/jupyter.log", False),
        ("/run/*.pid", "/run/sshd.pid", True),
        ("/run/*.pid", "/run/deep/sshd.pid", False),
        ("/run/**/*.pid", "/run/sshd.pid", True),
        ("/run/**/*.pid", "/run/a/b/sshd.pid", True),
        ("/var/log/**", "/var/log/a/b", True),
        ("/var/log/**", "/var/logs", False),
        ("~/.cache/*", "/root/.cache/x", True),
        ("~/.cache/*", "/home/ann/.cache/x", True),
        ("~/.cache/*", "/home/ann/deep/.cache/x", False),
        ("~/.cache/*", "/srv/.cache/x", False),
        ("**/__pycache__/*.pyc", "/a/b/__pycache__/c.pyc", True),
        ("**/__pycache__/*.pyc", "/__pycache__/c.pyc", True),
        ("**/*.{py,sh}", "/x/run.sh", True),
        ("**/*.{py,sh}", "/x/run.shx", False),
        ("/a{,.log}", "/a", True),
        ("/etc/rc?.d/*", "/etc/rc3.d/S01ssh", True),
        ("/l.[0-9]*", "/l.12", True),
        ("/a.b", "/axb", False),
        ("**/*.py", "/x/two\nlines.py", True),
        ("**/*.py", "/x/caf\udce9.py", True),
    ],
)
def test_a_pattern_matches_whole_paths(pattern, path, expected):
    assert matches(pattern, path) is expected


def test_the_first_subject_of_the_table_wins_also_over_a_more_special_place():
    matcher = Matcher([("general", ["**/*.log"]), ("special", ["/var/log/*.log"])])
    assert matcher.match("/var/log/a.log").subject == "general"


def test_words_are_captured_in_every_home():
    matcher = Matcher([("model", ["~/hub/models--{owner}--{model}/**"])])
    for home in ("/root", "/home/ann"):
        words = matcher.match(home + "/hub/models--meta--llama/blobs/1").words
        assert words == {"owner": "meta", "model": "llama", "mark": home + "/hub/models--meta--llama"}
