r"""Models by name: ours, and the user's own."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import torch

from pyg_hiersmooth.choices import TaskName, check_choice, did_you_mean
from pyg_hiersmooth.models.graph import GraphGCN, GraphGIN
from pyg_hiersmooth.models.node import APPNP, GAT, GCN, GATv2, GraphSAGE

MODELS: dict[TaskName, dict[str, type[torch.nn.Module]]] = {
    "node": {"gcn": GCN, "gat": GAT, "gatv2": GATv2, "appnp": APPNP, "sage": GraphSAGE},
    "graph": {"gin": GraphGIN, "gcn": GraphGCN},
}
r"""For each task, our models by name."""


def build_model(
    model: str, in_channels: int, num_classes: int, task: TaskName = "node"
) -> torch.nn.Module:
    r"""Builds a model of :obj:`MODELS` with its default hyperparameters, or one of the user's own.

    Args:
        model (str): A key of :obj:`MODELS[task]`, or ``module:Class`` for a class that can be
            imported from here and is called with the two sizes below.
        in_channels (int): The number of features of a node, including the indicator where the
            transform appends one.
        num_classes (int): The number of classes.
        task (str, optional): What is classified, ``"node"`` or ``"graph"``.
            (default: :obj:`"node"`)

    Raises:
        ValueError: If there is no such task or model, or it cannot be built like this.
    """
    check_choice("task", task, MODELS)
    if model in MODELS[task]:
        return MODELS[task][model](in_channels, num_classes)
    if ":" not in model:
        raise ValueError(
            f"'model' must be one of {', '.join(MODELS[task])} or module:Class for 'task' {task} "
            f"(got {model!r}){did_you_mean(model, MODELS[task])}"
        )
    module, _, attribute = model.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        built = getattr(import_module(module), attribute)(in_channels, num_classes)
    except Exception as error:  # the user's own code may raise anything
        raise ValueError(
            "'model' must name a class in a module that can be imported from here, called as "
            f"{attribute}(in_channels, num_classes) (got {model}): {str(error) or repr(error)}"
        ) from error
    if not isinstance(built, torch.nn.Module):
        raise ValueError(f"'model' must be a torch.nn.Module (got {model}, {type(built).__name__})")
    return built
