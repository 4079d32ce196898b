"""Rows 7 and 12: the noise reaches the model, and the clean features do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.transforms import SIGN, AddLaplacianEigenvectorPE

from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_votes


class Wide(nn.Module):
    """Reads two feature matrices."""

    def __init__(self, in_channels: int = D) -> None:
        super().__init__()
        self.noisy, self.clean = Linear(), nn.Linear(in_channels, C)

    def forward(self, x: Tensor, edge_index: Tensor, other: Tensor) -> Tensor:
        return self.noisy(x, edge_index) + self.clean(other.float())


def with_sign() -> Data:
    """A graph with propagated features, ``x1`` and ``x2``."""
    return SIGN(2)(make_graph())


WAYS_TO_READ = {
    "attribute": lambda data: data.x1,
    "item": lambda data: data["x1"],
    "get": lambda data: data.get("x1"),
    "getattr": lambda data: getattr(data, "x1"),  # noqa: B009
    "store": lambda data: data._store["x1"],
    "stores": lambda data: data.stores[0]["x1"],
    "dict": lambda data: data.to_dict()["x1"],
    "call": lambda data: dict(data())["x1"],
    "clone": lambda data: data.clone().x1,
    "mapping": lambda data: data._store._mapping["x1"],
}


@pytest.mark.parametrize("way", WAYS_TO_READ)
def test_propagated_features_of_the_data_are_refused_by_name(way: str) -> None:
    read = WAYS_TO_READ[way]

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        return model(x, data.edge_index, read(data))

    data, model = with_sign(), seeded(Wide)
    with pytest.raises(ValueError) as caught:
        votes_of(model, data, forward=forward)
    text = str(caught.value)
    if way not in ("get", "dict", "call"):  # these may say no more than that there is none
        assert "x1" in text and "keep" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["y", "pos", "train_mask", "x_clean", "laplacian_eigenvector_pe"])
def test_all_but_structure_is_refused_by_name(name: str) -> None:
    data = make_graph()
    data[name] = data.x.clone()

    def forward(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        return model(x, graph.edge_index, graph[name])

    with pytest.raises(ValueError, match=f"(?s)(?=.*{name})(?=.*keep)"):
        votes_of(seeded(Wide), data, forward=forward)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_the_user_keeps_is_there(num_workers: int) -> None:
    data = AddLaplacianEigenvectorPE(2, attr_name="pos")(make_graph())
    data.label_hint = torch.arange(N).view(-1, 1) % C

    def forward(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        return model(x, graph.edge_index, torch.cat([graph.pos, graph.label_hint], dim=1))

    model = seeded(Wide, 3)
    truth = plain_votes(forward, model, ABLATION, data, SAMPLES, C)
    keep = ("pos", "label_hint")
    votes = votes_of(model, data, keep=keep, forward=forward, num_workers=num_workers)
    assert_votes(votes, truth)
    with pytest.raises(ValueError, match="label_hint"):
        votes_of(model, data, keep=("pos",), forward=forward)


def test_structure_needs_no_promise() -> None:
    data = make_graph()
    data.edge_attr = torch.rand(data.num_edges, 2, generator=torch.Generator().manual_seed(0))
    data.edge_type = torch.arange(data.num_edges) % 2

    def forward(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        assert graph.num_nodes == x.size(0)
        weight = graph.edge_weight * graph.edge_attr.sum(1) * (1 + graph.edge_type)
        sums = x.new_zeros(x.size(0), C)
        rows, columns = graph.edge_index
        return sums.index_add(0, columns, weight.view(-1, 1) * model.own(x)[rows])

    model = seeded(Linear)
    truth = plain_votes(forward, model, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(model, data, forward=forward), truth)


@pytest.mark.parametrize("keep", [("x",), ("absent",), ("pos", "absent"), "pos", (3,)], ids=str)
def test_keep_names_attributes_that_are_there_and_not_the_features(keep: Any) -> None:
    data = make_graph()
    data.pos = torch.rand(N, 2)
    with pytest.raises((ValueError, TypeError), match="keep"):
        SmoothedNodeClassifier(seeded(Linear), ABLATION, C, keep=keep).sample_votes(
            data, 5, progress=False
        )


def test_graphs_keep_what_their_user_names() -> None:
    graphs = [make_graph(seed=seed) for seed in range(4)]
    for graph in graphs:
        graph.pos = torch.randn(N, 2)
        graph.x1 = graph.x.clone()

    def read(name: str) -> Any:
        def forward(model: nn.Module, x: Tensor, batch: Any) -> Tensor:
            logits = model(x, batch.edge_index, batch[name])
            return logits.new_zeros(batch.num_graphs, C).index_add(0, batch.batch, logits)

        return forward

    kept = SmoothedGraphClassifier(seeded(Wide, 2), ABLATION, C, forward=read("pos"), keep=("pos",))
    votes = kept.sample_votes(graphs, SAMPLES, progress=False, num_workers=0)
    assert votes.shape == (4, C)
    leaking = SmoothedGraphClassifier(seeded(Wide), ABLATION, C, forward=read("x1"))
    with pytest.raises(ValueError, match=r"(?s)(?=.*x1)(?=.*keep)"):
        leaking.sample_votes(graphs, SAMPLES, progress=False)


CLEAN = make_graph()
WITH_INDICATOR = torch.cat([CLEAN.x, torch.zeros(N, 1)], dim=1)


def ignores(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """A closure over the clean features, whatever the noise."""
    return model(WITH_INDICATOR, data.edge_index).repeat(x.size(0) // N, 1)[: x.size(0)]


def constant(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """One class for everyone."""
    return torch.eye(C)[0].repeat(x.size(0), 1)


def touches(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Reads the noisy features, and throws away what it has read."""
    return ignores(model, x, data) + 0 * model(x, data.edge_index)


