r"""Model weights from untrusted files."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor


def load_weights(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    r"""Loads weights into the model they belong to, without running code from the file.

    Args:
        model (torch.nn.Module): The model, which is only changed if all weights fit.
        path (str or os.PathLike): A state dict, saved by :func:`torch.save`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds something else, or weights of another model.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # damage shows anywhere in zipfile, pickle or PyTorch
        raise ValueError(
            f"'{path}' is damaged or holds more than weights: it must be a state dict saved by "
            "torch.save"
        ) from error
    try:
        _check_fit(weights, model.state_dict())
    except ValueError as misfit:
        raise ValueError(
            f"'{path}' does not fit the model {type(model).__name__} on this data: {misfit}"
        ) from misfit
    model.load_state_dict(weights)


def _check_fit(weights: Any, expected: dict[str, Tensor]) -> None:
    if not isinstance(weights, dict):
        raise ValueError(f"it holds a {type(weights).__name__} and no state dict")
    for name, tensor in expected.items():
        found = weights.get(name)
        if not isinstance(found, Tensor):
            raise ValueError(f"it lacks '{name}'")
        if found.shape != tensor.shape:
            shapes = f"{list(found.shape)} instead of {list(tensor.shape)}"
            raise ValueError(f"'{name}' has the shape {shapes}")
        if not bool(torch.isfinite(found).all()):
            raise ValueError(f"'{name}' holds NaN or infinite values")
    unknown = [str(name) for name in weights if name not in expected]
    if unknown:
        raise ValueError(f"it also holds '{unknown[0]}'")
