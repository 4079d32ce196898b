r"""Graph neural networks to be smoothed, for nodes and for graphs."""

from pyg_hiersmooth.models.graph import GraphGCN, GraphGIN
from pyg_hiersmooth.models.node import APPNP, GAT, GCN, GATv2, GraphSAGE
from pyg_hiersmooth.models.registry import MODELS, build_model

__all__ = [
    "APPNP",
    "GAT",
    "GCN",
    "MODELS",
    "GATv2",
    "GraphGCN",
    "GraphGIN",
    "GraphSAGE",
    "build_model",
]