def detached_zero(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Reads no more than the shape."""
    return model(torch.ones_like(x), data.edge_index)


def indicator_alone(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The clean features with the noisy indicator: two draws differ, two features do not."""
    copies = x.size(0) // N
    return model(torch.cat([CLEAN.x.repeat(copies, 1), x[:, -1:]], dim=1), data.edge_index)


@pytest.mark.parametrize("block_size", [None, 1])
@pytest.mark.parametrize(
    "forward", [ignores, constant, touches, detached_zero, indicator_alone],
    ids=lambda forward: forward.__name__,
)  # fmt: skip
def test_logits_that_do_not_depend_on_the_noisy_features_are_refused(
    forward: Any, block_size: int | None
) -> None:
    run = lambda: votes_of(  # noqa: E731
        seeded(Linear), make_graph(), forward=forward, block_size=block_size
    )
    with pytest.raises(ValueError, match=r"does not depend on the noisy feat|holds the clean feat"):
        run()


def test_a_model_that_ignores_its_features_is_refused() -> None:
    class ByStructure(Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(torch.ones_like(x), edge_index)

    with pytest.raises(ValueError, match="does not depend on the noisy features"):
        votes_of(seeded(ByStructure), make_graph())


def test_random_numbers_do_not_pass_for_noise() -> None:
    def random(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        return constant(model, x, data) + torch.rand(1)

    with pytest.raises(ValueError, match="does not depend on the noisy features"):
        votes_of(seeded(Linear), make_graph(), forward=random)


def test_a_model_that_few_draws_reach_is_not_refused() -> None:
    """Ablation with p = 0.02 leaves most of the draws of a small graph alike."""
    rare = HierarchicalNodeFeatureNoise(0.02, AblationNoise())
    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(lambda m, x, graph: m(x, graph.edge_index), model, rare, data, 200, C)
    assert_votes(votes_of(model, data, rare, 200), truth)


class OfData(nn.Module):
    """A model that is called with a graph, as in PyG's examples."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GCN(D + 1, 8, 2, C)
        nn.init.normal_(self.gnn.convs[1].bias)

    def forward(self, data: Data) -> Tensor:
        return self.gnn(data.x, data.edge_index, data.edge_weight)


def sets_x(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """PyG's usual call."""
    data.x = x
    return model(data)


def updates_x(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The same by another method."""
    return model(data.update({"x": x}))


def copies_with_x(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The same on a copy."""
    data = data.clone()
    data["x"] = x
    return model(data)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "forward", [sets_x, updates_x, copies_with_x], ids=lambda forward: forward.__name__
)
def test_a_forward_may_put_the_features_into_the_data(forward: Any, num_workers: int) -> None:
    data, model = make_graph(), seeded(OfData)
    truth = plain_votes(sets_x, model, ABLATION, data, SAMPLES, C)
    before = data.x.clone()
    assert_votes(votes_of(model, data, forward=forward, num_workers=num_workers), truth)
    assert_votes(votes_of(model, data, forward=forward, dense=True), truth)
    assert torch.equal(data.x, before)


def test_a_call_cannot_leave_anything_in_the_data_for_the_next() -> None:
    """A memo in the graph, as careless as one in the model."""

    def memo(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        logits = model(x, data.edge_index)
        if "past" not in data:
            data.past = logits
        return logits + data.past

    def doubles(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        data.edge_index = torch.cat([data.edge_index, data.edge_index[:, :3]], dim=1)
        return model(x, data.edge_index)

    data, model = make_graph(), seeded(Linear)
    for forward in (memo, doubles):
        truth = plain_votes(forward, model, ABLATION, data, SAMPLES, C)
        votes = votes_of(model, data, forward=forward, block_size=1)
        assert_votes(votes, truth)
