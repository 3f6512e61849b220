"""Cases 18 and 19: what is written, deleted or moved while it is on its way."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable

from devpod_rp.progress import Event
from tests.sync.adversarial.scene import Scene, settled
from tests.sync.conftest import Pair

SIZE = 12 << 20
STAGES = (0.1, 0.5, 0.99)


def a_file_rewritten_during_its_own_transfer_never_arrives_mixed(scene: Scene) -> None:
    for stage in STAGES:
        for direction in ("upload", "download"):
            pair = scene.pair(name=f"{stage} {direction}")
            side = pair.local if direction == "upload" else pair.pod
            other = pair.pod if direction == "upload" else pair.local
            side.write("large.bin", random.Random(1).randbytes(SIZE))
            rewritten = random.Random(2).randbytes(SIZE)
            _at(pair, direction, stage, lambda: side.write("large.bin", rewritten))  # noqa: B023
            pair.sync()
            assert not (other.root / "large.bin").exists() or _one_version(other.root / "large.bin")
            settled(pair)
            assert (other.root / "large.bin").read_bytes() == rewritten


def a_file_deleted_during_its_own_transfer_leaves_nothing_half(scene: Scene) -> None:
    for direction in ("upload", "download"):
        pair = scene.pair(name=direction)
        side = pair.local if direction == "upload" else pair.pod
        pair.both({f"anchor{number}": "stays" for number in range(4)})
        side.write("large.bin", os.urandom(SIZE))
        _at(pair, direction, 0.5, lambda: (side.root / "large.bin").unlink())  # noqa: B023
        pair.sync()
        settled(pair)
        assert "large.bin" not in pair.pod.files() or _one_version(pair.pod.root / "large.bin", SIZE)


def a_folder_renamed_during_its_transfer_arrives_under_its_new_name(scene: Scene) -> None:
    for direction in ("upload", "download"):
        pair = scene.pair(name=direction)
        side = pair.local if direction == "upload" else pair.pod
        pair.both({f"anchor{number}": "stays" for number in range(9)})
        for number in range(6):
            side.write(f"old/{number}.bin", os.urandom(3 << 20))
        wanted = {path.name: path.read_bytes() for path in (side.root / "old").iterdir()}
        _at(pair, direction, 0.4, lambda: os.rename(side.root / "old", side.root / "new"))  # noqa: B023
        pair.sync()
        settled(pair)
        for each in (pair.local, pair.pod):
            assert {path.name: path.read_bytes() for path in (each.root / "new").iterdir()} == wanted
        shutil.rmtree(pair.local.root)


def _at(pair: Pair, direction: str, share: float, deed: Callable[[], object]) -> None:
    """Let *deed* happen once, when *share* of the bytes of a transfer have gone."""
    left = [deed]

    def told(event: Event) -> None:
        if event.stage == direction and event.total and event.done >= share * event.total and left:
            left.pop()()

    pair.session.close()
    pair.session = pair.new_session(progress=told)


def _one_version(path: os.PathLike[str], size: int | None = None) -> bool:
    with open(path, "rb") as stream:
        data = stream.read()
    if size is not None:
        return len(data) == size
    return data in (random.Random(1).randbytes(SIZE), random.Random(2).randbytes(SIZE))
