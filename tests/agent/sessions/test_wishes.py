"""Variables of sessions that build on those of the pod."""

from __future__ import annotations

import pytest

from devpod_rp.agent.sessions.variables import with_wishes

POD = {b"PATH": b"/opt/venv/bin:/bin", b"ODD": b"a 'b' ${containerEnv:PATH} \xff"}


@pytest.mark.parametrize(
    ("wish", "value"),
    [
        ("${containerEnv:PATH}:/x", b"/opt/venv/bin:/bin:/x"),
        ("/x:${containerEnv:PATH:/never}", b"/x:/opt/venv/bin:/bin"),
        ("<${containerEnv:NOBODY}>", b"<>"),
        ("<${containerEnv:NOBODY:default}>", b"<default>"),
        ("<${containerEnv:NOBODY:http://x}>", b"<http>"),
        ("${containerEnv:ODD}", b"a 'b' ${containerEnv:PATH} \xff"),
        ("$HOME ${HOME} ${containerEnv ${containerEnv:", b"$HOME ${HOME} ${containerEnv ${containerEnv:"),
        ("größe\n", "größe\n".encode()),
    ],
)
def test_what_the_pod_has_is_put_in_once(wish: str, value: bytes) -> None:
    assert with_wishes(POD, {"NEW": wish}) == {**POD, b"NEW": value}


def test_a_wish_goes_before_what_the_pod_has() -> None:
    assert with_wishes(POD, {"PATH": "/only"})[b"PATH"] == b"/only"
    assert with_wishes(POD, {}) == POD
