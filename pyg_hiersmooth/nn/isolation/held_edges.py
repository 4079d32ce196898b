r"""Finds clean edges in what a model, or a function that calls it, holds: they would get around
noise on edges.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.problems import refuse
from pyg_hiersmooth.transforms.edge_forms import edge_ends


def check_no_edges(prepared: IsolatedModel, graph: Data | HeteroData) -> None:
    r"""Checks that neither a model nor a function that calls it holds all edges of a graph: as
    pairs of nodes in any order and direction, or as an adjacency matrix.

    Args:
        prepared (IsolatedModel): The model.
        graph (Data): The clean graph.

    Raises:
        ImpureModelError: If one does.
    """
    held = list(prepared.held())
    for store in graph.edge_stores:
        num_nodes = [int(each or 0) for each in store.size()]
        largest = max(num_nodes)
        known = [_numbers(torch.stack(ends), largest) for ends in edge_ends(store).values()]
        for path, value in held:
            pairs = _as_pairs(value.detach(), num_nodes)
            if pairs is None:
                continue
            both = [_numbers(pairs, largest), _numbers(pairs.flip(0), largest)]
            if any(len(own) > 0 and torch.equal(own, each) for own in known for each in both):
                refuse(
                    f"'{path}' holds the clean edges, which would get around the noise: use those "
                    "that the model is called with"
                )


def _as_pairs(value: Tensor, num_nodes: list[int]) -> Tensor | None:
    r"""What may be edges, int64 ``[2, E]``."""
    if list(value.shape) in (num_nodes, num_nodes[::-1]):
        is_sparse = value.layout != torch.strided
        return value.to_sparse_coo().coalesce().indices() if is_sparse else value.nonzero().t()
    if value.layout != torch.strided or value.is_floating_point() or value.dim() != 2:
        return None
    pairs = value if value.size(0) == 2 else value.t()
    return pairs.long() if pairs.size(0) == 2 else None


def _numbers(pairs: Tensor, num_nodes: int) -> Tensor:
    r"""A number for each pair of two nodes, in order, once."""
    source, target = pairs.long()
    return (source * num_nodes + target)[source != target].unique()
