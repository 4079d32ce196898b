from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, certify_counts
from pyg_hiersmooth.certificates.messages_of_type import MessagesOfType, TypedSmoothing
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

SELECTION = PartitionSelection(5, 2)


def certificate(target_type: str) -> Certificate:
    smoothing = TypedSmoothing(SELECTION, MessagesOfType("author", target_type))
    masks = np.array([[0] * 10, [0] * 8 + [1] * 2, [0] * 6 + [1] * 4])
    votes = [[10, 0], [8, 2], [6, 4]]
    return certify_counts(smoothing, votes, num_entities=7, mask_predictions=masks)


@pytest.mark.parametrize("target_type", ["author", "paper"])
def test_it_counts_as_ablated_messages_do(target_type: str, tmp_path: Path) -> None:
    own = certificate(target_type)
    plain = certify_counts(
        TypedSmoothing(SELECTION, AblationNoise(of="messages")),
        own.votes,
        num_entities=7,
        mask_predictions=own.mask_predictions,
    )
    own.save(tmp_path / "kept.npz")
    for each in (own, Certificate.load(tmp_path / "kept.npz")):
        for r in range(5):
            assert np.array_equal(each.is_robust(r), plain.is_robust(r))
            new = each.is_robust(r, only="new_nodes")
            assert np.array_equal(new, plain.is_robust(r, only="new_nodes"))
        assert each.threat == own.threat and repr(each) == repr(own)
    assert CollectiveCertificate(own).num_robust(1) == CollectiveCertificate(plain).num_robust(1)


def test_it_says_which_nodes_and_edges_it_is_about() -> None:
    alike, other = certificate("author").threat, certificate("paper").threat
    assert "at most r other nodes of type 'author' are taken over" in alike
    assert "at most r nodes of type 'author' are taken over" in other
    for threat in (alike, other):
        assert "all other nodes, and edges between them, stay" in threat
        assert "edges changed" not in threat
    assert "not covered" in alike and "not covered" not in other
    together = CollectiveCertificate(certificate("author")).threat
    assert "one attack on all targets" in together and "not covered" not in together
    assert "edges between them, stay" in together


def test_exposures_are_for_homogeneous_graphs() -> None:
    own = certificate("paper")
    with pytest.raises(TypeError, match="of a homogeneous graph"):
        own.is_robust(1, exposure=np.full((3, 7), 2))
    for field in (np.full((3, 7), 2), np.ones((3, 7), dtype=bool)):
        with pytest.raises(ValueError, match="'receptive_field' is for homogeneous graphs"):
            CollectiveCertificate(own, field)
    sampled = Certificate.from_bounds(
        TypedSmoothing(BernoulliSelection(0.9), MessagesOfType("author", "paper")),
        [0],
        [0.9],
        [0.1],
    )
    assert sampled.is_robust(3)[0] and not sampled.is_robust(9)[0]
