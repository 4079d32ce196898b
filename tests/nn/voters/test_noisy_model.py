from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, global_add_pool

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import isolate
from pyg_hiersmooth.nn.voters import noisy_model
from pyg_hiersmooth.nn.voters.noisy_model import NoisyModel
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 6, 3
TRANSFORM = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))


def make_graph(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(N, D, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=torch.randint(0, N, (2, 30), generator=generator))


def gcn() -> GCN:
    torch.manual_seed(0)
    return GCN(D + 1, 8, 2, C).eval()


def votes_of(model: nn.Module, data: Data, **options: Any) -> Tensor:
    classifier = SmoothedNodeClassifier(model, TRANSFORM, C)
    return classifier.sample_votes(data, 60, progress=False, num_workers=0, **options)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gcn = gcn()

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        return global_add_pool(self.gcn(x, edge_index), batch)


def on_two_graphs(dense: bool) -> NoisyModel:
    graphs = [make_graph(0), make_graph(1)]
    forward, x = GraphForward(None, graphs), torch.cat([each.x for each in graphs])
    isolated, why = isolate(Pooled(), forward, x), "as asked" if dense else None
    options = VoterOptions(seed=3, dense=dense)
    return NoisyModel(isolated, forward, TRANSFORM, x, [N, N], options, why_dense=why)


def streams(samples: range) -> list[RandomStream]:
    return [RandomStream(3, 5, sample) for sample in samples]


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_features_that_do_not_fit_are_tried_through_their_products(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_graph()
    expected = votes_of(gcn(), data, block_size=1)
    if layout == "sparse":
        data.x = data.x.to_sparse()
    monkeypatch.setattr(noisy_model, "MAX_TRIAL_BYTES", 0)
    assert torch.equal(votes_of(gcn(), data, block_size=1), expected)


@pytest.mark.parametrize("dense", [True, False])
def test_what_is_left_gets_the_noise_that_it_got_among_all(dense: bool) -> None:
    model = on_two_graphs(dense)
    with torch.no_grad():
        together = model.logits(streams(range(7, 8)))
        alone = model.on_units([1]).logits(streams(range(7, 8)))
    assert torch.allclose(alone, together[1:], atol=1e-5)
    assert not torch.allclose(alone, together[:1], atol=1e-1)


def test_a_worker_gets_the_same_logits() -> None:
    model = on_two_graphs(dense=False)
    with torch.no_grad():
        expected = model.logits(streams(range(4))).clone()
        assert torch.equal(pickle.loads(pickle.dumps(model)).logits(streams(range(4))), expected)


def test_given_features_enter_as_drawn_ones_do() -> None:
    hidden, dense = on_two_graphs(dense=False), on_two_graphs(dense=True)
    draws = torch.cat([hidden.trial_draw(0), hidden.trial_draw(1)])
    with torch.no_grad():
        assert torch.allclose(hidden.answer(draws, 2), dense.answer(draws, 2), atol=1e-5)


class Draws(nn.Module):
    """Draws random numbers, or does not, and may read its features beyond products."""

    def __init__(self, draws: bool, squares: bool) -> None:
        super().__init__()
        self.draws, self.squares, self.map = draws, squares, nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.map(x)
        if self.squares and self.map.bias.sum() > 0:
            logits = logits + x.square().sum(1, keepdim=True)
        return logits + 0.0 * torch.rand(1) if self.draws else logits


@torch.no_grad()
@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("squares", [False, True])
def test_a_model_is_seen_to_draw_random_numbers(draws: bool, squares: bool) -> None:
    data, model = make_graph(), Draws(draws, squares)
    model.map.bias.fill_(-1.0)  # so that it does not seem to read more
    forward = GraphForward(None, [data], node_level=True)
    isolated = isolate(model, forward, data.x)
    noisy = NoisyModel(isolated, forward, TRANSFORM, data.x, [N], VoterOptions(seed=0))
    assert noisy.source.description.startswith("noise drawn behind")
    isolated.model.map.bias.fill_(1.0)
    assert noisy.draws_random_numbers() == draws
