from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import isolate
from pyg_hiersmooth.nn.voters import model_trial, noisy_model
from pyg_hiersmooth.nn.voters.model_trial import ModelTrial
from pyg_hiersmooth.nn.voters.noisy_model import NoisyModel
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.sampling.linear_input import LinearInput
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 6, 3
TRANSFORM = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))


def make_graph() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(N, D, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=torch.randint(0, N, (2, 30), generator=generator))


def tried(model: nn.Module, num_classes: int = C, **options: Any) -> NoisyModel:
    data = make_graph()
    forward = GraphForward(None, [data], node_level=True)
    isolated = isolate(model.eval(), forward, data.x)
    noisy = NoisyModel(isolated, forward, TRANSFORM, data.x, [N], VoterOptions(0, **options))
    ModelTrial(noisy, num_classes).run()
    return noisy


class MixesRows(GCN):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits - logits.mean(0)


class SquaresToo(GCN):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + x.square().sum(1, keepdim=True)


class Counts(GCN):
    calls = 0.0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls += 1.0
        return super().forward(x, edge_index) + self.calls


def test_a_convolution_gets_many_copies_and_noise_behind_its_linear_map() -> None:
    noisy = tried(GCN(D + 1, 8, 2, C))
    assert noisy.block_size > 1 and noisy.why_dense is None
    assert noisy.adjacency is not None and noisy.adjacency.normalized_once


def test_what_mixes_rows_gets_one_copy() -> None:
    model = MixesRows(D + 1, 8, 2, C)
    assert tried(model).block_size == 1
    with pytest.raises(ValueError, match=r"'block_size' must be 1 .* \(got 4\)"):
        tried(model, block_size=4)


def test_what_is_not_linear_in_its_features_gets_them_written_out() -> None:
    assert tried(SquaresToo(D + 1, 8, 2, C)).why_dense == "the model uses them in 'square'"
    assert tried(GCN(D + 1, 8, 2, C), dense=True).why_dense == "as asked"


def test_other_logits_than_for_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits of shape \[12, 4\] \(got \[12, 3\]\)"):
        tried(GCN(D + 1, 8, 2, C), num_classes=4)


