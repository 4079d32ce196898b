r"""The objects that are voted on, or trained on, as the user names them."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor


def as_target_index(
    index: ArrayLike | Tensor | None, num_objects: int, noun: str, name: str | None = None
) -> Tensor:
    r"""Targets as an index tensor, int64 ``[M]``.

    Args:
        index (torch.Tensor, optional): Mask ``[num_objects]`` or indices ``[M]`` or ``[M, 1]``;
            the number of one object, a set or a slice of numbers, or what :func:`torch.where`
            returns; :obj:`None` means all objects.
        num_objects (int): Number of objects.
        noun (str): What they are: ``node``, whose argument is ``node_index``, ``graph`` or
            ``image``.
        name (str, optional): The argument, where it is another one.

    Raises:
        ValueError: If there are no targets, or one is not an object.
    """
    name = name or ("node_index" if noun == "node" else "index")
    if index is None:
        return torch.arange(num_objects)
    targets = _as_tensor(index, num_objects, name)
    if targets.dim() == 2 and targets.size(1) == 1:  # as of mask.nonzero()
        targets = targets.view(-1)
    if targets.dtype == torch.bool:
        if tuple(targets.shape) != (num_objects,):
            raise ValueError(
                f"'{name}' as a mask must have the shape [{num_objects}] "
                f"(got {list(targets.shape)})"
            )
        targets = targets.nonzero().view(-1)
    elif not _is_integer(targets) and targets.numel() > 0:
        raise ValueError(
            f"'{name}' must be a mask or integers (got {targets.dtype}): a mask is bool"
        )
    if targets.dim() == 0:
        targets = targets.view(1)
    if targets.dim() != 1 or targets.numel() == 0:
        raise ValueError(
            f"'{name}' must name at least one {noun} (got shape {list(targets.shape)})"
        )
    targets = targets.long()
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= num_objects:
        raise ValueError(f"'{name}' must lie between 0 and {num_objects - 1} (got {low} to {high})")
    repeats = num_objects > 2 or low == high
    if len(targets) == num_objects > 1 and high <= 1 and repeats:
        raise ValueError(
            f"'{name}' must be a mask, which is bool, or indices (got {num_objects} integers that "
            "are all 0 or 1): pass mask.bool()"
        )
    return targets


def _as_tensor(index: Any, num_objects: int, name: str) -> Tensor:
    if isinstance(index, slice):
        return torch.tensor(range(num_objects)[index], dtype=torch.long)
    if isinstance(index, set | frozenset):
        index = sorted(index)
    if isinstance(index, tuple) and len(index) == 1 and isinstance(index[0], Tensor):
        (index,) = index  # as of torch.where(mask)
    try:
        return torch.as_tensor(index).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"'{name}' must be a mask or integers (got {type(index).__name__})"
        ) from error


def _is_integer(targets: Tensor) -> bool:
    return targets.dtype in (torch.int64, torch.int32, torch.int16, torch.int8)
