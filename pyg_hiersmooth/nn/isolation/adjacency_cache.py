r"""What PyG's convolutions make of a graph, kept by the identity of its edges."""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import SparseTensor

ADJACENCY_CACHES = {"_cached_edge_index", "_cached_adj_t"}
r"""What PyG's convolutions keep under ``cached=True`` that depends on the graph alone."""

FEATURE_CACHES = {"_cached_x", "_cached_h"}
r"""What they keep of propagated features."""

PLAIN = (bool, int, float, str)
r"""What settings of a convolution are."""


def caches(module: torch.nn.Module) -> list[str]:
    r"""Names of what a convolution of PyG keeps under ``cached=True``; none of other modules,
    whatever their attributes are called.
    """
    if not any(map(_is_of_pyg, type(module).__mro__)) or not hasattr(module, "cached"):
        return []
    return [name for name in vars(module) if name in ADJACENCY_CACHES | FEATURE_CACHES]


def can_cache(model: torch.nn.Module) -> bool:
    r"""Whether a convolution of PyG in the model could cache its adjacency."""
    return any(True for _ in _adjacency_caching(model))


def has_kept(model: torch.nn.Module) -> bool:
    r"""Whether a convolution has kept an adjacency in the calls so far."""
    forwards = (vars(module).get("forward") for module in model.modules())
    return any(isinstance(each, _GuardedForward) and each._kept for each in forwards)


def keep_adjacencies(model: torch.nn.Module, is_own: Callable[[Any], bool]) -> None:
    r"""Lets all convolutions of PyG in the model keep the normalized adjacency of the graph's own
    edges, and of no others.

    A convolution caches only during a call that is given the very objects that hold the graph's
    edges (and weights). A model that makes edges of its own, such as one that prunes them by their
    features, is computed as it stands.

    Args:
        model (torch.nn.Module): A model that no one else calls, whose convolutions cache nothing.
        is_own (Callable): Whether an object is one that holds the graph's edges or weights.
    """
    for module in _adjacency_caching(model):
        module.forward = _GuardedForward(module, is_own)


def _adjacency_caching(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    for module in model.modules():
        names = caches(module)
        is_as_written = _is_of_pyg(type(module).forward) and isinstance(
            vars(module).get("forward"), _GuardedForward | types.NoneType
        )
        if names and ADJACENCY_CACHES.issuperset(names) and is_as_written:
            yield module


def _is_of_pyg(part: Any) -> bool:
    module = part.__module__ or ""  # generated code has none
    return module.startswith("torch_geometric.nn.conv.") and part is not MessagePassing


class _GuardedForward:
    r"""The ``forward`` of a convolution, which caches for the time of a call on own edges."""

    def __init__(self, module: torch.nn.Module, is_own: Callable[[Any], bool]) -> None:
        self.module, self.is_own = module, is_own
        self.__signature__ = inspect.signature(module.forward)
        self._kept: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._held: list[Any] = []  # so that no other object takes the address of one

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, forward = self.module, type(self.module).forward
        key = self._key({**dict(zip(self.__signature__.parameters, args, strict=False)), **kwargs})
        if key is None:
            return forward(module, *args, **kwargs)
        names = caches(module)
        module.cached = True  # type: ignore[assignment]
        for name, value in self._kept.get(key, {}).items():
            setattr(module, name, value)
        try:
            return forward(module, *args, **kwargs)
        finally:
            self._kept[key] = {name: getattr(module, name) for name in names}
            module.cached = False  # type: ignore[assignment]
            for name in names:
                setattr(module, name, None)

    def _key(self, given: dict[str, Any]) -> tuple[Any, ...] | None:
        r"""What the adjacency depends on; :obj:`None` where the edges are not the graph's own."""
        edges, weight, x = given.get("edge_index"), given.get("edge_weight"), given.get("x")
        if not isinstance(x, Tensor) or edges is None:
            return None
        parts = [edges, weight, edges.storage.value() if isinstance(edges, SparseTensor) else None]
        of_graph = itertools.chain(*map(_identity, parts))
        key = (*of_graph, *_settings(self.module), tuple(x.shape[:-1]), x.dtype)
        if key not in self._kept:
            if not self.is_own(edges) or not (weight is None or self.is_own(weight)):
                return None
            self._held += parts
        return key

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": {}, "_held": []}


def _settings(module: torch.nn.Module) -> tuple[Any, ...]:
    r"""Numbers and words that a module holds, such as whether it adds self-loops."""
    plain = {name: each for name, each in vars(module).items() if isinstance(each, PLAIN)}
    return tuple(each for name, each in plain.items() if name != "cached")


def _identity(value: Any) -> tuple[int, int]:
    r"""Which object it is, and how often it was written to."""
    return id(value), value._version if isinstance(value, Tensor) else 0
