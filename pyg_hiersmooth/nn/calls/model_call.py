r"""How a PyG model is called: the one place for training and for certification."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

ModelCall = Callable[[torch.nn.Module, Tensor, Any], Any]
r"""Calls a model on features ``[N, D]`` and a graph without features, and returns logits."""

OPTIONAL_ARGUMENTS = ("edge_weight", "edge_attr", "batch", "batch_size")


def call_model(model: torch.nn.Module, x: Tensor, data: Data) -> Any:
    r"""Calls ``model(x, edge_index, ...)`` as PyG models are called.

    ``adj_t`` takes the place of ``edge_index`` where the graph has one; ``edge_weight``,
    ``edge_attr`` and ``batch`` are passed on where the graph has them and the model's ``forward``
    names them. A wrapper that takes ``*args`` or ``**kwargs`` is asked through the one model
    inside that does.

    Raises:
        ValueError: If the graph has no sparse adjacency, or holds what a wrapper may or may not
            take.
    """
    positional, named = extra_arguments(model, data)
    return model(x, adjacency(data), *positional, **named)


def extra_arguments(model: torch.nn.Module, data: Data) -> tuple[list[Any], dict[str, Any]]:
    r"""What a model is called with besides features and edges, by position and by name.

    Raises:
        ValueError: As :func:`call_model`.
    """
    given = {name: data[name] for name in OPTIONAL_ARGUMENTS if name in data}
    own = _parameters(model)
    named = {name: value for name, value in given.items() if name in own}
    positional: list[Any] = []
    hidden = [name for name in given if name not in own]
    if hidden and own.keys() & {"*", "**"}:
        inner = _innermost(model)
        taken = [name for name in hidden if inner is not None and name in inner]
        if inner is None or ("**" not in own and not _fill(inner, taken, given, positional)):
            raise ValueError(
                f"'{type(model).__name__}.forward' does not say whether the model takes "
                f"'{hidden[0]}', which the graph has: pass forward=lambda model, x, data: "
                f"model(x, data.edge_index, data.{hidden[0]}), or a graph without it"
            )
        if "**" in own:
            named |= {name: given[name] for name in taken}
    return positional, named


def adjacency(store: Any) -> Any:
    r"""``adj_t`` or ``edge_index`` of a graph, or of one edge type.

    Raises:
        ValueError: If there is neither, or it is dense.
    """
    takes = "the graph must have 'edge_index' [2, num_edges] or a sparse 'adj_t'"
    for name in ("adj_t", "edge_index"):
        if name not in store:
            continue
        value = store[name]
        if isinstance(value, Tensor) and value.layout == torch.strided:
            is_index = not value.is_floating_point() and value.dim() == 2 and value.size(0) == 2
            if name == "adj_t" or not is_index:
                raise ValueError(f"{takes} (got a dense '{name}' of shape {list(value.shape)})")
        return value
    raise ValueError(f"{takes} (got {'a dense adj' if 'adj' in store else 'neither'})")


def _parameters(model: torch.nn.Module) -> dict[str, Any]:
    r"""Defaults of what ``forward`` takes by name, and ``*`` and ``**`` where it takes anything."""
    schema = getattr(model.forward, "schema", None)  # of a scripted model
    if schema is not None:
        return {argument.name: argument.default_value for argument in schema.arguments[1:]}
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return {"*": None}
    kinds = inspect.Parameter
    any_of: dict[Any, str] = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}
    return {any_of.get(each.kind, each.name): each.default for each in parameters}


def _innermost(model: torch.nn.Module) -> dict[str, Any] | None:
    r"""The parameters of the one model that a wrapper hands its arguments to, if there is one."""
    while (own := _parameters(model)).keys() & {"*", "**"}:
        inside = [child for child in model.children() if _takes_a_graph(child)]
        if len(inside) != 1:
            return None
        model = inside[0]
    return own


def _takes_a_graph(model: torch.nn.Module) -> bool:
    parameters = _parameters(model)
    return len(parameters) >= 2 or "*" in parameters


def _fill(
    inner: dict[str, Any], taken: list[str], given: dict[str, Any], positional: list[Any]
) -> bool:
    r"""Lists what follows features and edges up to the last argument taken, if defaults allow."""
    names = list(inner)[2:]
    for name in names[: max((names.index(name) + 1 for name in taken if name in names), default=0)]:
        if name not in taken and inner[name] is inspect.Parameter.empty:
            return False
        positional.append(given[name] if name in taken else inner[name])
    return all(name in names for name in taken)
