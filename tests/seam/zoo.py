"""Every convolution, model, norm and pooling of PyG that can be built from its signature."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import aggr, conv, models, norm, pool
from torch_geometric.nn.pool import ClusterPooling, EdgePooling, PANPooling
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor
from torch_geometric.utils import to_dense_batch

N, D, C = 12, 7, 3
WIDTH = D + 1
"""Columns that a model sees, the indicator among them."""


class Case(NamedTuple):
    """What is certified, and how it is called."""

    build: Callable[[], nn.Module]
    call: Callable[[nn.Module, Tensor, Any], Tensor]
    keep: tuple[str, ...] = ()


# Convolutions -----------------------------------------------------------------------------------

NOT_BUILT = (
    *(() if WITH_TORCH_SPARSE else (("PANConv", "it needs torch-sparse"),)),
    ("MessagePassing", "it is abstract"),
    ("CuGraphSAGEConv", "it needs cugraph"),
    ("CuGraphGATConv", "it needs cugraph"),
    ("CuGraphRGCNConv", "it needs cugraph"),
    ("FusedGATConv", "it needs dgNN"),
    ("GravNetConv", "it needs torch-cluster"),
    ("DynamicEdgeConv", "it needs torch-cluster"),
    ("XConv", "it needs torch-cluster"),
    ("SplineConv", "it needs torch-spline-conv"),
    ("WLConv", "it returns colors, not features"),
    ("HGTConv", "it is for heterogeneous graphs"),
    ("HeteroConv", "it is for heterogeneous graphs"),
    ("HANConv", "it is for heterogeneous graphs"),
    ("MeshCNNConv", "it is for triangle meshes"),
)


def mlp(*widths: int) -> nn.Module:
    """Linear maps with an activation in between."""
    return models.MLP(list(widths), norm=None, act="tanh")


ARGUMENTS: dict[str, Any] = {
    "in_channels": WIDTH, "out_channels": WIDTH, "channels": WIDTH, "K": 2, "alpha": 0.1,
    "num_relations": 2, "edge_dim": 2, "dim": 2, "kernel_size": 2, "hidden_channels": 4,
    "filter_size": 2, "dropout": 0.5, "first_aggr": True, "num_layers": 2, "num_node_types": 2,
    "num_edge_types": 2, "edge_type_emb_dim": 2, "edge_attr_emb_dim": 2,
    "aggregators": ["mean", "max"], "scalers": ["identity", "amplification"],
    "deg": torch.tensor([1, 3, 4, 2, 2]),
}  # fmt: skip
"""Values of arguments by their names."""

OF_ONE_CLASS: dict[str, dict[str, Any]] = {
    "GINConv": {"nn": lambda: mlp(WIDTH, WIDTH)},
    "GINEConv": {"nn": lambda: mlp(WIDTH, WIDTH), "edge_dim": 2},
    "NNConv": {"nn": lambda: mlp(2, WIDTH * WIDTH)},
    "EdgeConv": {"nn": lambda: mlp(2 * WIDTH, WIDTH)},
    "CGConv": {"dim": 2},
    "GATConv": {"edge_dim": 2, "heads": 2},
    "GATv2Conv": {"edge_dim": 2, "heads": 2},
    "TransformerConv": {"edge_dim": 2, "heads": 2},
    "ResGatedGraphConv": {"edge_dim": 2},
    "GENConv": {"edge_dim": 2},
    "GeneralConv": {"in_edge_channels": 2, "attention": True},
    "EGConv": {"num_heads": 2},
    "PointNetConv": {
        "local_nn": lambda: mlp(WIDTH + 2, WIDTH), "global_nn": lambda: mlp(WIDTH, WIDTH)
    },
    "PPFConv": {"local_nn": lambda: mlp(WIDTH + 4, WIDTH)},
    "PointTransformerConv": {"pos_nn": lambda: mlp(2, WIDTH), "attn_nn": lambda: mlp(WIDTH, WIDTH)},
    "PointGNNConv": {
        "mlp_h": lambda: mlp(WIDTH, 2),
        "mlp_f": lambda: mlp(WIDTH + 2, WIDTH),
        "mlp_g": lambda: mlp(WIDTH, WIDTH),
    },
    "GPSConv": {"conv": lambda: conv.GCNConv(WIDTH, WIDTH), "heads": 2},
    "DirGNNConv": {"conv": lambda: conv.SAGEConv(WIDTH, WIDTH)},
    "ClusterGCNConv": {"diag_lambda": 0.3},
    "MFConv": {"max_degree": 4},
    "RGCNConv": {"num_bases": 2},
    "RGATConv": {"edge_dim": 2},
    "FiLMConv": {"num_relations": 2},
    "SuperGATConv": {"heads": 2},
    "ARMAConv": {"num_stacks": 2},
    "PNAConv": {"edge_dim": 2},
}  # fmt: skip
"""What one class takes in another way, or takes in addition; modules are made anew."""

OF_THE_FEATURES = ("x", "x_0", "h")
OF_THE_GRAPH = {
    "hyperedge_index": "edge_index", "pos_edge_index": "edge_index", "neg_edge_index": "neg_index",
}  # fmt: skip


def make_data() -> Data:
    """A graph with all that a convolution may ask for."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, N, (2, 20), generator=generator)
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    normal = torch.randn(N, 3, generator=generator)
    return Data(
        x=2 * torch.randn(N, D, generator=generator),
        edge_index=edges,
        neg_index=torch.randint(0, N, (2, 15), generator=generator),
        edge_weight=torch.rand(40, generator=generator) + 0.2,
        edge_attr=torch.rand(40, 2, generator=generator),
        edge_type=torch.randint(0, 2, (40,), generator=generator),
        node_type=torch.arange(N) % 2,
        pos=torch.randn(N, 2, generator=generator),
        normal=normal / normal.norm(dim=1, keepdim=True),
        position=torch.randn(N, 3, generator=generator),
    )


