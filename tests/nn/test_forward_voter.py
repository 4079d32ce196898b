from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn import SmoothedNodeClassifier, forward_voter
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 6, 3
TRANSFORM = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))


def make_graph() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(N, D, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=torch.randint(0, N, (2, 30), generator=generator))


def votes_of(model: nn.Module, data: Data, **options: Any) -> Tensor:
    classifier = SmoothedNodeClassifier(model, TRANSFORM, C)
    return classifier.sample_votes(data, 60, progress=False, num_workers=0, **options)


@pytest.fixture
def nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_voter, "MAX_TRIAL_BYTES", 0)


def gcn() -> GCN:
    torch.manual_seed(0)
    return GCN(D + 1, 8, 2, C)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_features_that_do_not_fit_are_tried_through_their_products(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_graph()
    expected = votes_of(gcn(), data, block_size=1)
    if layout == "sparse":
        data.x = data.x.to_sparse()
    monkeypatch.setattr(forward_voter, "MAX_TRIAL_BYTES", 0)
    assert torch.equal(votes_of(gcn(), data, block_size=1), expected)


def test_impure_models_are_refused_all_the_same(nothing_fits: None) -> None:
    class Counts(GCN):
        calls = 0.0

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            self.calls += 1.0
            return super().forward(x, edge_index) + self.calls

    with pytest.raises(ValueError, match=r"'model\.calls' changes from call to call"):
        votes_of(Counts(D + 1, 8, 2, C), make_graph(), block_size=1)


def test_blocks_of_all_shards_fit_each_other() -> None:
    sizes = [forward_voter._power_of_two(size) for size in (0, 1, 2, 3, 4, 120, 512)]
    assert sizes == [1, 1, 2, 2, 4, 64, 512]
