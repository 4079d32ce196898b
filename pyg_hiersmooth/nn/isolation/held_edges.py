r"""Finds clean edges in what a model, or a function that calls it, holds: they would get around
noise on edges.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.problems import refuse
from pyg_hiersmooth.transforms.edge_forms import edge_ends

MOST_SHARED = 0.5
r"""Share of the clean edges, and of all that is held beside them, from which on edges count as the
clean ones: a part of them, or more than them, gets around the noise as well."""

MOST_SETTINGS = 2
r"""Most whole numbers in a row that are settings, such as the widths of a convolution."""


def check_no_edges(prepared: IsolatedModel, graph: Data | HeteroData) -> None:
    r"""Checks that neither a model nor a function that calls it holds edges of a graph: as pairs of
    nodes in any order and direction, in one tensor or two, or as an adjacency matrix.

    Args:
        prepared (IsolatedModel): The model.
        graph (Data): The clean graph.

    Raises:
        ImpureModelError: If one does.
    """
    for store in graph.edge_stores:
        num_nodes = [int(each or 0) for each in store.size()]
        largest = max(num_nodes)
        known = [_numbers(torch.stack(ends), largest) for ends in edge_ends(store).values()]
        for path, pairs in _held_pairs(prepared, num_nodes):
            held = [_numbers(pairs, largest), _numbers(pairs.flip(0), largest)]
            if any(_are_clean(each, own) for own in known for each in held):
                refuse(
                    f"'{path}' holds the clean edges, which would get around the noise: use those "
                    "that the model is called with"
                )


def _held_pairs(prepared: IsolatedModel, num_nodes: list[int]) -> Iterator[tuple[str, Tensor]]:
    r"""What may be edges, int64 ``[2, E]``, by name."""
    before: Tensor | None = None
    for path, value in prepared.held():
        value = value.detach()
        pairs = _as_pairs(value, num_nodes)
        if value.dim() == 1 and len(value) > MOST_SETTINGS and _is_whole(value):
            if before is not None and len(before) == len(value):  # the ends of a sparse matrix, say
                pairs = torch.stack([before, value])
            before = value
        if pairs is not None:
            yield path, pairs.long()


def _are_clean(held: Tensor, clean: Tensor) -> bool:
    r"""Whether pairs, by their numbers, are mostly the clean edges, and hold most of them."""
    shared = int(torch.isin(clean, held, assume_unique=True).sum())
    return shared > 0 and shared >= MOST_SHARED * max(len(clean), len(held))


def _as_pairs(value: Tensor, num_nodes: list[int]) -> Tensor | None:
    if list(value.shape) in (num_nodes, num_nodes[::-1]):
        is_sparse = value.layout != torch.strided
        return value.to_sparse_coo().coalesce().indices() if is_sparse else value.nonzero().t()
    if value.dim() != 2 or not _is_whole(value):
        return None
    pairs = value if value.size(0) == 2 else value.t()
    return pairs if pairs.size(0) == 2 else None


def _is_whole(value: Tensor) -> bool:
    return value.layout == torch.strided and not (value.is_floating_point() or value.is_complex())


def _numbers(pairs: Tensor, num_nodes: int) -> Tensor:
    r"""A number for each pair of two nodes, in order, once."""
    source, target = pairs
    return (source * num_nodes + target)[source != target].unique()