def made(cls: type, chosen: dict[str, Any]) -> nn.Module:
    """An object of a class, its arguments chosen by their names."""
    taken = inspect.signature(cls.__init__).parameters
    values = {
        name: ARGUMENTS[name]
        for name, parameter in taken.items()
        if name in ARGUMENTS and (parameter.default is parameter.empty or name == "dropout")
    }
    for name, value in chosen.items():
        values[name] = value() if inspect.isfunction(value) else value
    return cls(**values)


class OfConv(nn.Module):
    """A convolution, and a linear map to logits."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.conv = convolution
        names = [
            name
            for name in inspect.signature(convolution.forward).parameters
            if name not in ("size", "return_attention_weights", "num_edges", "lambda_max")
        ]
        self.names = [name for name in names if name not in ("args", "kwargs", "batch")]
        self.takes_batch = "batch" in names
        data = make_data()
        with torch.no_grad():
            trial = self.convolved(copy.deepcopy(convolution), torch.ones(N, WIDTH), data)
        self.last = nn.Linear(trial.size(1), C)

    def value(self, name: str, x: Tensor, data: Data) -> Any:
        """An argument of the convolution by its name."""
        kind = type(self.conv).__name__
        if name in OF_THE_FEATURES:
            return torch.stack([x, x.tanh()], dim=1) if kind == "DNAConv" else x
        if name == "pos" and kind == "PPFConv":
            return data.position
        if name in ("hyperedge_attr", "hyperedge_weight"):
            return None
        if name == "edge_weight" and kind == "FAConv":
            return None
        if name == "edge_index" and kind == "PANConv":
            return SparseTensor.from_edge_index(data.edge_index, sparse_sizes=(x.size(0),) * 2)
        if name == "neg_edge_index" and kind == "SuperGATConv":
            return None
        return data[OF_THE_GRAPH.get(name, name)]

    def convolved(self, convolution: nn.Module, x: Tensor, data: Data) -> Tensor:
        """What the convolution returns first."""
        values = {name: self.value(name, x, data) for name in self.names}
        if self.takes_batch and "batch" in data:
            values["batch"] = data.batch
        out = convolution(**values)
        return out[0] if isinstance(out, tuple) else out

    def forward(self, x: Tensor, data: Data) -> Tensor:
        return self.last(self.convolved(self.conv, x, data).tanh())

    def kept(self) -> tuple[str, ...]:
        """Attributes of nodes that the convolution reads."""
        of_nodes = {"pos": "pos", "normal": "normal", "node_type": "node_type"}
        kept = [of_nodes[name] for name in self.names if name in of_nodes]
        if type(self.conv).__name__ == "PPFConv":
            kept = ["position", "normal"]
        return ("neg_index",) if "pos_edge_index" in self.names else tuple(kept)


def with_data(model: nn.Module, x: Tensor, data: Any) -> Tensor:
    """``model(x, data)``."""
    return model(x, data)


def conv_cases() -> dict[str, Case]:
    """All convolutions, those with ``cached`` twice."""
    cases = {}
    for name in conv.__all__:
        if name in dict(NOT_BUILT):
            continue
        cls = getattr(conv, name)
        chosen = OF_ONE_CLASS.get(name, {})
        versions: dict[str, dict[str, Any]] = {name: chosen}
        if "cached" in inspect.signature(cls.__init__).parameters:
            versions[f"{name}-cached"] = {**chosen, "cached": True}
        if name == "GPSConv":
            versions[f"{name}-performer"] = {**chosen, "attn_type": "performer"}
        for label, arguments in versions.items():

            def build(cls: type = cls, arguments: dict[str, Any] = arguments) -> nn.Module:
                return OfConv(made(cls, arguments))

            keep = build().kept()  # type: ignore[operator]
            cases[label] = Case(build, with_data, keep)
    return cases


# Models -----------------------------------------------------------------------------------------


class Deep(nn.Module):
    """Layers of DeepGCN."""

    def __init__(self, block: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            pyg.DeepGCNLayer(
                conv.GENConv(WIDTH, WIDTH), norm.LayerNorm(WIDTH), nn.ReLU(), block, dropout=0.3
            )
            for _ in range(2)
        )
        self.last = nn.Linear(2 * WIDTH if block == "dense" else WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.last.in_features == WIDTH:
            x = self.layers[0](x, edge_index)
        return self.last(self.layers[1](x, edge_index))


class Reversible(nn.Module):
    """A reversible block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = models.GroupAddRev(conv.SAGEConv(WIDTH // 2, WIDTH // 2), num_groups=2)
        self.last = nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.block(x, edge_index))


class Jumping(nn.Module):
    """Layers that are read all at once."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv.GCNConv(WIDTH, WIDTH) for _ in range(2))
        self.jump = models.JumpingKnowledge(mode, WIDTH, 2)
        self.last = nn.Linear(2 * WIDTH if mode == "cat" else WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = [x]
        for layer in self.layers:
            hidden.append(layer(hidden[-1], edge_index).tanh())
        return self.last(self.jump(hidden[1:]))


class Meta(nn.Module):
    """A MetaLayer of nodes and edges."""

    def __init__(self) -> None:
        super().__init__()
        outer = self

        class Edges(nn.Module):
            def forward(self, src: Tensor, dst: Tensor, attr: Any, u: Any, batch: Any) -> Tensor:
                return outer.of_edges(torch.cat([src, dst, attr], dim=1)).tanh()

        class Nodes(nn.Module):
            def forward(
                self, x: Tensor, edge_index: Tensor, attr: Tensor, u: Any, batch: Any
            ) -> Tensor:
                sums = x.new_zeros(x.size(0), C).index_add(0, edge_index[1], attr)
                return outer.of_nodes(x) + sums

        self.of_edges, self.of_nodes = nn.Linear(2 * WIDTH + 2, C), nn.Linear(WIDTH, C)
        self.meta = pyg.MetaLayer(Edges(), Nodes())

    def __deepcopy__(self, memo: dict[int, Any]) -> Meta:
        copied = Meta()
        copied.load_state_dict(self.state_dict())
        return copied.train(self.training)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.meta(x, edge_index, edge_attr)[0]


class Embeds(nn.Module):
    """A model that returns features, and a linear map to logits."""

    def __init__(self, model: nn.Module, width: int) -> None:
        super().__init__()
        self.model, self.last = model, nn.Linear(width, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.model(x, edge_index))


def plain_call(model: nn.Module, x: Tensor, data: Any) -> Tensor:
    """``model(x, edge_index)`` with the weights that the model names."""
    named = inspect.signature(model.forward).parameters
    values = {name: data[name] for name in ("edge_weight", "edge_attr") if name in named}
    if "batch" in named:
        values["batch"] = data.batch if "batch" in data else x.new_zeros(x.size(0)).long()
    return model(x, data.edge_index, **values)


def without_edges_call(model: nn.Module, x: Tensor, data: Any) -> Tensor:
    """``model(x)``."""
    return model(x)


def basic(cls: type, **options: Any) -> Callable[[], nn.Module]:
    """A model of PyG's own of two layers."""
    return lambda: cls(WIDTH, 8, 2, C, dropout=0.4, **options)


PNA = {
    "aggregators": ["mean", "max"],
    "scalers": ["identity"],
    "deg": ARGUMENTS["deg"],
    "edge_dim": 2,
}
LAYERS: dict[str, tuple[type, dict[str, Any]]] = {
    "GCN": (models.GCN, {}),
    "GCN-cached": (models.GCN, {"cached": True}),
    "GCN-batch_norm": (models.GCN, {"norm": "batch_norm"}),
    "GCN-graph_norm": (models.GCN, {"norm": "graph_norm"}),
    "GCN-pair_norm": (models.GCN, {"norm": "pair_norm"}),
    "GCN-layer_norm-cat": (models.GCN, {"norm": "layer_norm", "jk": "cat"}),
    "GCN-instance_norm": (models.GCN, {"norm": "instance_norm"}),
    "GCN-lstm": (models.GCN, {"jk": "lstm"}),
    "GraphSAGE": (models.GraphSAGE, {}),
    "GraphSAGE-project": (models.GraphSAGE, {"aggr": "max", "project": True}),
    "GIN": (models.GIN, {}),
    "GAT": (models.GAT, {"heads": 2, "edge_dim": 2}),
    "GATv2": (models.GAT, {"heads": 2, "v2": True, "edge_dim": 2}),
    "PNA": (models.PNA, PNA),
    "EdgeCNN": (models.EdgeCNN, {}),
}


class OfLayers(nn.Module):
    """A model of PyG's own, called with what it supports."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, data: Data) -> Tensor:
        values: dict[str, Any] = {}
        if self.model.supports_edge_weight:
            values["edge_weight"] = data.edge_weight
        if self.model.supports_edge_attr:
            values["edge_attr"] = data.edge_attr
        if "batch" in data:
            values["batch"] = data.batch
        return self.model(x, data.edge_index, **values)


def model_cases() -> dict[str, Case]:
    """PyG's models of nodes."""
    cases = {}
    for name, (cls, options) in LAYERS.items():

        def build(cls: type = cls, options: dict[str, Any] = options) -> nn.Module:
            return OfLayers(basic(cls, **options)())

        cases[name] = Case(build, with_data)
    others: dict[str, Callable[[], nn.Module]] = {
        "LINKX": lambda: models.LINKX(N, WIDTH, 8, C, 2, dropout=0.3),
        "PMLP": lambda: models.PMLP(WIDTH, 8, C, 2, dropout=0.3),
        "PMLP-no_norm": lambda: models.PMLP(WIDTH, 8, C, 2, norm=False),
        "RECT_L": lambda: models.RECT_L(WIDTH, WIDTH, dropout=0.3),
        "GraphUNet": lambda: models.GraphUNet(WIDTH, 8, C, 2),
        "SGFormer": lambda: models.SGFormer(WIDTH, 8, C),
        "Polynormer": lambda: models.Polynormer(WIDTH, 8, C, local_layers=2, global_layers=1),
        "GAE": lambda: models.GAE(conv.GCNConv(WIDTH, C)),
        "DeepGCN-res+": lambda: Deep("res+"),
        "DeepGCN-dense": lambda: Deep("dense"),
        "GroupAddRev": Reversible,
        "Jumping-max": lambda: Jumping("max"),
        "Jumping-lstm": lambda: Jumping("lstm"),
        "MetaLayer": Meta,
    }
    for name, build in others.items():
        cases[name] = Case(build, plain_call)
    cases["RECT_L"] = Case(lambda: Embeds(models.RECT_L(WIDTH, WIDTH), WIDTH), plain_call)
    cases["MLP"] = Case(lambda: models.MLP([WIDTH, 8, C], dropout=0.4), without_edges_call)
    return cases


# Graph classifiers ------------------------------------------------------------------------------

SIZES = (7, 5, 9, 6)


def make_graphs() -> list[Data]:
    """Graphs of different sizes."""
    generator = torch.Generator().manual_seed(1)
    graphs = []
    for size in SIZES:
        edges = torch.randint(0, size, (2, 2 * size), generator=generator)
        edges = torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)
        graphs.append(Data(x=2 * torch.randn(size, D, generator=generator), edge_index=edges))
    return graphs


