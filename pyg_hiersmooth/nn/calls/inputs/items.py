r"""All items of a dataset, or of the dataset behind a loader."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler
from torch_geometric.data.data import BaseData


def all_items(data: Any, name: str) -> list[Any] | None:
    r"""The items of a list, a dataset, or the dataset behind a loader, in their order there;
    :obj:`None` where it is none of these.

    Args:
        data: What the user gave.
        name (str): The argument that it was given for.

    Raises:
        ValueError: If a loader leaves some out, or a dataset has no length or gives other items
            when it is read a second time.
    """
    if isinstance(data, list | tuple):
        return list(data)
    if isinstance(data, DataLoader):
        batches = data.batch_sampler
        own = batches is None or getattr(batches, "sampler", None) is data.sampler
        if not own or not isinstance(data.sampler, SequentialSampler | RandomSampler):
            sampler = data.sampler if own else batches
            raise ValueError(
                f"'{name}' as a DataLoader must go through all of its dataset (got the sampler "
                f"{type(sampler).__name__}): pass its items themselves"
            )
        return all_items(data.dataset, name)
    if isinstance(data, Dataset):
        if not hasattr(data, "__len__"):
            raise ValueError(f"'{name}' must have a length (got {type(data).__name__})")
        return _read_twice(data, name)
    return None


def same(one: Any, other: Any) -> bool:
    r"""Whether two items hold the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseData):
        return same(one.to_dict(), other.to_dict())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        return same_tensor(one, other)
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other, equal_nan=_has_nan(one))
    if hasattr(one, "coo"):  # a SparseTensor
        return one.sizes() == other.sizes() and same(one.coo(), other.coo())
    try:
        return bool(one == other)
    except (TypeError, ValueError, RuntimeError):  # it cannot be told
        return True


def same_tensor(one: Tensor, other: Tensor) -> bool:
    r"""Whether two tensors are of one kind and hold the same, NaN included."""
    if one.layout != other.layout or one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.layout != torch.strided:
        one, other = (each.to_sparse_coo().coalesce() for each in (one, other))
        return same_tensor(one.indices(), other.indices()) and same_tensor(
            one.values(), other.values()
        )
    one, other = (each.as_subclass(Tensor) for each in (one, other))
    equal = one == other
    if one.is_floating_point():
        equal |= one.isnan() & other.isnan()
    return bool(equal.all())


def _read_twice(data: Any, name: str) -> list[Any]:
    items, again = ([data[i] for i in range(len(data))] for _ in range(2))
    for i, (one, other) in enumerate(zip(items, again, strict=True)):
        if not same(one, other):
            raise ValueError(
                f"'{name}' must give the same item every time (item {i} of "
                f"{type(data).__name__} differs when it is read twice): take what draws random "
                "numbers out of the dataset's 'transform'"
            )
    return items


def _has_nan(array: np.ndarray) -> bool:
    return array.dtype.kind in "fc"
