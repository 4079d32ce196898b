r"""What a model may see of a graph besides the noisy features: its structure, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.transforms.noise_mark import NOISE_MARK

STRUCTURE = frozenset(
    {
        *("edge_index", "adj_t", "adj", "edge_weight", "edge_attr", "edge_type", "node_type"),
        *("batch", "ptr", "num_nodes"),
    }
)
r"""Attributes of a graph that do not depend on node features."""

Graph = TypeVar("Graph", Data, HeteroData)


def check_keep(keep: Collection[str]) -> tuple[str, ...]:
    r"""Names of attributes as a tuple.

    Raises:
        TypeError: If they are not names.
        ValueError: If the features themselves are among them.
    """
    if isinstance(keep, str) or not all(isinstance(name, str) for name in keep):
        raise TypeError(f"'keep' must be a tuple of names of attributes (got {keep!r})")
    if "x" in keep:
        raise ValueError("'keep' names what does not depend on the features (got 'x' itself)")
    return tuple(keep)


def structure_of(graph: Graph, keep: Collection[str], noised: str | None = None) -> Graph:
    r"""A copy of a graph with its structure alone, in new tensors.

    Args:
        graph (Data or HeteroData): The graph.
        keep (tuple of str): More attributes that do not depend on the features.
        noised (str, optional): The node type whose features are noisy; those of the others stay.

    Raises:
        ValueError: If the graph lacks one that is to be kept.
    """
    present = {name for store in graph.stores for name in store.keys()}  # noqa: SIM118
    if absent := sorted(set(keep) - present):
        raise ValueError(
            f"'keep' must name attributes of the graph (got '{absent[0]}', which it lacks)"
        )
    graph = copy.copy(graph)
    allowed = STRUCTURE.union(keep)
    for store in graph.stores:
        features = {"x"} if noised is not None and store._key != noised else set()
        num_nodes = store.num_nodes if "x" in store else None
        for name in set(store.keys()) - allowed - features:
            del store[name]
        if num_nodes is not None and "x" not in store:
            store.num_nodes = num_nodes
    return graph.clone()


def graph_in_dtype(graph: Graph, dtype: torch.dtype) -> Graph:
    r"""A copy of a graph whose floats are of another precision."""

    def cast(value: Any) -> Any:
        floating = value.is_floating_point() if hasattr(value, "is_floating_point") else False
        return value.to(dtype) if floating else value

    return copy.copy(graph).apply(cast)


def left_out(graph: Data | HeteroData, structure: Data | HeteroData) -> list[str]:
    r"""Names of the attributes that a graph has and its structure lacks, besides ``x``."""
    pairs = zip(graph.stores, structure.stores, strict=True)
    names = {name for full, part in pairs for name in set(full.keys()) - set(part.keys())}
    return sorted(names - {"x", NOISE_MARK})


def graph_tensors(attributes: dict[str, Any]) -> list[Tensor]:
    r"""All tensors among the attributes of a graph, sorted by their names."""
    found: list[Tensor] = []
    for _, value in sorted(attributes.items(), key=lambda item: str(item[0])):
        if isinstance(value, dict):
            found.extend(graph_tensors(value))
        elif isinstance(value, Tensor):
            found.append(value.as_subclass(Tensor) if value.layout == torch.strided else value)
        elif hasattr(value, "coo"):
            found.extend(part for part in value.coo() if part is not None)
    return found
