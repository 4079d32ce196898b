"""What happens in few samples only, or depends on what no inspection sees: audits find it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data

from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.sampling import audited_samples
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call
from .small import C, D, N, make_graph, seeded, votes_of

TRANSFORM = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(1.0))
DATA = Data(x=make_graph().x, edge_index=make_graph().edge_index.unique(dim=1))


class Rarely(nn.Module):
    """Votes for another class while something is the case."""

    def __init__(self, happens: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.conv, self.happens = gnn.SAGEConv(D + 1, C), happens

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.conv(x, edge_index)
        return logits.roll(1, dims=1) if self.happens(x) else logits


def in_a_file(path: Path, every: int) -> Callable[[Tensor], bool]:
    place = str(path)
    Path(place).write_text("0")

    def happens(x: Tensor) -> bool:
        number = int(Path(place).read_text()) + 1
        Path(place).write_text(str(number))
        return number % every == 0

    return happens


def in_the_environment(every: int) -> Callable[[Tensor], bool]:
    def happens(x: Tensor) -> bool:
        number = int(os.environ.get("CALLS_OF_A_MODEL", "0")) + 1
        os.environ["CALLS_OF_A_MODEL"] = str(number)
        return number % every == 0

    return happens


@pytest.mark.parametrize("where", ["file", "environment"])
@pytest.mark.parametrize("every", [2, 7, 97])
def test_calls_that_are_counted_outside(
    where: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLS_OF_A_MODEL", "0")
    happens = in_a_file(tmp_path / "calls", every) if where == "file" else in_the_environment(every)
    with pytest.raises(ValueError, match="from call to call"):
        votes_of(seeded(Rarely, happens), DATA, TRANSFORM, 400, block_size=1, audit=1.0, dense=True)


def test_audits_find_what_they_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 seeds, with one sample in ten wrong and 24 audited: each finds it with probability
    ``1 - .9^24 = .92``; fewer than 13 would do so in one run in 10^5. Seeds are fixed.
    """
    found = 0
    for seed in range(20):
        wrong = frozenset(range(seed % 10, 240, 10))
        audited = audited_samples(seed, range(240), 0.1)
        assert len(audited) == 24
        found += bool(wrong & audited)
    assert found >= 13


def test_audited_samples_of_a_run() -> None:
    """Eight of the first 32 and one in two thousand of the others, each as likely as another."""
    times = torch.zeros(6_000)
    for seed in range(400):
        audited = audited_samples(seed, range(6_000))
        assert len([each for each in audited if each < 32]) == 8
        assert len(audited) == 8 + 2
        times[list(audited)] += 1
    # Each of 32 counts is Binomial(400, 1/4); 5.5 standard deviations: one false alarm in 10^6.
    assert bool(((times[:32] - 100).abs() < 48).all())
    assert float(times[32:].sum()) == 800


class InBlocks(nn.Module):
    """Wrong on many copies at once, where a coin of their features says so."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.conv, self.rate = gnn.SAGEConv(D + 1, C), rate

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.conv(x, edge_index)
        coin = float((x[:, 0].double().sum() * 1e4).remainder(1.0))
        is_large = x.size(0) > N
        return logits.roll(1, dims=1) if is_large and coin < self.rate else logits


@pytest.mark.one_in(2)
@pytest.mark.parametrize("rate", [1.0, 0.3, 0.1, 0.01])
def test_blocks_that_go_wrong(rate: float) -> None:
    model: Any = seeded(InBlocks, rate)
    truth = plain_votes(pyg_call, model, TRANSFORM, DATA, 800, C)
    try:
        votes = votes_of(model, DATA, TRANSFORM, 800, block_size=4, dense=True, audit=1.0)
    except AuditError as error:
        assert "copies side by side (pass block_size=1)" in str(error)
    except ValueError as error:
        assert "block_size" in str(error)
    else:
        assert torch.equal(votes, truth)
    assert torch.equal(votes_of(model, DATA, TRANSFORM, 800, block_size=1, dense=True), truth)
