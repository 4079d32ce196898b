"""Which heterogeneous models let silent nodes reach others, and what nodes may do in the trial."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import HeteroData

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.isolation.changed_graphs import Carried
from pyg_hiersmooth.nn.isolation.silence_of_type import with_typed_edges
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

SEVENFOLD = Carried(lambda values: 7.0 * values[:1], lambda values: values[:1], True)
WRITES, CITES = ("author", "writes", "paper"), ("paper", "cites", "paper")
WRITTEN, KNOWS = ("paper", "written", "author"), ("author", "knows", "author")
NOISE = HierarchicalNodeFeatureNoise(
    {"author": PartitionSelection(4, 1)}, AblationNoise(of="messages")
)


def graph(num_authors: int = 9, num_papers: int = 12) -> HeteroData:
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["author"].x = torch.rand(num_authors, 3, generator=generator)
    data["paper"].x = torch.rand(num_papers, 4, generator=generator)
    for kind, count in ((WRITES, 30), (CITES, 20), (WRITTEN, 30), (KNOWS, 16)):
        ends = (data[kind[0]].num_nodes, data[kind[-1]].num_nodes)
        index = [torch.randint(0, end, (count,), generator=generator) for end in ends]
        data[kind].edge_index = torch.stack(index).unique(dim=1)
    return data


class Hetero(nn.Module):
    """Two steps of a convolution of each edge type, with something between."""

    def __init__(self, conv: Any, between: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        first = {"author": 4, "paper": 4}
        kinds = (WRITES, CITES, WRITTEN, KNOWS)
        self.first = gnn.HeteroConv({k: conv((first[k[0]], first[k[-1]]), 6) for k in kinds})
        self.second = gnn.HeteroConv({k: conv((6, 6), 3) for k in kinds})
        self.between = between or nn.Identity()

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        hidden = self.first(x_dict, edge_index_dict)
        hidden = {name: self.between(h.relu()) for name, h in hidden.items()}
        return self.second(hidden, edge_index_dict)


class Transformer(nn.Module):
    def __init__(self, conv: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        kinds = [WRITES, CITES, WRITTEN, KNOWS]
        self.conv = conv({"author": 4, "paper": 4}, 6, (["author", "paper"], kinds), heads=2)
        self.out = nn.Linear(6, 3)

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        found = self.conv(x_dict, edge_index_dict)
        return {name: self.out(hidden) for name, hidden in found.items()}


def sage(size: Any, out: int, **options: Any) -> gnn.SAGEConv:
    return gnn.SAGEConv(size, out, **options)


def gat(size: Any, out: int) -> gnn.GATConv:
    return gnn.GATConv(size, out, add_self_loops=False)


def certify(model: nn.Module, node_type: str, data: HeteroData | None = None) -> Any:
    smoothed = SmoothedNodeClassifier(model, NOISE, 3, node_type=node_type)
    return smoothed.certify(data or graph(), progress=False, num_workers=0)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("node_type", ["author", "paper"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Hetero(sage),
        lambda: Hetero(gat),
        lambda: Hetero(sage, gnn.LayerNorm(6, mode="node")),
        lambda: Transformer(gnn.HGTConv),
    ],
    ids=["sage", "gat", "norm of each node", "hgt"],
)
def test_models_that_pass(make: Any, node_type: str) -> None:
    assert certify(make(), node_type).exact


def flowing_back(size: Any, out: int) -> gnn.SAGEConv:
    return gnn.SAGEConv((size[1], size[0]), out, flow="target_to_source")


class Swapped(Hetero):
    """Messages against the direction of the edges."""

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        swapped = {
            kind: edge_index_dict[{WRITES: WRITTEN, WRITTEN: WRITES}.get(kind, kind)].flip(0)
            for kind in edge_index_dict
        }
        return super().forward(x_dict, swapped)


class CountsAuthors(Hetero):
    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        found = super().forward(x_dict, edge_index_dict)
        return {name: logits / len(x_dict["author"]) for name, logits in found.items()}


class KnowsMagnitudes(Hetero):
    """Only many more authors make a difference."""

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        found = super().forward(x_dict, edge_index_dict)
        size = len(x_dict["author"]).bit_length()
        return {name: logits / size for name, logits in found.items()}


class WeighsWithZeros(Hetero):
    """Only features that overflow make a difference."""

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        found = super().forward(x_dict, edge_index_dict)
        nothing = (0 * x_dict["author"]).sum()
        return {name: logits + nothing for name, logits in found.items()}


class KnowsInDegrees(Hetero):
    """The largest in-degree of authors scales all papers."""

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        found = super().forward(x_dict, edge_index_dict)
        degree = edge_index_dict[WRITTEN][1].bincount(minlength=1).max()
        return {name: logits * (1 + degree) for name, logits in found.items()}


@pytest.mark.parametrize("node_type", ["author", "paper"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Hetero(sage, gnn.PairNorm()),
        lambda: Hetero(sage, gnn.LayerNorm(6)),
        lambda: Swapped(sage),
        lambda: CountsAuthors(sage),
        lambda: KnowsInDegrees(sage),
        lambda: KnowsMagnitudes(sage),
        lambda: WeighsWithZeros(sage),
    ],
    ids=["pair norm", "layer norm", "swapped", "counts", "in-degrees", "magnitudes", "zeros"],
)
def test_models_that_are_refused(make: Any, node_type: str) -> None:
    with pytest.raises(ImpureModelError, match="lets a node that sends no messages reach others"):
        certify(make(), node_type)


def test_attention_over_all_authors() -> None:
    """HAN weighs edge types by all nodes of one type: that is no way from authors to papers."""
    assert certify(Transformer(gnn.HANConv), "paper").exact
    with pytest.raises(ImpureModelError, match="'conv' computes something over all nodes"):
        certify(Transformer(gnn.HANConv), "author")


@pytest.mark.parametrize("layout", [None, torch.sparse_csr, torch.sparse_coo])
def test_more_edges_and_nodes_in_each_form(layout: Any) -> None:
    data = graph()
    data["author"].group = torch.arange(9)
    for kind in (WRITES, CITES):
        data[kind].edge_weight = torch.rand(data[kind].num_edges)
    given = data
    if layout is not None:
        given = T.ToSparseTensor(layout=layout, attr="edge_weight")(data.clone())
    more = {WRITTEN: torch.tensor([[0, 11], [9, 2]]), KNOWS: torch.tensor([[8], [9]])}
    larger = with_typed_edges(given, "author", more, num_added=1, carried=SEVENFOLD)
    assert larger["author"].num_nodes == 10 and larger["paper"].num_nodes == 12
    assert larger["author"].group.tolist() == [*range(9), 0]
    assert given["author"].num_nodes == 9  # the graph itself stays
    for kind in data.edge_types:
        before = {tuple(edge) for edge in data[kind].edge_index.t().tolist()}
        if layout is None:
            found = larger[kind].edge_index
        else:
            adj_t = larger[kind].adj_t
            sizes = [larger[kind[-1]].num_nodes, larger[kind[0]].num_nodes]
            assert list(adj_t.shape) == sizes
            found = adj_t.to_sparse_coo().coalesce().indices().flip(0)
        after = {tuple(edge) for edge in found.t().tolist()}
        added = {tuple(edge) for edge in more.get(kind, torch.empty(2, 0)).t().tolist()}
        assert after == before | added
    if layout is None:
        assert len(larger[WRITES].edge_weight) == data[WRITES].num_edges