class OfGraphs(nn.Module):
    """A convolution, a norm, and a pooling."""

    def __init__(self, normalize: nn.Module | None, pooling: Any) -> None:
        super().__init__()
        self.conv, self.norm, self.pool = conv.GraphConv(WIDTH, WIDTH), normalize, pooling
        x, edges = torch.randn(6, WIDTH), torch.tensor([[0, 1, 2, 4], [1, 2, 0, 5]])
        batch = torch.tensor([0, 0, 0, 1, 1, 1])
        with torch.no_grad():
            width = self.pooled(copy.deepcopy(pooling), x, edges, batch).size(1)
        self.last = nn.Linear(width, C)
        nn.init.normal_(self.last.weight)

    def normalized(self, x: Tensor, batch: Tensor) -> Tensor:
        """The features after the norm."""
        if self.norm is None:
            return x
        named = inspect.signature(self.norm.forward).parameters
        if "type_vec" in named:
            return self.norm(x, (torch.arange(x.size(0)) * 0))
        if "msg" in named:
            return self.norm(x, x.tanh())
        return self.norm(x, batch) if "batch" in named else self.norm(x)

    def pooled(self, pooling: Any, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """One row per graph."""
        size = int(batch.max()) + 1
        if isinstance(pooling, aggr.Aggregation):
            out = pooling(x, batch, dim_size=size)
            return out.flatten(1)
        if isinstance(pooling, nn.Module):
            if isinstance(pooling, pool.MemPooling):
                return pooling(x, batch)[0].flatten(1)
            if isinstance(pooling, PANPooling):
                matrix = SparseTensor.from_edge_index(edge_index, sparse_sizes=(x.size(0),) * 2)
                matrix = matrix.fill_value(1.0)
                out = pooling(x, matrix, batch)
                x, batch = out[0], out[3]
            elif isinstance(pooling, EdgePooling | ClusterPooling):
                x, _, batch, _ = pooling(x, edge_index, batch)
            else:
                out = pooling(x, edge_index, batch=batch)
                x, batch = out[0], out[3]
            return pyg.global_mean_pool(x, batch, size)
        return pooling(x, batch, size)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.normalized(self.conv(x, edge_index).tanh(), batch)
        return self.last(self.pooled(self.pool, x, edge_index, batch))


NORMS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm": lambda: norm.BatchNorm(WIDTH),
    "BatchNorm-no_statistics": lambda: norm.BatchNorm(WIDTH, track_running_stats=False),
    "HeteroBatchNorm": lambda: norm.HeteroBatchNorm(WIDTH, 1),
    "InstanceNorm": lambda: norm.InstanceNorm(WIDTH),
    "InstanceNorm-statistics": lambda: norm.InstanceNorm(WIDTH, track_running_stats=True),
    "LayerNorm-graph": lambda: norm.LayerNorm(WIDTH, mode="graph"),
    "LayerNorm-node": lambda: norm.LayerNorm(WIDTH, mode="node"),
    "HeteroLayerNorm": lambda: norm.HeteroLayerNorm(WIDTH, 1),
    "GraphNorm": lambda: norm.GraphNorm(WIDTH),
    "GraphSizeNorm": norm.GraphSizeNorm,
    "PairNorm": norm.PairNorm,
    "MeanSubtractionNorm": norm.MeanSubtractionNorm,
    "MessageNorm": lambda: norm.MessageNorm(True),
    "DiffGroupNorm": lambda: norm.DiffGroupNorm(WIDTH, groups=2),
}

