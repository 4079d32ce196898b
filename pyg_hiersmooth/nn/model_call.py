r"""How a model is called on a graph, and what is asked of its answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

Forward = Callable[[torch.nn.Module, Tensor, Data], Tensor]
r"""Calls a model on features ``[N, D]`` and a graph, and returns logits."""

OPTIONAL_ARGUMENTS = ("edge_weight", "edge_attr", "batch", "batch_size")


def call_model(model: torch.nn.Module, x: Tensor, data: Data) -> Tensor:
    r"""Calls ``model(x, edge_index, ...)`` as PyG models are called.

    ``adj_t`` takes the place of ``edge_index`` where the graph has one; ``edge_weight``,
    ``edge_attr`` and ``batch`` are passed on where the graph has them and the model's ``forward``
    names them.
    """
    adjacency = data.adj_t if "adj_t" in data else data.edge_index
    named = inspect.signature(model.forward).parameters
    optional = {
        name: data[name] for name in OPTIONAL_ARGUMENTS if name in named and name in data
    }
    return model(x, adjacency, **optional)


def check_logits(logits: Any, num_rows: int, num_classes: int, what: str) -> Tensor:
    r"""Checks that a model returned finite logits of the expected shape.

    Raises:
        ValueError: If it did not.
    """
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (num_rows, num_classes):
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the model must return logits of shape [{what}, num_classes] = "
            f"[{num_rows}, {num_classes}] (got {got})"
        )
    return logits
