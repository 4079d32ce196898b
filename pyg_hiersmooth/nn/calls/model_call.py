r"""How a PyG model is called: the one place for training and for certification."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.models.basic_gnn import BasicGNN

from pyg_hiersmooth.nn.calls.structure import STRUCTURE
from pyg_hiersmooth.transforms.noise_mark import NOISE_MARK

ModelCall = Callable[[torch.nn.Module, Tensor, Any], Any]
r"""Calls a model on features ``[N, D]`` and a graph without features, and returns logits."""

EDGES = ("edge_index", "adj_t", "adj")
r"""What stands in the second place."""

UNSAID = ("num_nodes", "ptr")
r"""What a wrapper that does not name them is not asked about."""


def call_model(model: torch.nn.Module, x: Tensor, data: Data) -> Any:
    r"""Calls ``model(x, edge_index, ...)`` as PyG models are called.

    ``adj_t`` takes the place of ``edge_index`` where the graph has one; what else the graph has is
    passed on where the model's ``forward`` names it. A wrapper that takes ``*args`` or
    ``**kwargs`` is asked through the one model inside that does.

    Args:
        model (torch.nn.Module): The model.
        x (torch.Tensor): Noisy features.
        data (Data): The graph's structure, and what the user keeps of it.

    Raises:
        ValueError: If the graph has no sparse adjacency, or the model cannot be called so.
    """
    positional, named = extra_arguments(model, data)
    return model(x, adjacency(data), *positional, **named)


def check_call(
    model: torch.nn.Module, graph: Data, keep: Collection[str] = (), forward: Any = None
) -> None:
    r"""Checks that a model can be called on a graph of the user's, and that nothing which its
    ``forward`` names is withheld from it without a word.

    Args:
        model (torch.nn.Module): The model.
        graph (Data): The graph, whole.
        keep (tuple of str): Attributes besides the structure that the model gets.
        forward (Callable, optional): The user's own call, of which nothing is known.

    Raises:
        ValueError: If not, with what to do.
    """
    if forward is not None:
        return
    allowed = STRUCTURE.union(keep)
    structure = {name: graph[name] for name in allowed if name in graph}
    extra_arguments(model, structure)
    adjacency(graph)
    taken = names_taken(model)
    withheld = set(graph.keys()) - allowed - {"x", NOISE_MARK, "batch_size"}
    for name in sorted(withheld & taken.keys()):
        raise ValueError(
            f"'{_name(model)}.forward' takes '{name}', which the graph has, but which may depend "
            f"on the features: pass keep=('{name}',) if it does not, or "
            "forward=lambda model, x, data: model(x, data.edge_index) to leave it out"
        )


def extra_arguments(model: torch.nn.Module, data: Any) -> tuple[list[Any], dict[str, Any]]:
    r"""What a model is called with besides features and edges, by position and by name.

    Raises:
        ValueError: As :func:`call_model`.
    """
    given = {name: data[name] for name in data.keys() if name not in (*EDGES, "x")}  # noqa: SIM118
    own = _parameters(model)
    _check_places(model, own)
    named = {name: value for name, value in given.items() if name in own}
    positional: list[Any] = []
    hidden = [name for name in given if name not in (*own, *UNSAID)]
    taken = set(named)
    if hidden and own.keys() & {"*", "**"}:
        inner = _innermost(model)
        through = [name for name in hidden if inner is not None and name in inner]
        if inner is None or ("**" not in own and not _fill(inner, through, given, positional)):
            raise ValueError(
                f"'{_name(model)}.forward' does not say whether the model takes '{hidden[0]}', "
                f"which the graph has: pass {_remedy(f'x, data.edge_index, data.{hidden[0]}')}, "
                "or a graph without it"
            )
        taken.update(through)
        if "**" in own:
            named |= {name: given[name] for name in through}
    _check_given(model, own, given)
    _check_weights(model, given, taken)
    return positional, named


def names_taken(model: torch.nn.Module) -> dict[str, Any]:
    r"""What a model takes besides features and edges, with defaults; through a wrapper, what the
    one model inside takes.
    """
    own = _parameters(model)
    if own.keys() & {"*", "**"}:
        own = {**own, **(_innermost(model) or {})}
    return {name: own[name] for name in list(own)[2:] if name not in ("*", "**")}


def _check_places(model: torch.nn.Module, own: dict[str, Any]) -> None:
    r"""Checks that features come first, and edges second."""
    if "*" in own:
        return
    places = _places(model)
    if places is None:
        return
    names = [name for name in own if name != "**"]
    takes = (
        f"'{_name(model)}.forward' takes ({', '.join(names)}), but a model is called as "
        "model(x, edge_index, ...): pass "
    )
    if len(places) < 2:
        if not places and {"x", "edge_index"} <= set(names):
            raise ValueError(takes + _remedy("x=x, edge_index=data.edge_index"))
        if len(names) == 1 and names[0] in ("x", "h", "input", "inputs", "features"):
            raise ValueError(takes + _remedy("x"))
        raise ValueError(takes + _remedy("data.update({'x': x})"))
    if places[0] in EDGES or places[1] == "x":
        raise ValueError(takes + _remedy("data.edge_index, x"))


def _check_given(model: torch.nn.Module, own: dict[str, Any], given: dict[str, Any]) -> None:
    if "*" in own:
        return
    for name in list(own)[2:]:
        if name != "**" and own[name] is inspect.Parameter.empty and name not in given:
            raise ValueError(
                f"'{_name(model)}.forward' needs '{name}', which is not part of the graph's "
                f"structure: give the graph one and pass keep=('{name}',) if it does not depend "
                f"on the features, or {_remedy(f'x, data.edge_index, {name}=...')}"
            )


def _check_weights(model: torch.nn.Module, given: dict[str, Any], taken: set[str]) -> None:
    r"""Checks that weights of edges are not lost under the other of their two names."""
    names = names_taken(model)
    for has, wants in (("edge_attr", "edge_weight"), ("edge_weight", "edge_attr")):
        value = given.get(has)
        if not isinstance(value, Tensor) or has in taken or wants in given or wants not in names:
            continue
        if value.is_floating_point() and value.numel() == value.size(0):
            raise ValueError(
                f"'{_name(model)}.forward' takes '{wants}', but the graph has one number per edge "
                f"as '{has}': rename it to '{wants}', delete it, or pass "
                f"{_remedy(f'x, data.edge_index, {wants}=data.{has}')}"
            )


def _remedy(arguments: str) -> str:
    return f"forward=lambda model, x, data: model({arguments})"


def _name(model: torch.nn.Module) -> str:
    return type(model).__name__


def adjacency(store: Any) -> Any:
    r"""``adj_t`` or ``edge_index`` of a graph, or of one edge type.

    Raises:
        ValueError: If there is neither, or ``adj_t`` is dense.
    """
    takes = "the graph must have 'edge_index' [2, num_edges] or a sparse 'adj_t'"
    for name in ("adj_t", "edge_index"):
        if name not in store:
            continue
        value = store[name]
        if name == "adj_t" and isinstance(value, Tensor) and value.layout == torch.strided:
            raise ValueError(f"{takes} (got a dense 'adj_t' of shape {list(value.shape)})")
        return value
    raise ValueError(f"{takes} (got {'a dense adj' if 'adj' in store else 'neither'})")


def _parameters(model: torch.nn.Module) -> dict[str, Any]:
    r"""Defaults of what ``forward`` takes by name, and ``*`` and ``**`` where it takes anything."""
    schema = getattr(model.forward, "schema", None)  # of a scripted model
    if schema is not None:
        return {argument.name: _default(argument) for argument in schema.arguments[1:]}
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return {"*": None}
    kinds = inspect.Parameter
    any_of: dict[Any, str] = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}
    own = {any_of.get(each.kind, each.name): each.default for each in parameters}
    if isinstance(model, BasicGNN):  # names what only some of its kinds use
        for name in ("edge_weight", "edge_attr"):
            if not getattr(model, f"supports_{name}"):
                own.pop(name, None)
    return own


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else inspect.Parameter.empty


def _places(model: torch.nn.Module) -> list[str] | None:
    r"""What ``forward`` takes by position; :obj:`None` where that cannot be told."""
    schema = getattr(model.forward, "schema", None)
    if schema is not None:
        return [argument.name for argument in schema.arguments[1:]]
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = inspect.Parameter
    by_place = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.kind in by_place]


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
