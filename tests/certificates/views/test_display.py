"""Certificates in a line and in a notebook."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pyg_hiersmooth.certificates import certify_counts, certify_votes
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

PRE_VOTES, VOTES = torch.tensor([[90, 10], [45, 55]]), torch.tensor([[950, 50], [500, 500]])
FLIPS = HierarchicalNodeFeatureNoise(0.9, SparseFlipNoise(0.01, 0.6))
MASKS = HierarchicalNodeFeatureNoise(PartitionSelection(5, 2), AblationNoise())


@pytest.mark.parametrize(("together", "told"), [(False, ")"), (True, ", simultaneous)")])
def test_a_sampled_one_says_how_it_was_sampled(together: bool, told: str) -> None:
    result = certify_votes(FLIPS, PRE_VOTES, VOTES, 0.05, simultaneous=together)
    assert repr(result).startswith("Certificate(2 objects, kind='multiclass', BernoulliSelection(")
    assert f", n0=100, n=1000, alpha=0.05, abstained=1{told} against: " in repr(result)


def test_an_exact_one_has_no_samples() -> None:
    exact = certify_counts(MASKS, torch.tensor([[9, 1]]))
    assert "abstained=0, exact) against: " in repr(exact) and "alpha=" not in repr(exact)
    assert "alpha" not in exact._repr_html_()


@pytest.mark.parametrize("of", ["features", "messages", "nodes"])
def test_everything_says_against_whom(of: str) -> None:
    pytest.importorskip("pandas")
    smoothing = HierarchicalNodeFeatureNoise(PartitionSelection(5, 2), AblationNoise(of=of))
    exact = certify_counts(smoothing, torch.tensor([[9, 1]]))
    assert exact.threat == smoothing.noise.threat("nodes")
    shown = repr(exact), exact._repr_html_(), repr(exact[0]), exact.to_frame().attrs["threat"]
    assert all(exact.threat in words for words in (*shown, exact.chart([0]).threat))


def test_a_notebook_shows_what_is_withstood() -> None:
    result = certify_votes(FLIPS, PRE_VOTES, VOTES, 0.05)
    html = result._repr_html_()
    cells: list[Any] = ["objects", "p=0.9", "abstained", "50.0%", "1,000", "0.05", "5 deletions"]
    assert all(cell in html for cell in cells)
    ratio = result.certified_ratio(2, deletions=5)
    assert f"r = 2: {ratio:.1%}" in html