@pytest.mark.parametrize("fits", [True, False])
def test_what_counts_its_calls_is_refused(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fits:
        monkeypatch.setattr(noisy_model, "MAX_TRIAL_BYTES", 0)
    with pytest.raises(ValueError, match=r"'model\.calls' changes from call to call"):
        tried(Counts(D + 1, 8, 2, C), block_size=1)


class Told(GCN):
    """Answers products otherwise than features, of draws with certain logits."""

    def __init__(self, *args: int, least: float, most: float) -> None:
        super().__init__(*args)
        self.least, self.most = least, most

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        is_told = type(x) is not Tensor and self.least < float(logits.double().sum()) < self.most
        return logits + 1e-6 * is_told * torch.arange(C).to(logits)


@torch.no_grad()
def test_products_that_it_answers_as_their_draw_are_kept() -> None:
    torch.manual_seed(0)
    model = GCN(D + 1, 8, 2, C)
    noisy = tried(model)
    assert noisy.products is not None
    expected = noisy.trial_draw(0).double() @ model.convs[0].lin.weight.t().double()
    torch.testing.assert_close(noisy.products, expected, rtol=1e-12, atol=1e-12)
    elsewhere = noisy.elsewhere(noisy.given, TRANSFORM, 1.0 - noisy.x)
    assert elsewhere.products is None, "of other features"
    known = noisy.precise_draw(known=True)
    assert isinstance(known, LinearInput) and known.shape == (N, D + 1)
    assert torch.equal(noisy.precise_draw(known=False), noisy.trial_draw(0).double())
    for other in (SquaresToo(D + 1, 8, 2, C), GCN(D + 1, 8, 2, C)):
        dense = tried(other, dense=type(other) is GCN)
        assert dense.products is None and type(dense.precise_draw(known=True)) is Tensor


@torch.no_grad()
def test_both_draws_tell_whether_products_are_answered_alike() -> None:
    def made(least: float, most: float) -> Told:
        torch.manual_seed(0)
        return Told(D + 1, 8, 2, C, least=least, most=most)

    forward = GraphForward(None, [make_graph()], node_level=True)
    honest, plain = tried(made(0.0, 0.0)), made(0.0, 0.0).eval().double()
    assert honest.why_dense is None
    for number in range(2):
        draw = honest.trial_draw(number).double()
        size = float(plain(draw, forward.graph.edge_index).sum())
        found = tried(made(size - 1e-4, size + 1e-4))
        assert found.why_dense == "the model's logits differ behind its first linear layer"
        assert found.products is None


class Far(nn.Module):
    """Sums neighbors, and on a matrix less of products that no real features have."""

    def __init__(self, squares: bool, honest: bool) -> None:
        super().__init__()
        self.map, self.squares, self.honest = nn.Linear(D + 1, C), squares, honest

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        hidden = self.map(x)
        if self.squares:
            hidden = hidden + 0.1 * x.square().sum(1, keepdim=True)
        if type(edge_index) is Tensor and edge_index.layout == torch.strided:
            return hidden + hidden[edge_index[0]].new_zeros(N, C).index_add(
                0, edge_index[1], hidden[edge_index[0]]
            )
        least = 1.0 if self.honest else float(hidden.abs().max() < 4.0)
        return hidden + least * (edge_index @ hidden)


@torch.no_grad()
@pytest.mark.parametrize("squares", [False, True])
def test_a_form_of_the_graph_is_tried_on_unrelated_features(squares: bool) -> None:
    def made(honest: bool) -> Far:
        torch.manual_seed(0)
        return Far(squares, honest)

    for honest in (True, False):
        noisy = tried(made(honest), block_size=1)
        assert (noisy.products is None) == squares and noisy.adjacency is not None
        assert noisy.adjacency.as_given != honest, str(noisy.adjacency)


class Cancels(nn.Module):
    """Maps its features, and adds nothing of them to what it says."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.some, self.others = (nn.Linear(D + 1, C, bias=False) for _ in range(2))
        self.some.weight.data.fill_(weight)
        self.others.weight.data.fill_(-weight)
        self.bias = nn.Parameter(torch.arange(C).float())

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.some(x) + self.others(x) + self.bias


@torch.no_grad()
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("dense", [False, True])
def test_products_that_no_features_have_do_not_count_as_features(
    weight: float, dense: bool
) -> None:
    with pytest.raises(ImpureModelError, match="does not depend on the noisy features"):
        tried(Cancels(weight), dense=dense)


class InTurn(nn.Module):
    """Says nothing of its features, which it maps in another order on a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.unsaid = nn.Linear(D + 1, C), nn.Linear(D + 1, C)
        self.said.weight.data.zero_()

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        if type(edge_index) is Tensor and edge_index.layout == torch.strided:
            said, _ = self.said(x), self.unsaid(x)
            return (
                said[edge_index[0]].new_zeros(N, C).index_add(0, edge_index[1], said[edge_index[0]])
            )
        _, said = self.unsaid(x), self.said(x)
        return edge_index @ said  # type: ignore[no-any-return]


@torch.no_grad()
def test_products_are_those_of_the_maps_that_the_form_of_the_graph_asks_for() -> None:
    with pytest.raises(ImpureModelError, match="does not depend on the noisy features"):
        tried(InTurn(), block_size=1)


@torch.no_grad()
@pytest.mark.parametrize("dense", [False, True])
def test_what_depends_on_nothing_else_is_tried_on_two_draws(
    dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Tensor] = []

    def seen(prepared: Any, draws: list[Tensor], *rest: Any) -> None:
        answers.extend(map(prepared.answer, draws))

    monkeypatch.setattr(model_trial, "check_deterministic", seen)
    noisy = tried(GCN(D + 1, 8, 2, C), dense=dense)
    expected = [noisy.answer(noisy.trial_draw(number), 1) for number in range(2)]
    torch.testing.assert_close(answers, expected)
    assert not torch.allclose(*expected)
