"""What message ablation assumes: a node that sends nothing reaches no other. What breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data
from torch_geometric.nn import aggr, conv, norm
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor
from torch_geometric.utils import degree, to_dense_adj, to_undirected

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .small import C, D, N, make_graph, seeded

MESSAGES = HierarchicalNodeFeatureNoise(0.7, AblationNoise(of="messages"))
WIDTH = D + 1
DATA = make_graph()


def ask(model: nn.Module, data: Data = DATA, **options: Any) -> Tensor:
    """Votes of a few samples, one at a time."""
    made = {name: options.pop(name) for name in ("forward", "keep") if name in options}
    classifier = SmoothedNodeClassifier(model, MESSAGES, C, **made)
    return classifier.sample_votes(data, 20, progress=False, num_workers=0, block_size=1, **options)


def leaks(run: Callable[[], object]) -> None:
    with pytest.raises(ImpureModelError, match="lets a node that sends no messages reach others"):
        run()


class Beside(nn.Module):
    """A convolution, and something that is the same for all nodes."""

    def __init__(self, width: int, context: Callable[..., Tensor]) -> None:
        super().__init__()
        self.conv, self.lin = gnn.SAGEConv(WIDTH, C), nn.Linear(width, C)
        self.context = context

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        context = self.context(x, edge_index)
        return self.conv(x, edge_index) + self.lin(context.view(-1, self.lin.in_features))


@pytest.mark.parametrize("anchor", range(N))
def test_one_node_that_all_others_look_at(anchor: int) -> None:
    leaks(lambda: ask(seeded(Beside, WIDTH, lambda x, edge_index: x[anchor])))


class TwoGraphs(nn.Module):
    """A model with edges of its own."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(WIDTH, C)
        self.register_buffer("edges", edges)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index) + self.conv(x, self.edges)


@pytest.mark.parametrize("seed", range(12))
def test_a_single_edge_of_the_models_own(seed: int) -> None:
    source, target = torch.randperm(N, generator=torch.Generator().manual_seed(seed))[:2].tolist()
    leaks(lambda: ask(seeded(TwoGraphs, torch.tensor([[source], [target]]))))


def in_degree(x: Tensor, edge_index: Tensor) -> Tensor:
    return degree(edge_index[1], x.size(0), x.dtype)


DEGREES = {
    "least": lambda x, e: in_degree(x, e) - in_degree(x, e).min(),
    "most": lambda x, e: in_degree(x, e) / in_degree(x, e).max(),
    "mean": lambda x, e: in_degree(x, e) - in_degree(x, e).mean(),
    "number of edges": lambda x, e: x.new_tensor([float(e.size(1))]),
    "number of nodes": lambda x, e: x.new_tensor([float(x.size(0))]),
    "isolated nodes": lambda x, e: (in_degree(x, e) == 0).to(x).mean(),
    "out-degrees": lambda x, e: degree(e[0], x.size(0), x.dtype),
    "degree of one node": lambda x, e: in_degree(x, e)[5],
}


@pytest.mark.parametrize("name", DEGREES)
def test_statistics_of_degrees(name: str) -> None:
    leaks(lambda: ask(seeded(Beside, 1, DEGREES[name])))


POOLED = {
    "mean": lambda x: x.mean(0),
    "most": lambda x: x.amax(0),
    "least": lambda x: x.amin(0),
    "largest row": lambda x: x[x.norm(dim=1).argmax()],
    "silent nodes": lambda x: (x * (x[:, -1:] == 1)).sum(0),
    "sending nodes, and how many": lambda x: (x * (x[:, -1:] == 0)).sum(0) / x.size(0),
    "median": lambda x: x.median(0).values,
    "signs": lambda x: x.sign().mean(0),
}


