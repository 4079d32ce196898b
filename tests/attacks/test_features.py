from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.attacks.features import flipped, moved


def best_flips(x: Tensor, gradient: Tensor, additions: int, deletions: int) -> float:
    """The lowest change of a linear lead by flips in one row, of all that there are."""
    changes = [0.0]
    places = [(i, j) for i in range(len(x)) for j in range(x.size(1))]
    for size in range(1, additions + deletions + 1):
        for chosen in combinations(places, size):
            ones = sum(bool(x[place] == 1) for place in chosen)
            if ones <= deletions and size - ones <= additions and len({i for i, _ in chosen}) == 1:
                changes.append(sum(float(gradient[p] * (1 - 2 * x[p])) for p in chosen))
    return min(changes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("additions", "deletions"), [(0, 1), (1, 0), (1, 2)])
def test_flips_of_one_row_lower_a_linear_lead_most(
    seed: int, additions: int, deletions: int
) -> None:
    torch.manual_seed(seed)
    x, gradient = (torch.rand(3, 5) < 0.5).float(), torch.randn(3, 5)
    attacked = flipped(x, gradient, 1, additions, deletions)
    change = float((gradient * (attacked - x)).sum())
    assert change == pytest.approx(best_flips(x, gradient, additions, deletions), abs=1e-6)


def test_flips_that_help_nobody_are_left_out() -> None:
    x = torch.tensor([[0.0, 1.0]])
    assert torch.equal(flipped(x, torch.tensor([[1.0, -1.0]]), 1, 2, 2), x)


def test_more_rows_take_more_flips() -> None:
    x, gradient = torch.zeros(3, 2), torch.tensor([[-1.0, 0.0], [-3.0, 0.0], [-2.0, 0.0]])
    assert flipped(x, gradient, 2, 3, 0)[:, 0].tolist() == [0.0, 1.0, 1.0]


def test_a_step_is_steepest_in_its_norm() -> None:
    torch.manual_seed(0)
    x, gradient = torch.zeros(4, 3), torch.randn(4, 3)
    lead = (moved(x, gradient, 4, "l2", 2.0) * gradient).sum()
    assert float(lead) == pytest.approx(-2.0 * float(gradient.norm()), rel=0.02)
    lead = (moved(x, gradient, 4, "l1", 2.0) * gradient).sum()
    assert float(lead) == pytest.approx(-2.0 * float(gradient.abs().max()), rel=0.02)
    rows = moved(x, gradient, 2, "l2", 2.0).any(1).nonzero().view(-1)
    assert set(rows.tolist()) == set(gradient.norm(dim=1).topk(2).indices.tolist())


@pytest.mark.parametrize(("norm", "order"), [("l1", 1.0), ("l2", 2.0)])
@pytest.mark.parametrize(("size", "eps"), [(1.0, 1e-3), (1e3, 1e-2), (1e4, 0.1)])
def test_rounding_takes_no_step_out_of_the_ball(
    norm: str, order: float, size: float, eps: float
) -> None:
    for seed in range(50):
        torch.manual_seed(seed)
        x, gradient = size * torch.randn(20, 10), torch.randn(20, 10)
        change = moved(x, gradient, 20, norm, eps).double() - x.double()
        assert float(torch.linalg.vector_norm(change, order)) <= eps


def test_no_gradient_is_no_step() -> None:
    assert not moved(torch.zeros(2, 2), torch.zeros(2, 2), 1, "l2", 1.0).any()
