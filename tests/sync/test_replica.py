"""One-way-replica: the pod mirrors this folder exactly, once the user has seen what that takes away."""

from __future__ import annotations

import pytest

from devpod_rp.sync.reconcile import Side
from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Pair

TREE = {"train.py": "print(1)", "src/model.py": "class M: ..."}


def test_an_empty_pod_is_filled_without_a_question(replica: Pair) -> None:
    replica.both(TREE).synced()
    replica.local.delete("train.py")
    replica.sync()
    assert replica.pod.files() == replica.local.files()


def test_what_only_the_pod_has_waits_for_a_yes_and_then_goes_to_the_trash(replica: Pair) -> None:
    replica.both(TREE)
    replica.pod.write("train.py", "another")
    replica.pod.write("outputs/weights.bin", "precious")
    with pytest.raises(SyncHalted, match="1 files deleted, 1 replaced") as halt:
        replica.sync()
    assert halt.value.reason == "replica-asks"
    assert replica.pod.read("outputs/weights.bin") == "precious"
    plan = {action.path: action for action in replica.session.plan().actions}
    assert plan["outputs/weights.bin"].new is None
    assert all(action.side is Side.REMOTE for action in plan.values())
    replica.session.accept()
    replica.sync()
    assert replica.pod.files() == replica.local.files()
    assert replica.trash() == {"train.py": "another", "outputs/weights.bin": "precious"}


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_after_the_yes_the_pods_edits_are_undone(replica: Pair, how: str) -> None:
    replica.both(TREE)
    replica.pod.write("old.txt", "old")
    with pytest.raises(SyncHalted):
        replica.sync()
    replica.session.accept()
    replica.sync()
    replica.pod.write("train.py", "edited on the pod")
    replica.pod.write("new.txt", "new")
    replica.sync(pod=("train.py", "new.txt") if how == "watched" else ())
    assert replica.pod.files() == replica.local.files()
    assert {"train.py": "edited on the pod", "new.txt": "new"}.items() <= replica.trash().items()


def test_a_bulk_deletion_still_asks_after_the_first_yes(replica: Pair) -> None:
    replica.both(TREE)
    replica.pod.write("old.txt", "old")
    with pytest.raises(SyncHalted):
        replica.sync()
    replica.session.accept()
    replica.sync()
    for number in range(40):
        replica.pod.write(f"results/{number}", "x")
    with pytest.raises(SyncHalted) as halt:
        replica.sync()
    assert halt.value.reason == "mass-deletion"
    assert len(list((replica.pod.root / "results").iterdir())) == 40