class Picky(Beside):
    """Takes features in their range only."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if bool((x.abs() > 10).any()) or bool((x[:, :-1] == 0).all(1).any()):
            raise RuntimeError("these are no features")
        return super().forward(x, edge_index)


@pytest.mark.parametrize("kind", [Beside, Picky])
@pytest.mark.parametrize("name", POOLED)
def test_statistics_of_features(name: str, kind: type[Beside]) -> None:
    leaks(lambda: ask(seeded(kind, WIDTH, lambda x, edge_index: POOLED[name](x))))


class Weighted(nn.Module):
    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.how = gnn.GCNConv(WIDTH, C), how

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.conv(x, edge_index, self.how(edge_weight))


WEIGHTS = {
    "most": lambda w: w / w.max(),
    "least": lambda w: w - w.min() + 0.1,
    "mean": lambda w: w / w.mean(),
    "sum": lambda w: w / w.sum(),
    "norm": lambda w: w / w.norm(),
}


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_edges_that_are_scaled_by_all(name: str, ones: bool) -> None:
    """An edge into a silent node may have any weight."""
    data = make_graph()
    if ones:
        data.edge_weight = torch.ones_like(data.edge_weight)
    leaks(lambda: ask(seeded(Weighted, WEIGHTS[name]), data))


class Dated(nn.Module):
    """Attends to edges by their age, counted from the newest of all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv.GATConv(WIDTH, C, edge_dim=1)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        age = (edge_attr.max() - edge_attr).view(-1, 1) / 5
        return self.conv(x, edge_index, age.to(x))


class Kinds(nn.Module):
    """Divides by the number of kinds of edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv.RGCNConv(WIDTH, C, 4)

    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        return self.conv(x, edge_index, edge_type) / edge_type.unique().numel()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["edge_attr", "edge_type"])
def test_integers_of_edges_that_are_compared_with_all(name: str, seed: int) -> None:
    data = Data(x=DATA.x, edge_index=DATA.edge_index)
    numbers = torch.randint(0, 3, (data.num_edges,), generator=torch.manual_seed(seed))
    data[name] = numbers
    leaks(lambda: ask(seeded(Dated if name == "edge_attr" else Kinds), data))
    ask(
        seeded(conv.RGCNConv, WIDTH, C, 3),
        Data(x=DATA.x, edge_index=DATA.edge_index, edge_type=numbers),
    )


def placed(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Positions as shares of the largest one."""
    return model(x, data.edge_index) + data.pos / data.pos.max()


def test_attributes_of_added_nodes() -> None:
    data = make_graph()
    data.pos = torch.rand(N, C, generator=torch.manual_seed(0))
    leaks(lambda: ask(seeded(gnn.GCN, WIDTH, 8, 2, C), data, keep=("pos",), forward=placed))


class Dense(nn.Module):
    """A matrix that holds zeros, which an infinite number gets past."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(WIDTH, C), nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        matrix = to_dense_adj(edge_index, max_num_nodes=x.size(0))[0].t().to(x)
        return self.own(x) + matrix @ self.other(x)


def test_zeros_that_features_overflow() -> None:
    """One silent node with finite features leaves no logits of all the others."""
    model, x, silent = seeded(Dense), DATA.x.clone(), torch.zeros(N, 1)
    x[3], silent[3] = 3e38 * model.other.weight[0, :D].sign(), 1.0
    edges = DATA.edge_index[:, DATA.edge_index[0] != 3]
    assert not model(torch.cat([x, silent], 1), edges).isfinite().all(1).any()
    leaks(lambda: ask(model))


class ColdStart(nn.Module):
    """Gives nodes to which nobody sends the mean of all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cold = gnn.SAGEConv(WIDTH, C), nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        alone = in_degree(x, edge_index) == 0
        return torch.where(alone.view(-1, 1), self.cold(x.mean(0)), self.conv(x, edge_index))


@pytest.mark.parametrize("num_nodes", [3, 8, 60])
def test_nodes_that_hear_nobody_on_a_dense_graph(num_nodes: int) -> None:
    data = Data(x=torch.randn(num_nodes, D, generator=torch.manual_seed(0)))
    data.edge_index = torch.ones(num_nodes, num_nodes).nonzero().t()
    leaks(lambda: ask(seeded(ColdStart), data))


class Guarded(nn.Module):
    """Does something else on a graph without edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.alone = gnn.SAGEConv(WIDTH, C), nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index) if edge_index.numel() > 0 else self.alone(x)


def test_a_graph_on_which_only_silent_nodes_hear() -> None:
    leaks(lambda: ask(seeded(Guarded)))
    leaks(lambda: ask(seeded(Guarded), make_graph(200)))


class StepsOfSize(nn.Module):
    """Takes more steps on larger graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.conv = nn.Linear(WIDTH, C), conv.SimpleConv("mean")

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.lin(x)
        for _ in range(x.size(0).bit_length()):
            h = self.lin(x) + self.conv(h, edge_index)
        return h


