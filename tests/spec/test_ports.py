"""How ports to forward are written."""

from __future__ import annotations

import pytest

from devpod_rp.spec.ports import PortWish, port_wish


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("6006", PortWish(6006)),
        ("8000:18000", PortWish(8000, 18000)),
        ("tensorboard=6006", PortWish(6006, None, "tensorboard")),
        (" my app=8000:18000 ", PortWish(8000, 18000, "my app")),
    ],
)
def test_a_wish_is_a_port_with_a_label_and_a_place_here(text: str, wish: PortWish) -> None:
    assert port_wish(text) == wish
    assert port_wish(str(wish)) == wish


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "80:0", "80:70000", "=80", "80:", ":80", "-1", "80/tcp"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="tensorboard=6006"):
        port_wish(text)
