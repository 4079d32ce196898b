from __future__ import annotations

import pytest

from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy


@pytest.mark.parametrize(
    ("changes", "ablated", "words"),
    [
        ("anything", "features", "any change of the features of one node"),
        ("5 deletions", "features", "any 5 deletions in the features of one node"),
        ("eps = 0.5", "features", "any change by eps = 0.5 in the features of one node"),
        ("anything", "messages", "any change of the features and edges of one other node"),
        ("anything", "nodes", "any change of the features and edges of one node"),
        ("r edges", "edges", "any change of the edges of one pair of nodes"),
        ("5 deleted edges", "edges", "5 deleted edges"),
        ("2 edges", "nodes and edges", "any change of one node and of edges (r = 1, 2 edges)"),
    ],
)
def test_an_attack_in_words(changes: str, ablated: str, words: str) -> None:
    assert CertifiedAccuracy(1, {}, 0.5, changes).attack("one node", ablated) == words