def test_steps_that_many_added_nodes_change() -> None:
    leaks(lambda: ask(seeded(StepsOfSize)))


def stack(*steps: Any) -> nn.Module:
    """Steps between two convolutions."""
    first, last = gnn.GCNConv(WIDTH, 8), gnn.GCNConv(8, C)
    edges = "x, edge_index -> x"
    return gnn.Sequential(
        "x, edge_index", [(first, edges), *((step, "x -> x") for step in steps), (last, edges)]
    )


def one(layer: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: gnn.Sequential(
        "x, edge_index", [(layer(), "x, edge_index -> x"), (nn.Linear(8, C), "x -> x")]
    )


class Knn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        near = torch.cdist(x, x).topk(4, largest=False).indices
        own = torch.arange(x.size(0)).view(-1, 1).expand_as(near)
        return self.conv(x, torch.stack([near.flatten(), own.flatten()]))


class Undirected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, to_undirected(edge_index, num_nodes=x.size(0)))


class PoolsAll(nn.Module):
    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.conv, self.lin, self.pool = gnn.GCNConv(WIDTH, 8), nn.Linear(8, C), pool

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.conv(x, edge_index)
        return self.lin(h + self.pool(h, torch.zeros(h.size(0), dtype=torch.long)))


NOT_SILENT = {
    "ChebConv": one(lambda: conv.ChebConv(WIDTH, 8, K=3)),
    "DirGNNConv": one(lambda: conv.DirGNNConv(conv.SAGEConv(WIDTH, 8))),
    "target_to_source": one(lambda: conv.SAGEConv(WIDTH, 8, flow="target_to_source")),
    "GCN, target_to_source": one(lambda: conv.GCNConv(WIDTH, 8, flow="target_to_source")),
    "HypergraphConv": one(lambda: conv.HypergraphConv(WIDTH, 8)),
    "LSTM": one(lambda: conv.SAGEConv(WIDTH, 8, aggr=aggr.LSTMAggregation(WIDTH, WIDTH))),
    "GRU": one(lambda: conv.SAGEConv(WIDTH, 8, aggr=aggr.GRUAggregation(WIDTH, WIDTH))),
    "LayerNorm": lambda: stack(norm.LayerNorm(8)),
    "PairNorm": lambda: stack(norm.PairNorm()),
    "GraphNorm": lambda: stack(norm.GraphNorm(8)),
    "InstanceNorm": lambda: stack(norm.InstanceNorm(8)),
    "BatchNorm": lambda: stack(norm.BatchNorm(8, track_running_stats=False)),
    "GraphSizeNorm": lambda: stack(norm.GraphSizeNorm()),
    "MeanSubtractionNorm": lambda: stack(norm.MeanSubtractionNorm()),
    "DiffGroupNorm": lambda: stack(norm.DiffGroupNorm(8, 2, track_running_stats=False)),
    "GPSConv": one(lambda: nn.Sequential()),
    "Knn": Knn,
    "Undirected": Undirected,
    "add pool": lambda: PoolsAll(gnn.global_add_pool),
    "mean pool": lambda: PoolsAll(gnn.global_mean_pool),
    "max pool": lambda: PoolsAll(gnn.global_max_pool),
    "softmax over nodes": lambda: stack(nn.Softmax(dim=0)),
    "torch BatchNorm": lambda: stack(nn.BatchNorm1d(8, track_running_stats=False)),
}
NOT_SILENT["GPSConv"] = lambda: gnn.Sequential(
    "x, edge_index",
    [
        (nn.Linear(WIDTH, 8), "x -> x"),
        (conv.GPSConv(8, conv.GCNConv(8, 8), heads=2), "x, edge_index -> x"),
        (nn.Linear(8, C), "x -> x"),
    ],
)


@pytest.mark.parametrize("name", NOT_SILENT)
def test_what_the_design_names_is_refused(name: str) -> None:
    data = Data(x=DATA.x, edge_index=DATA.edge_index).sort(sort_by_row=False)
    leaks(lambda: ask(seeded(NOT_SILENT[name]), data))


def as_sparse_tensor(data: Data) -> Any:
    row, col = data.edge_index
    return SparseTensor(row=col, col=row, value=data.edge_weight, sparse_sizes=(N, N))


