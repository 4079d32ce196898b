r"""A copy of a model that belongs to the engine: in evaluation mode, and with nothing cached."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import SparseTensor

from pyg_hiersmooth.nn.isolation.model_state import leaves
from pyg_hiersmooth.nn.isolation.scripted import stop_scripted_caching

ADJACENCY_CACHES = {"_cached_edge_index", "_cached_adj_t"}
r"""What PyG's convolutions keep under ``cached=True`` that depends on the graph alone."""


def private_copy(model: torch.nn.Module) -> torch.nn.Module:
    r"""Copies a model, puts it in evaluation mode, and empties the caches of PyG's convolutions.

    Convolutions that keep propagated *features* (:class:`~torch_geometric.nn.conv.SGConv`,
    :class:`~torch_geometric.nn.conv.SSGConv`), and all scripted ones, cache nothing from here on.

    Raises:
        ValueError: If the model cannot be copied.
    """
    # Tensors in the middle of a graph of gradients cannot be copied, and need not.
    memo = {
        id(value): value.detach().clone()
        for _, value in leaves(model=model)
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        copied = deep_copy(model, memo | _without_caches(model))
    except Exception as error:
        raise ValueError(
            "'model' must be one that copy.deepcopy can copy, since votes come from a private copy "
            f"(got {type(model).__name__}: {error})"
        ) from error
    shared = tensor_addresses(model) & tensor_addresses(copied)
    if copied is model or shared:
        raise ValueError(
            f"'model' must be one that copy.deepcopy copies whole (got {type(model).__name__}, "
            "whose copy shares its tensors)"
        )
    copied.eval()
    for module in copied.modules():
        empty_caches(module)
        stop_scripted_caching(module)
        if holds_features(module):
            module.cached = False  # type: ignore[assignment]
    return copied


def same_weights(model: torch.nn.Module) -> torch.nn.Module:
    r"""A copy that shares parameters and buffers with the model, but no cache."""
    tensors: dict[int, Any] = {
        id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())
    }
    copied = deep_copy(model, tensors | _without_caches(model))
    for module in copied.modules():
        empty_caches(module)
    return copied


def deep_copy(model: torch.nn.Module, memo: dict[int, Any] | None = None) -> torch.nn.Module:
    r"""As :func:`copy.deepcopy`, whatever seed Python's generator has.

    Each copy of a :class:`torch_geometric.nn.Sequential` gets its ``forward`` from a module whose
    name it draws, and the one that is there already if it draws a name for the second time.
    """
    drawn = random.getstate()
    random.seed()
    try:
        return copy.deepcopy(model, memo)
    finally:
        random.setstate(drawn)


def _without_caches(model: torch.nn.Module) -> dict[int, Any]:
    r"""Lets :func:`copy.deepcopy` put nothing in place of caches: CSR matrices have no copies."""
    registered = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    kept = [vars(module)[name] for module in model.modules() for name in caches(module)]
    kept = [value for value in kept if isinstance(value, Tensor | tuple | SparseTensor)]
    return {id(value): None for value in kept if id(value) not in registered}


def caches(module: torch.nn.Module) -> list[str]:
    r"""Names of what a PyG convolution keeps under ``cached=True``."""
    return [name for name in vars(module) if name.startswith("_cached_")]


def empty_caches(module: torch.nn.Module) -> None:
    r"""Empties what a PyG convolution keeps under ``cached=True``."""
    for name in caches(module):
        setattr(module, name, None)


def holds_features(module: torch.nn.Module) -> bool:
    r"""Whether a PyG convolution caches more than the adjacency."""
    return not ADJACENCY_CACHES.issuperset(caches(module))


def is_caching(model: torch.nn.Module) -> bool:
    r"""Whether a convolution in the model caches its adjacency."""
    return any(getattr(m, "cached", False) is True and caches(m) for m in model.modules())


def can_cache(model: torch.nn.Module) -> bool:
    r"""Whether a convolution of PyG in the model could cache its adjacency."""
    return any(True for _ in _adjacency_caching(model))


def cache_adjacencies(model: torch.nn.Module) -> None:
    r"""Lets all convolutions of PyG in the model cache their adjacency."""
    for module in _adjacency_caching(model):
        module.cached = True  # type: ignore[assignment]


def stop_caching_nothing(model: torch.nn.Module) -> None:
    r"""Lets convolutions of PyG that have kept no adjacency so far keep none from now on."""
    for module in _adjacency_caching(model):
        if all(getattr(module, name) is None for name in caches(module)):
            module.cached = False  # type: ignore[assignment]


def _adjacency_caching(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    for module in model.modules():
        caching = isinstance(module, MessagePassing) and hasattr(module, "cached")
        if caching and caches(module) and not holds_features(module):
            yield module


def is_compiled(model: torch.nn.Module) -> bool:
    r"""Whether a part of the model was compiled, for the kind of arguments it gets."""
    return any(
        isinstance(module, torch.jit.ScriptModule)
        or type(module).__name__ == "OptimizedModule"
        or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


@contextmanager
def without_caches(model: torch.nn.Module) -> Iterator[None]:
    r"""Keeps PyG's convolutions from caching for a while, as training on changing graphs and
    features needs, and leaves their caches empty.
    """
    cached = [m for m in model.modules() if caches(m) and getattr(m, "cached", False) is True]
    for module in cached:
        module.cached = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in cached:
            module.cached = True  # type: ignore[assignment]
        for module in model.modules():
            empty_caches(module)


def tensor_addresses(model: torch.nn.Module) -> set[int]:
    r"""Where the parameters, buffers and other tensors of a model's modules lie in memory."""
    plain = (value for module in model.modules() for value in vars(module).values())
    tensors = (*model.parameters(), *model.buffers(), *plain)
    return {
        tensor.data_ptr()
        for tensor in tensors
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.numel() > 0
    } - {0}
