from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.training.fit import device_of, fit, logits_of

PROTOCOL = {
    "lr": 0.1,
    "weight_decay": 0.0,
    "max_epochs": 5,
    "patience": 5,
    "seed": 0,
    "progress": False,
}


def test_the_bar_fits_on_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("pyg_hiersmooth.training.fit.tqdm", partial(tqdm, ncols=80, file=shown))
    model, x, y = torch.nn.Linear(1, 2), torch.ones(2, 1), torch.tensor([0, 1])
    protocol = PROTOCOL | {"max_epochs": 1_000, "patience": 3, "progress": True, "lr": 1.0}
    fit(model, lambda _: [cross_entropy(model(x), y)], lambda: (model(x), y), **protocol)  # type: ignore[arg-type]
    last = shown.getvalue().split("\r")[-1].rstrip()
    assert len(last) <= 80 and last.endswith("]") and "best=" in last


def test_a_step_for_each_that_is_yielded() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 2)
    torch.nn.init.zeros_(model.weight)
    x, y = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
    modes = []

    def losses(epoch: int) -> Iterator[Tensor]:
        modes.append(model.training)
        yield cross_entropy(model(x), y)
        yield cross_entropy(model(x[:1]), y[:1])

    history = fit(model, losses, lambda: (model(x), y), **PROTOCOL)  # type: ignore[arg-type]
    assert modes == [True] * 5 and not model.training
    assert history.num_epochs == 5 and history.train_losses[-1] < history.train_losses[0]
    assert history.best_val_accuracy == 1.0


def test_dropout_is_that_of_the_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        model = torch.nn.Linear(1, 2)

        def losses(epoch: int, model: torch.nn.Module = model) -> list[Tensor]:
            drawn.append(float(torch.rand(())))
            return [model(torch.ones(1, 1)).sum()]

        given = PROTOCOL | {"seed": seed, "max_epochs": 1}
        fit(model, losses, lambda m=model: (m(torch.ones(1, 1)), torch.tensor([0])), **given)  # type: ignore[arg-type,misc]
    assert drawn[0] == drawn[1] != drawn[2]


class Weighted(torch.nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return x * edge_weight.sum()


def test_a_model_is_called_as_certification_calls_it() -> None:
    graph = Data(
        x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), edge_weight=torch.tensor([3.0])
    )
    assert logits_of(Weighted(), graph).tolist() == [[3.0], [3.0]]


def test_device() -> None:
    assert device_of(torch.nn.Linear(1, 1)) == device_of(torch.nn.ReLU()) == torch.device("cpu")


@pytest.mark.parametrize("name", ["lr", "weight_decay", "max_epochs", "patience"])
def test_arguments_are_checked_before_anything_is_trained(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be .*got -1"):
        fit(torch.nn.Linear(1, 1), None, None, **PROTOCOL | {name: -1})  # type: ignore[arg-type]
