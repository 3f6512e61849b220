"""What would be lost, drawn as a tree: everything is in its totals, and no name of a file plays tricks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.cli.at_risk import lines, tree
from devpod_rp.guard.classify import Risk
from devpod_rp.guard.report import Report

names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))
risks = st.lists(
    st.builds(Risk, paths, st.integers(0, 10**13), st.sampled_from(["code", "data"]), names), min_size=1, max_size=60
)


def report(found: list[Risk]) -> Report:
    return Report(tuple(found), (), (), (), (), 7, 0.5)


def drawn(*found: Risk) -> list[str]:
    return list(tree(found))


def risk(path: str, size: int, reason: str = "code, only on the container disk") -> Risk:
    return Risk(path, size, "code", reason)


@given(risks)
def test_every_line_is_printable_whatever_files_are_called(found: list[Risk]) -> None:
    for line in lines(report(found), "container disk"):
        assert line.isprintable()


@given(risks, st.integers(5, 40))
def test_the_tree_is_never_much_longer_than_it_may_be(found: list[Risk], most: int) -> None:
    assert len(list(tree(found, most))) <= most + 8


def test_sizes_add_up_and_the_largest_comes_first() -> None:
    assert drawn(risk("/root/b/small", 1_000), risk("/root/a/large", 3_000_000), risk("/root/a/mid", 2_000_000)) == [
        "  /root/         5.0 MB  3 files",
        "  ├─ a/          5.0 MB  2 files",
        "  │  ├─ large    3.0 MB  code",
        "  │  └─ mid      2.0 MB  code",
        "  └─ b/          1.0 kB",
        "     └─ small    1.0 kB  code",
    ]


def test_folders_that_hold_one_folder_each_are_one_line() -> None:
    assert [line.split()[:2] for line in drawn(risk("/home/me/deep/down/file", 5))] == [
        ["/home/me/deep/down/", "5"],
        ["└─", "file"],
    ]


def test_what_is_not_shown_is_counted() -> None:
    shown = drawn(*(risk(f"/root/{number}", 10) for number in range(500)))
    assert shown[0].split() == ["/root/", "5.0", "kB", "500", "files"]
    assert len(shown) < 20
    assert "more files" in shown[-1]
    rest = int(shown[-1].split("and ")[1].split()[0])
    assert rest + len(shown) - 2 == 500


def test_the_total_is_said_first() -> None:
    first = next(lines(report([risk("/root/a", 2_100_000_000)]), "container disk"))
    assert first == "1 file (2.1 GB) exists only on the container disk (7 files looked at in 0.5 s):"
