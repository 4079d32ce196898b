from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import isolate
from pyg_hiersmooth.nn.voters.audit import Sample, check_ballots
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.sampling.tally import Ballots, Tally
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 6, 4, 3
X = torch.rand(N, D, generator=torch.Generator().manual_seed(0))


class Rows(nn.Module):
    """Logits of each row, and an offset that all classes share."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin, self.offset = nn.Linear(D, C), offset

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x) + self.offset


def check(
    predictions: Tensor,
    model: nn.Module | None = None,
    precision: torch.dtype | None = torch.float64,
    approved: Tensor | None = None,
    levels: tuple[float, ...] = (),
) -> None:
    data = Data(x=X, edge_index=torch.tensor([[0], [1]]))
    plain = isolate(model or Rows(), GraphForward(None, [data], node_level=True), X)
    ballots, ways = Ballots(predictions.view(1, -1), approved), ["blocks (pass block_size=1)"]
    with torch.no_grad():
        sample = Sample(17, 0, X)
        check_ballots(ballots, Tally(C, levels), torch.arange(N), sample, plain, precision, ways)


def right(model: nn.Module | None = None) -> Tensor:
    with torch.no_grad():
        return (model or Rows())(X, None).argmax(-1)


def test_equal_votes_pass() -> None:
    check(right())


@pytest.mark.parametrize("precision", [None, torch.float64])
def test_another_vote_is_refused_by_the_shortcut(precision: torch.dtype | None) -> None:
    wrong = right()
    wrong[2] = (wrong[2] + 1) % C
    message = r"in sample 17, 1 of 6 votes .* differently with blocks \(pass block_size=1\)"
    with pytest.raises(AuditError, match=message):
        check(wrong, precision=precision)


@pytest.mark.parametrize("precision", [None, torch.float64])
def test_a_tie_to_rounding_passes(precision: torch.dtype | None) -> None:
    """In single precision around 1e6 the classes are level, and either may win."""
    model = Rows(1e6)
    nn.init.zeros_(model.lin.weight)
    model.lin.bias.data = torch.tensor([0.0, 1e-3, -1.0])
    for predictions in (torch.zeros(N, dtype=torch.long), torch.ones(N, dtype=torch.long)):
        check(predictions, model, precision)
    with pytest.raises(AuditError):
        check(torch.full((N,), 2), model, precision)


def test_approvals_are_audited_as_well() -> None:
    with torch.no_grad():
        approved = (Rows()(X, None).softmax(-1) >= 0.3).view(1, N, 1, C)
    check(right(), approved=approved, levels=(0.3,))
    approved[0, 0, 0] = ~approved[0, 0, 0]
    with pytest.raises(AuditError):
        check(right(), approved=approved, levels=(0.3,))


RARE = 0.62
r"""More than nearly all logits of the first class."""


class FailsRarely(nn.Module):
    """Answers something else in one sample of a few, and only when it is called on a block."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.lin(x)
        if x.size(0) == N:
            return logits
        return torch.where(logits[:, :1] > RARE, logits.flip(1), logits)


def test_what_trials_do_not_see_is_found_in_counted_votes(tmp_path: Any) -> None:
    data = Data(x=X, edge_index=torch.tensor([[0], [1]]))
    transform = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(0.5))
    smoothed = SmoothedNodeClassifier(FailsRarely(), transform, C)
    votes = tmp_path / "votes.npz"
    with pytest.raises(AuditError, match=r"pass block_size=1.*kept in .*\.refused', and do not"):
        smoothed.sample_votes(data, 256, progress=False, num_workers=0, audit=1.0, checkpoint=votes)
    assert not votes.exists() and (tmp_path / "votes.npz.refused").exists()
    counted = smoothed.sample_votes(
        data, 64, progress=False, num_workers=0, audit=1.0, block_size=1, checkpoint=votes
    )
    assert int(counted.sum()) == 64 * N


def test_bad_shares_are_refused() -> None:
    data = Data(x=X, edge_index=torch.tensor([[0], [1]]))
    transform = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(0.5))
    smoothed = SmoothedNodeClassifier(FailsRarely(), transform, C)
    for share in (0.0, -1.0, 1.5):
        with pytest.raises(ValueError, match=r"'audit' must be a share of the samples in \(0, 1\]"):
            smoothed.sample_votes(data, 8, progress=False, audit=share)
