r"""The classes of objects, as the user holds them."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor


def as_labels(
    y: ArrayLike | Tensor,
    num_objects: int | None = None,
    known: Tensor | None = None,
    *,
    name: str = "y",
    noun: str = "node",
) -> Tensor:
    r"""Classes as int64 ``[N]``.

    Args:
        y (torch.Tensor): Integers ``[N]``, ``[N, 1]`` or ``[1, N]``.
        num_objects (int, optional): What there must be a class for each of.
        known (torch.Tensor, optional): The objects whose classes count, int64 ``[M]``; those of
            others may be -1 for unknown. (default: all)
        name (str): The argument.
        noun (str): What the objects are.

    Raises:
        ValueError: If it is not one class in 0, 1, ... for each object.
    """
    takes = f"'{name}' must hold one class in 0, 1, ... for every {noun}"
    try:
        labels = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{takes} (got {type(y).__name__})") from error
    got = f"(got {labels.dtype} of shape {list(labels.shape)})"
    if labels.dim() == 2 and 1 in labels.shape:
        labels = labels.view(-1)
    if labels.dim() != 1 or labels.numel() == 0:
        one_hot = ": pass y.argmax(-1)" if _is_one_hot(labels) else ""
        raise ValueError(f"{takes} {got}{one_hot}")
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{takes}, as integers {got}: pass y.long()")
    if num_objects is not None and labels.numel() != num_objects:
        raise ValueError(f"{takes}, {num_objects} in total {got}")
    labels = labels.long()
    counted = labels if known is None else labels[known.to(labels.device)]
    if counted.numel() > 0 and int(counted.min()) < 0:
        raise ValueError(
            f"{takes} that is trained on or counted (got {int(counted.min())}): leave those "
            "without a class out of the split"
        )
    return labels


def check_classes(labels: Tensor, num_classes: int, name: str = "y") -> None:
    r"""Checks that a model has a logit for every class.

    Args:
        labels (torch.Tensor): Those that count, int64 ``[M]``.
        num_classes (int): The number of logits.
        name (str): The argument.

    Raises:
        ValueError: If one has none.
    """
    low, high = int(labels.min()), int(labels.max())
    if high >= num_classes:
        from_one = ": they count from 1 on, pass y - 1" if low >= 1 and high == num_classes else ""
        raise ValueError(
            f"'{name}' must hold classes between 0 and {num_classes - 1}, as the model has "
            f"{num_classes} logits (got {low} to {high}){from_one}"
        )


def _is_one_hot(labels: Any) -> bool:
    if labels.dim() != 2:
        return False
    binary = bool(((labels == 0) | (labels == 1)).all())
    return binary and bool((labels.sum(dim=1) == 1).all())
