"""Adversaries who add nodes and nothing else; ``test_structure_worlds`` enumerates small graphs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate, certify_counts
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection


def bounded(selection: Any, noise: Any, lead: Any, **more: Any) -> Certificate:
    lower = (1.0 + np.asarray(lead)) / 2
    smoothing: Any = SimpleNamespace(selection=selection, noise=noise)
    return Certificate.from_bounds(smoothing, np.zeros(len(lower)), lower, 1 - lower, **more)


@pytest.mark.parametrize("of", ["messages", "nodes"])
def test_the_lead_that_so_many_new_nodes_need(of: str) -> None:
    p, leads = 0.97, np.linspace(0.01, 1.0, 100)
    certificate = bounded(BernoulliSelection(p), AblationNoise(of=of), leads, num_entities=3)
    for r in (0, 1, 2, 5, 10, 22, 23, 40):  # also more than there are entities
        q = p**r
        only = certificate.is_robust(r, only="new_nodes")
        assert np.array_equal(only, q * leads - (1 - q) > 1e-9)
        assert np.array_equal(certificate.is_robust(r), leads > 2 * (1 - q) + 1e-9)
        assert (only >= certificate.is_robust(r)).all()


def test_how_much_more_new_nodes_are_withstood() -> None:
    """The gains that are claimed: 1.86, 1.41 and 1.07 times r at leads of .1, .5 and .9."""
    p = 0.999
    for lead, gain in ((0.1, 1.86), (0.5, 1.41), (0.9, 1.07)):
        certificate = bounded(BernoulliSelection(p), AblationNoise(of="messages"), [lead])
        mixed = max(r for r in range(700) if certificate.is_robust(r)[0])
        only = max(r for r in range(700) if certificate.is_robust(r, only="new_nodes")[0])
        assert only / mixed == pytest.approx(gain, abs=0.06)


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_masks_of_graphs_of_different_sizes(kind: Any) -> None:
    """Every mask that shows a new node turns to the best rival, one by one."""
    selection, generator = PartitionSelection(6, 3), np.random.default_rng(0)
    smoothing: Any = SimpleNamespace(selection=selection, noise=AblationNoise(of="nodes"))
    sizes = generator.integers(1, 9, 60)
    masks = (generator.random((60, 18)) < generator.random((60, 1))) * generator.integers(
        1, 3, (60, 18)
    )
    votes = np.stack([(masks == c).sum(1) for c in range(3)], axis=1)
    certificate = certify_counts(smoothing, votes, kind, num_entities=sizes, mask_predictions=masks)
    certified = 0
    for r in range(7):
        robust = certificate.is_robust(r, only="new_nodes")
        for row, size in enumerate(sizes):
            new = torch.arange(size, size + r)
            shown = [
                bool((~selection.mask(index, [int(size + r)])[new]).any()) for index in range(18)
            ]
            own = certificate.prediction[row]
            expected = own >= 0
            for rival in {0, 1, 2} - {own}:
                after = np.where(shown, rival, masks[row])
                most = (after == rival).sum() if kind == "multiclass" else (after != own).sum()
                expected &= (after == own).sum() > most
            assert robust[row] == expected
        certified += int(robust.sum())
        assert (robust >= certificate.is_robust(r)).all()
    assert certified > 60


def test_who_has_no_new_nodes() -> None:
    for noise, budget in ((AblationNoise(), {}), (GaussianNoise(1.0), {"eps": 0.1})):
        certificate = bounded(BernoulliSelection(0.9), noise, [0.9])
        with pytest.raises(TypeError, match=r"'only' is for AblationNoise\(of='messages'\)"):
            certificate.is_robust(1, only="new_nodes", **budget)
    messages = AblationNoise(of="messages")
    certificate = bounded(BernoulliSelection(0.9), messages, [0.9])
    with pytest.raises(ValueError, match=r"'only' must be 'new_nodes' .*got 'new_edges'"):
        certificate.is_robust(1, only="new_edges")
    with pytest.raises(ValueError, match="two adversaries"):
        certificate.is_robust(1, only="new_nodes", exposure=[[1.0]])
    with pytest.raises(TypeError, match="no budget besides 'r'"):
        certificate.is_robust(1, only="new_nodes", eps=1.0)
    listed: Any = SimpleNamespace(selection=PartitionSelection(3, 1), noise=messages)
    for more in ({"num_entities": 4}, {"mask_predictions": [[0, 0, 0]]}):
        exact = certify_counts(listed, [[3, 0]], **more)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="with 'mask_predictions' and 'num_entities'"):
            exact.is_robust(1, only="new_nodes")


@pytest.mark.parametrize("of", ["messages", "nodes"])
@pytest.mark.parametrize(
    "selection",
    [
        FixedSizeSelection(2),
        BernoulliSelection([0.9, 0.8, 0.9]),  # type: ignore[arg-type]
        PartitionSelection(3, dealing="shuffled"),
    ],
    ids=str,
)
def test_selections_that_do_not_bear_new_nodes(of: str, selection: Any) -> None:
    """Two nodes of which one is selected: a third makes both of them more likely to send."""
    with pytest.raises(ValueError, match="leaves all other nodes as they were"):
        bounded(selection, AblationNoise(of=of), [0.9], num_entities=3)
    assert len(bounded(selection, AblationNoise(), [0.9], num_entities=3)) == 1


def test_more_new_nodes_than_there_are_nodes() -> None:
    """``r`` is not bounded by the nodes of the graph, where some may be added."""
    messages = AblationNoise(of="messages")
    few, fixed = (
        bounded(BernoulliSelection(0.9), noise, [0.7], num_entities=1)
        for noise in (messages, AblationNoise())
    )
    assert few.is_robust(1)[0] and not few.is_robust(5)[0] and fixed.is_robust(5)[0]
    listed: Any = SimpleNamespace(selection=PartitionSelection(9, 1), noise=messages)
    exact = certify_counts(listed, [[9, 0], [7, 2]], num_entities=[2, 2])
    assert exact.largest_r is not None and exact.largest_r.tolist() == [4, 2]
    assert not exact.is_robust(5).any()
    with pytest.raises(ValueError, match="'largest_r' is about a fixed graph"):
        certify_counts(listed, [[9, 0]], num_entities=2, largest_r=[2])
