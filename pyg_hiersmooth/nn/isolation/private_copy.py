r"""A copy of a model that belongs to the engine: in evaluation mode, and with nothing cached."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import SparseTensor

from pyg_hiersmooth.nn.isolation.adjacency_cache import caches
from pyg_hiersmooth.nn.isolation.model_state import leaves
from pyg_hiersmooth.nn.isolation.scripted import stop_scripted_caching


def private_copy(model: torch.nn.Module) -> torch.nn.Module:
    r"""Copies a model, puts it in evaluation mode, and lets convolutions of PyG cache nothing from
    here on: neither propagated *features*, as :class:`~torch_geometric.nn.conv.SGConv` does, nor
    adjacencies, which :mod:`~pyg_hiersmooth.nn.isolation.adjacency_cache` keeps by identity.

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
        if caches(module):
            module.cached = False  # type: ignore[assignment]
    return copied


def same_weights(model: torch.nn.Module, weights: torch.nn.Module) -> torch.nn.Module:
    r"""A copy of a model with the very parameters and buffers of another copy of it."""
    others = {**dict(weights.named_parameters()), **dict(weights.named_buffers())}
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return deep_copy(model, {id(own[name]): others[name] for name in own if name in others})


def _registered(model: torch.nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


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
    registered = {id(tensor) for tensor in _registered(model)}
    kept = [vars(module)[name] for module in model.modules() for name in caches(module)]
    kept = [value for value in kept if isinstance(value, Tensor | tuple | SparseTensor)]
    return {id(value): None for value in kept if id(value) not in registered}


def empty_caches(module: torch.nn.Module) -> None:
    r"""Empties what a PyG convolution keeps under ``cached=True``."""
    for name in caches(module):
        setattr(module, name, None)


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