POOLINGS: dict[str, Callable[[], Any]] = {
    "global_add_pool": lambda: pyg.global_add_pool,
    "global_mean_pool": lambda: pyg.global_mean_pool,
    "global_max_pool": lambda: pyg.global_max_pool,
    "TopKPooling": lambda: pool.TopKPooling(WIDTH, 0.5),
    "TopKPooling-min_score": lambda: pool.TopKPooling(WIDTH, min_score=0.1),
    "SAGPooling": lambda: pool.SAGPooling(WIDTH, 0.5),
    "EdgePooling": lambda: EdgePooling(WIDTH),
    "ClusterPooling": lambda: ClusterPooling(WIDTH),
    "ASAPooling": lambda: pool.ASAPooling(WIDTH, 0.5, dropout=0.3),
    "PANPooling": lambda: PANPooling(WIDTH, 0.5),
    "MemPooling": lambda: pool.MemPooling(WIDTH, 4, heads=2, num_clusters=2),
    "MultiAggregation": lambda: aggr.MultiAggregation(["mean", "std", "max"]),
    "SumAggregation": aggr.SumAggregation,
    "MeanAggregation": aggr.MeanAggregation,
    "MaxAggregation": aggr.MaxAggregation,
    "MinAggregation": aggr.MinAggregation,
    "MulAggregation": aggr.MulAggregation,
    "VarAggregation": aggr.VarAggregation,
    "StdAggregation": aggr.StdAggregation,
    "SoftmaxAggregation": lambda: aggr.SoftmaxAggregation(learn=True),
    "SoftmaxAggregation-semi_grad": lambda: aggr.SoftmaxAggregation(t=2.0, semi_grad=True),
    "PowerMeanAggregation": lambda: aggr.PowerMeanAggregation(p=2.0),
    "MedianAggregation": aggr.MedianAggregation,
    "QuantileAggregation": lambda: aggr.QuantileAggregation([0.2, 0.7]),
    "LSTMAggregation": lambda: aggr.LSTMAggregation(WIDTH, 5),
    "GRUAggregation": lambda: aggr.GRUAggregation(WIDTH, 5),
    "Set2Set": lambda: aggr.Set2Set(WIDTH, 3),
    "DegreeScalerAggregation": lambda: aggr.DegreeScalerAggregation(
        "mean", "amplification", ARGUMENTS["deg"]
    ),
    "SortAggregation": lambda: aggr.SortAggregation(3),
    "GraphMultisetTransformer": lambda: aggr.GraphMultisetTransformer(WIDTH, 2, heads=2),
    "AttentionalAggregation": lambda: aggr.AttentionalAggregation(nn.Linear(WIDTH, 1)),
    "EquilibriumAggregation": lambda: aggr.EquilibriumAggregation(WIDTH, 4, [8]),
    "MLPAggregation": lambda: aggr.MLPAggregation(WIDTH, 4, 9, num_layers=1),
    "DeepSetsAggregation": lambda: aggr.DeepSetsAggregation(mlp(WIDTH, 4), mlp(4, 4)),
    "SetTransformerAggregation": lambda: aggr.SetTransformerAggregation(WIDTH, heads=2),
    "LCMAggregation": lambda: aggr.LCMAggregation(WIDTH, WIDTH, project=False),
    "VariancePreservingAggregation": aggr.VariancePreservingAggregation,
    "PatchTransformerAggregation": lambda: aggr.PatchTransformerAggregation(
        WIDTH, 4, 2, 4, heads=2
    ),
}


