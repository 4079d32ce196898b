r"""The model that ``--model`` names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module

import torch


def build_named(
    name: str, models: Mapping[str, type[torch.nn.Module]], in_channels: int, num_classes: int
) -> torch.nn.Module:
    r"""Builds a model of ours, or one of the user's own.

    Args:
        name (str): A key of :obj:`models`, or ``module:Class`` for a class that can be imported
            from here and is called with the two sizes below.
        models (Mapping): Our models.
        in_channels (int): The number of features, including the indicator.
        num_classes (int): The number of classes.

    Raises:
        ValueError: If there is no such model, or it cannot be built like this.
    """
    if ":" not in name:
        return models[name](in_channels, num_classes)
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        model = getattr(import_module(module), attribute)(in_channels, num_classes)
    except Exception as error:  # the user's own code may raise anything
        raise ValueError(
            f"'--model {name}' must name a class in a module that can be imported from here, "
            f"called as {attribute}(in_channels, num_classes), but: {str(error) or repr(error)}"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"'--model {name}' must be a torch.nn.Module, but is a {type(model).__name__}"
        )
    return model