def as_csr(data: Data) -> Tensor:
    row, col = data.edge_index
    coo = torch.sparse_coo_tensor(torch.stack([col, row]), data.edge_weight, (N, N))
    return coo.coalesce().to_sparse_csr()


class OnMatrix(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, adj_t: Any) -> Tensor:
        return self.inner(x, adj_t)


FORMS: dict[str, Any] = {"CSR": as_csr}
if WITH_TORCH_SPARSE:
    FORMS["SparseTensor"] = as_sparse_tensor


@pytest.mark.parametrize("form", FORMS)
def test_graphs_in_matrices(form: str) -> None:
    data = Data(x=DATA.x, adj_t=FORMS[form](DATA))
    ask(seeded(lambda: OnMatrix(gnn.GCNConv(WIDTH, C))), data)
    leaks(lambda: ask(seeded(lambda: OnMatrix(stack(norm.PairNorm()))), data))


def test_calls_of_the_users_own() -> None:
    """Through ``forward`` and ``keep``."""
    data = make_graph()
    data.years = torch.arange(N).float()
    model = seeded(gnn.GCN, WIDTH, 8, 2, C)

    def local(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        return model(x, graph.edge_index) + graph.years.view(-1, 1) * x.new_tensor([0.0, 0.1, 0.2])

    def pooled(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        return model(x, graph.edge_index) + x.amax(0)[:C]

    ask(model, data, forward=local, keep=("years",))
    leaks(lambda: ask(model, data, forward=pooled, keep=("years",)))


SILENT = {
    "GCN": lambda: gnn.GCN(WIDTH, 8, 3, C),
    "GCN with norm": lambda: gnn.GCN(WIDTH, 8, 2, C, norm="batch_norm", jk="cat"),
    "LayerNorm of rows": lambda: stack(norm.LayerNorm(8, mode="node")),
    "GAT": lambda: gnn.GAT(WIDTH, 8, 2, C, heads=2),
    "GATv2": lambda: gnn.GAT(WIDTH, 8, 2, C, v2=True),
    "SAGE": lambda: gnn.GraphSAGE(WIDTH, 8, 2, C, aggr="max"),
    "SAGE, many": lambda: gnn.GraphSAGE(
        WIDTH, 8, 2, C, aggr=["mean", "std", "max"], project=True
    ),
    "GIN": lambda: gnn.GIN(WIDTH, 8, 2, C),
    "PNA": lambda: gnn.PNA(
        WIDTH, 8, 2, C, aggregators=["mean", "max", "std"], scalers=["amplification"],
        deg=torch.tensor([0, 3, 5, 4]),
    ),
    "APPNP": lambda: gnn.Sequential(
        "x, edge_index",
        [(nn.Linear(WIDTH, C), "x -> x"), (gnn.APPNP(5, 0.1), "x, edge_index -> x")],
    ),
    "TransformerConv": one(lambda: conv.TransformerConv(WIDTH, 4, heads=2)),
    "ResGatedGraphConv": one(lambda: conv.ResGatedGraphConv(WIDTH, 8)),
    "TAGConv": one(lambda: conv.TAGConv(WIDTH, 8)),
    "ARMAConv": one(lambda: conv.ARMAConv(WIDTH, 8)),
    "SGConv": one(lambda: conv.SGConv(WIDTH, 8, K=2, cached=True)),
    "GCN, cached": one(lambda: conv.GCNConv(WIDTH, 8, cached=True)),
    "softmax of messages": one(
        lambda: conv.SAGEConv(WIDTH, 8, aggr=aggr.SoftmaxAggregation(learn=True))
    ),
    "only its neighbors": lambda: conv.SimpleConv(),
    "ChebConv, K=1": one(lambda: conv.ChebConv(WIDTH, 8, K=1)),
}  # fmt: skip


def calls_of(name: str) -> dict[str, Any]:
    if name != "only its neighbors":
        return {}
    return {"forward": lambda model, x, graph: model(x, graph.edge_index)[:, :C]}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("name", SILENT)
def test_honest_models_are_not_refused(name: str, offset: float, dtype: torch.dtype) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = SILENT[name]()

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.inner(x, edge_index) + offset

    data = Data(x=DATA.x.to(dtype), edge_index=DATA.edge_index)
    ask(seeded(Shifted).to(dtype), data, **calls_of(name))