class WithoutBatch(nn.Module):
    """A graph classifier whose norm is not told where a graph ends."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv.GraphConv(WIDTH, WIDTH), norm.GraphNorm(WIDTH)
        self.last = nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.norm(self.conv(x, edge_index).tanh())
        return self.last(pyg.global_max_pool(x, batch, int(batch.max()) + 1))


class Padded(nn.Module):
    """A graph classifier that is told by the padding how large its companions are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        dense, _ = to_dense_batch(self.first(x).tanh(), batch)
        return self.last(dense.mean(1).tanh())


def graph_cases() -> dict[str, Case]:
    """Graph classifiers: each norm with one pooling, and each pooling without a norm."""

    def case(normalize: Any, pooling: Callable[[], Any]) -> Case:
        return Case(
            lambda: OfGraphs(None if normalize is None else normalize(), pooling()), graph_call
        )

    cases = {name: case(make, POOLINGS["global_max_pool"]) for name, make in NORMS.items()}
    cases |= {name: case(None, make) for name, make in POOLINGS.items()}
    cases["NeuralFingerprint"] = Case(
        lambda: models.NeuralFingerprint(WIDTH, 8, C, 2, bias=False), graph_call
    )
    cases["WithoutBatch"] = Case(WithoutBatch, graph_call)
    cases["Padded"] = Case(Padded, graph_call)
    return cases


def graph_call(model: nn.Module, x: Tensor, data: Any) -> Tensor:
    """``model(x, edge_index, batch)``."""
    return model(x, data.edge_index, data.batch)
