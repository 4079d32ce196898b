"""A second call finds what was tried ready, recognized by its content."""

from __future__ import annotations

import copy
import pickle
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, SAGEConv
from torch_geometric.transforms import KNNGraph

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.voters.model_trial import ModelTrial
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 4, 3


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each trial of a model."""
    made: list[int] = []
    run = ModelTrial.run

    def counted(trial: ModelTrial) -> None:
        made.append(1)
        run(trial)

    monkeypatch.setattr(ModelTrial, "run", counted)
    return made


def make() -> tuple[SmoothedNodeClassifier, Data]:
    torch.manual_seed(0)
    data = Data(x=torch.randn(N, D), edge_index=torch.randint(N, (2, 30)))
    transform = HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.5))
    return SmoothedNodeClassifier(GCN(D + 1, 8, 2, C).eval(), transform, C), data


def votes(smoothed: SmoothedNodeClassifier, data: Data, seed: int = 0, **options: Any) -> Tensor:
    return smoothed.sample_votes(data, 40, seed, progress=False, num_workers=0, **options)


def test_the_same_is_not_tried_again(trials: list[int]) -> None:
    smoothed, data = make()
    first = votes(smoothed, data)
    assert torch.equal(votes(smoothed, data.clone()), first) and len(trials) == 1
    for options in ({"seed": 3}, {"node_index": torch.tensor([5, 2])}, {"approve": 0.4}):
        found = votes(smoothed, data, **options)
        assert len(trials) == 1
        assert torch.equal(found, votes(*make(), **options)), "as in a first call"
        trials.pop()


def test_what_changed_is_tried_again(trials: list[int]) -> None:
    smoothed, data = make()
    first = votes(smoothed, data)

    def weights() -> None:
        with torch.no_grad():
            smoothed.model.convs[0].lin.weight.add_(1.0)

    def features() -> None:
        data.x[0, 0] += 1.0

    def edges() -> None:
        data.edge_index[0, 0] = (data.edge_index[0, 0] + 1) % N

    def noise() -> None:
        smoothed.transform.noise.std = 2.0

    def attribute() -> None:
        smoothed.model.act = torch.nn.Tanh()

    for number, change in enumerate((weights, features, edges, noise, attribute), start=2):
        change()
        again = votes(smoothed, data)
        assert len(trials) == number, change.__name__
        other = SmoothedNodeClassifier(smoothed.model, smoothed.transform, C)
        assert torch.equal(again, votes(other, data))
        trials.pop()
    assert not torch.equal(again, first)
    votes(smoothed, data, dense=True)
    assert len(trials) == 7


def test_copies_start_anew(trials: list[int]) -> None:
    smoothed, data = make()
    first = votes(smoothed, data)
    for twin in (copy.deepcopy(smoothed), pickle.loads(pickle.dumps(smoothed))):
        assert torch.equal(votes(twin, data), first)
    assert len(trials) == 3


def test_features_that_were_written_to_are_not_taken_for_equal_ones(trials: list[int]) -> None:
    smoothed, data = make()
    twin = data.clone()
    first = votes(smoothed, data, dense=True)
    data.x.mul_(-3.0)
    assert torch.equal(votes(smoothed, twin, dense=True), first) and len(trials) == 2


class Settled(nn.Module):
    """A model with settings that are no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(D + 1, C)
        self.after: Any = lambda logits: 2.0 * logits
        self.graph = KNNGraph(k=2)
        self.scale = torch.distributions.Normal(torch.tensor(1.0), torch.tensor(1.0))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        far = x[:, :C] * (self.graph.k - 2)
        return self.after(self.conv(x, edge_index)) * self.scale.loc - far


def negated(self: Settled, x: Tensor, edge_index: Tensor) -> Tensor:
    return -self.conv(x, edge_index)


SETTINGS: dict[str, Any] = {
    "a function of other constants": lambda m: setattr(m, "after", lambda logits: -2.0 * logits),
    "another function": lambda m: setattr(m, "after", lambda logits: logits.neg()),
    "a method": lambda m: setattr(m, "forward", types.MethodType(negated, m)),
    "an attribute of a transform": lambda m: setattr(m.graph, "k", 30),
    "a tensor of a distribution": lambda m: m.scale.loc.fill_(-1.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_other_settings_are_tried_again(name: str) -> None:
    torch.manual_seed(0)
    model, (smoothed, data) = Settled().eval(), make()
    smoothed = SmoothedNodeClassifier(model, smoothed.transform, C)
    first = votes(smoothed, data)
    SETTINGS[name](model)
    again = votes(smoothed, data)
    assert not torch.equal(again, first)
    assert torch.equal(again, votes(SmoothedNodeClassifier(model, smoothed.transform, C), data))
