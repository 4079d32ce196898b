r"""The objects that are voted on, as the user names them."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor


def as_target_index(index: ArrayLike | Tensor | None, num_objects: int, noun: str) -> Tensor:
    r"""Targets as an index tensor, int64 ``[M]``.

    Args:
        index (torch.Tensor, optional): Mask ``[num_objects]`` or indices ``[M]``, or the number
            of one object; :obj:`None` means all objects.
        num_objects (int): Number of objects.
        noun (str): What they are: ``node``, whose argument is ``node_index``, ``graph`` or
            ``image``.

    Raises:
        ValueError: If there are no targets, or one is not an object.
    """
    name = "node_index" if noun == "node" else "index"
    if index is None:
        return torch.arange(num_objects)
    targets = torch.as_tensor(index).cpu()
    if targets.dtype == torch.bool:
        if tuple(targets.shape) != (num_objects,):
            raise ValueError(
                f"'{name}' as a mask must have the shape [{num_objects}] "
                f"(got {list(targets.shape)})"
            )
        targets = targets.nonzero().view(-1)
    elif (targets.is_floating_point() or targets.dtype == torch.uint8) and targets.numel() > 0:
        raise ValueError(f"'{name}' must be a mask or integers (got {targets.dtype})")
    if targets.dim() == 0 and targets.dtype != torch.bool:
        targets = targets.view(1)
    if targets.dim() != 1 or targets.numel() == 0:
        raise ValueError(
            f"'{name}' must name at least one {noun} (got shape {list(targets.shape)})"
        )
    targets = targets.long()
    if int(targets.min()) < 0 or int(targets.max()) >= num_objects:
        raise ValueError(
            f"'{name}' must lie between 0 and {num_objects - 1} "
            f"(got {int(targets.min())} to {int(targets.max())})"
        )
    return targets
