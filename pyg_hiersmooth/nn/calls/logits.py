r"""What a model returns."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def check_logits(logits: Any, num_outputs: int, num_classes: int | None = None) -> None:
    r"""Checks that a model returned a row of logits for each output.

    Args:
        logits: What it returned.
        num_outputs (int): Nodes, graphs or images that it was asked about.
        num_classes (int, optional): Number of classes, where it is known.

    Raises:
        ValueError: If it did not, with what to do about one logit.
    """
    classes = "num_classes" if num_classes is None else num_classes
    takes = f"the model must return logits of shape [{num_outputs}, {classes}]"
    if not isinstance(logits, Tensor):
        raise ValueError(f"{takes} (got {type(logits).__name__})")
    shape = list(logits.shape)
    if shape in ([num_outputs], [num_outputs, 1]):
        raise ValueError(
            f"{takes} (got {shape}): of one logit z, that of class 1, make two, "
            "torch.stack([-z, z], dim=-1) / 2"
        )
    fits = len(shape) == 2 and shape[0] == num_outputs
    if not fits or shape[1] != (num_classes or shape[1]):
        raise ValueError(f"{takes} (got {shape})")
    if not logits.dtype.is_floating_point:
        raise ValueError(f"{takes} as floats (got {logits.dtype})")
