from __future__ import annotations

import pytest

from pyg_hiersmooth.words import numbered


@pytest.mark.parametrize(
    ("number", "things", "told"),
    [
        (0, "nodes", "0 nodes"),
        (1, "nodes", "1 node"),
        (2, "pairs of nodes", "2 pairs of nodes"),
        (1, "pairs of nodes", "1 pair of nodes"),
        (1, "entities", "1 entity"),
        (1, "nodes of type 'authors'", "1 node of type 'authors'"),
    ],
)
def test_one_is_singular(number: int, things: str, told: str) -> None:
    assert numbered(number, things) == told
