"""Row 16: what cannot end well is refused before sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from pyg_hiersmooth.nn import (
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_refusal, right_or_refused


class Counted(Linear):
    """Tells how often models of its kind were called."""

    calls: list[int] = []  # noqa: RUF012

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        Counted.calls.append(x.size(0))
        return super().forward(x, edge_index)


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("alpha", [5e-324, 0.0, 1.0, float("nan")])
def test_an_alpha_that_bounds_nothing_is_refused_before_sampling(
    alpha: float, simultaneous: bool, kind: str
) -> None:
    Counted.calls.clear()
    classifier = SmoothedNodeClassifier(seeded(Counted), ABLATION, C)
    try:
        certificate = classifier.certify(
            *(make_graph(), 100, 3_000, alpha),
            kind=kind,
            simultaneous=simultaneous,
            progress=False,
            num_workers=0,
        )
    except ValueError as error:
        assert_refusal(error, "alpha")
        assert sum(Counted.calls) < 1_000 * N, "it sampled first"
    else:
        assert 0 < alpha < 1
        assert not bool(certificate.is_robust(r=1).any())


def graph_logits(model: nn.Module, x: Tensor, batch: Any) -> Tensor:
    """Sums of the nodes' logits."""
    logits = model(x, batch.edge_index)
    return logits.new_zeros(batch.num_graphs, C).index_add(0, batch.batch, logits)


@pytest.mark.parametrize("size", [N, 2 * N])
def test_a_probability_per_node_of_a_batch_is_right_or_refused(size: int) -> None:
    p = torch.linspace(0.2, 0.9, size)
    transform = HierarchicalNodeFeatureNoise(p, AblationNoise())
    graphs = [make_graph(seed=1), make_graph(seed=2)]
    batch = Batch.from_data_list(graphs)
    data = batch.clone()
    sizes = [N, N] if size == N else [2 * N]
    truth = None
    if size == 2 * N:  # one probability for each node of the batch
        truth = plain_votes(pyg_call, seeded(Linear), transform, data, SAMPLES, C, sizes)
    try:
        votes = votes_of(seeded(Linear), batch, transform)
    except ValueError as error:
        assert_refusal(error, "p")
    else:
        assert truth is None or torch.equal(votes, truth)
    classifier = SmoothedGraphClassifier(seeded(Linear), transform, C, forward=graph_logits)
    try:
        votes = classifier.sample_votes(graphs, SAMPLES, progress=False)
    except ValueError as error:
        assert_refusal(error, "p")
    else:
        assert votes.shape == (2, C) and size == N


@pytest.mark.parametrize("block_size", [None, 1])
def test_a_traced_model_is_right_or_refused(block_size: int | None) -> None:
    """A trace keeps the number of rows of its example as a constant."""
    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    traced = torch.jit.trace(model, (torch.zeros(N, D + 1), data.edge_index))
    right_or_refused(
        lambda: votes_of(traced, data, block_size=block_size), truth, "model", "block_size"
    )


def test_a_script_is_right_or_refused() -> None:
    data, model = make_graph(), seeded(lambda: nn.Sequential(nn.Linear(D + 1, C), nn.Tanh()))

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.jit.script(model)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.net(x)

    truth = plain_votes(lambda m, x, graph: m(x), model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(Rows().eval(), data), truth, "net", "RecursiveScriptModule")


def test_an_exported_program_is_right_or_refused() -> None:
    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    exported = torch.export.export(model, (torch.zeros(N, D + 1), data.edge_index)).module()
    right_or_refused(lambda: votes_of(exported, data), truth, "model", "GraphModule")


@pytest.mark.parametrize("output", ["tuple", "dict", "short", "nan", "integers"])
def test_outputs_that_are_no_logits_are_refused(output: str) -> None:
    def forward(model: nn.Module, x: Tensor, data: Any) -> Any:
        logits = model(x, data.edge_index)
        return {
            "tuple": (logits, x),
            "dict": {"logits": logits},
            "short": logits[:-1],
            "nan": logits * float("nan"),
            "integers": logits.argmax(1),
        }[output]

    with pytest.raises(ValueError) as caught:
        votes_of(seeded(Linear), make_graph(), forward=forward)
    assert_refusal(caught.value, "logits")


def test_nan_in_a_rare_sample_is_refused_in_one_sentence() -> None:
    def forward(model: nn.Module, x: Tensor, data: Any) -> Tensor:
        logits = model(x, data.edge_index)
        return logits / (x[:, -1].view(-1, N).mean(1) <= 0.7).float().repeat_interleave(N).view(
            -1, 1
        )

    with pytest.raises(ValueError) as caught:
        votes_of(seeded(Linear), make_graph(), forward=forward, num_samples=200)
    assert_refusal(caught.value, "logits")


def test_a_model_that_fails_is_quoted_in_one_sentence() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("first line\nsecond line\n" + "third line " * 200)

    with pytest.raises(ValueError) as caught:
        SmoothedImageClassifier(Broken(), ABLATION, C).sample_votes(
            torch.rand(2, 1, 4, 4), 5, progress=False
        )
    assert_refusal(caught.value, "model")
