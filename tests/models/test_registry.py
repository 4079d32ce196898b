from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pyg_hiersmooth.models import (
    APPNP,
    GAT,
    GCN,
    MODELS,
    GATv2,
    GraphGCN,
    GraphGIN,
    GraphSAGE,
    build_model,
)


@pytest.mark.parametrize(
    ("task", "name", "model_class"),
    [
        ("node", "gcn", GCN),
        ("node", "gat", GAT),
        ("node", "gatv2", GATv2),
        ("node", "appnp", APPNP),
        ("node", "sage", GraphSAGE),
        ("graph", "gin", GraphGIN),
        ("graph", "gcn", GraphGCN),
    ],
)
def test_model_of_ours(task: str, name: str, model_class: type[torch.nn.Module]) -> None:
    assert type(build_model(name, 5, 3, task)) is model_class
    assert MODELS[task][name] is model_class


def test_all_models_are_named() -> None:
    assert {task: len(models) for task, models in MODELS.items()} == {"node": 5, "graph": 2}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("mlp", "node", "'model' must be one of gcn, gat, gatv2, appnp, sage or .* .got 'mlp'"),
        ("GCN", "node", "got 'GCN'"),
        ("", "node", "got ''"),
        ("gat", "graph", "'model' must be one of gin, gcn or module:Class for 'task' graph"),
        ("gcn", "image", "'task' must be one of node, graph .got 'image'"),
    ],
)
def test_unknown_model(name: str, task: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(name, 5, 3, task)


@pytest.mark.parametrize(("name", "in_features"), [("Net", 5), ("wide_net", 50)])
def test_model_of_the_user(name: str, in_features: int, own_models: Path) -> None:
    model = build_model(f"own_models:{name}", 5, 3)
    assert type(model).__name__ == "Net"
    assert (model.own.in_features, model.own.out_features) == (in_features, 3)


def test_model_of_an_installed_package() -> None:
    assert type(build_model("torch.nn:Linear", 5, 3)) is torch.nn.Linear


def test_current_folder_is_searched_once(own_models: Path) -> None:
    for _ in range(2):
        build_model("own_models:Net", 5, 3)
    assert sys.path.count(str(own_models)) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("own_models:Nothing", "has no attribute 'Nothing'"),
        ("own_models:", "has no attribute ''"),
        (":Net", "Empty module name"),
        (".own_models:Net", "'package' argument is required"),
        ("own_models:Needy", "missing 1 required positional argument: 'depth'"),
        ("own_models:size", "'int' object is not callable"),
        ("own_models:Failing", r"AssertionError\(\)"),
        ("broken_models:Net", r"invalid syntax \(broken_models.py, line 1\)"),
        ("failing_models:Net", "division by zero"),
    ],
)
def test_model_that_cannot_be_built(name: str, reason: str, own_models: Path) -> None:
    with pytest.raises(
        ValueError, match=rf"'model' must name a class .*\(got {name}\): .*{reason}"
    ):
        build_model(name, 5, 3)


def test_class_that_is_no_model(own_models: Path) -> None:
    with pytest.raises(
        ValueError, match=r"must be a torch.nn.Module \(got own_models:NoModel, NoModel\)"
    ):
        build_model("own_models:NoModel", 5, 3)
