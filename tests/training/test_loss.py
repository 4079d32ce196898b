from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from pyg_hiersmooth.training.loss import check_draws, inconsistency, loss_of_draws, weight_at


def test_inconsistency_by_hand() -> None:
    """Two draws of one node: (.5, .5) and (.9, .1), with mean (.7, .3), sharpened by squares."""
    draws = [torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()]
    target = 0.49 / (0.49 + 0.09)
    expected = ((0.5 - target) ** 2 + (0.9 - target) ** 2) / 2 * 2
    assert float(inconsistency(draws)) == pytest.approx(expected)


def test_draws_that_are_sure_and_agree_cost_nothing() -> None:
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    assert float(inconsistency([sure, sure])) == pytest.approx(0.0, abs=1e-12)
    assert float(inconsistency([sure, -sure])) == pytest.approx(0.5)


def test_gradients_do_not_flow_through_the_target() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, requires_grad=True)
    inconsistency([logits, torch.zeros(3, 4)]).backward()
    assert logits.grad is not None
    fixed = torch.stack([logits.detach().softmax(-1), torch.full((3, 4), 0.25)]).mean(0) ** 2
    target = fixed / fixed.sum(-1, keepdim=True)
    again = logits.detach().requires_grad_()
    ((again.softmax(-1) - target).square().sum(-1).mean() / 2).backward()
    torch.testing.assert_close(logits.grad, again.grad)


def test_labels_count_where_they_are_known_and_agreement_everywhere() -> None:
    torch.manual_seed(0)
    draws, labels = [torch.randn(5, 3), torch.randn(5, 3)], torch.tensor([0, 1, 2, -1, -1])
    known = torch.tensor([0, 2])
    supervised = sum(cross_entropy(each[known], labels[known]) for each in draws) / 2
    torch.testing.assert_close(loss_of_draws(draws, labels, known, 0.0), supervised)
    both = loss_of_draws(draws, labels, known, 2.0)
    torch.testing.assert_close(both, supervised + 2.0 * inconsistency(draws))
    whole = loss_of_draws(draws[:1], labels.clamp(min=0), None, 0.0)
    torch.testing.assert_close(whole, cross_entropy(draws[0], labels.clamp(min=0)))


@pytest.mark.parametrize(
    ("num_draws", "consistency", "named"),
    [(0, 0.0, "num_draws"), (2, -1.0, "consistency"), (1, 0.5, "num_draws")],
)
def test_options_are_checked(num_draws: int, consistency: float, named: str) -> None:
    with pytest.raises(ValueError, match=f"'{named}' must be at least"):
        check_draws(num_draws, consistency)


def test_the_weight_rises_evenly_and_stays() -> None:
    assert [weight_at(epoch, 2.0, 4) for epoch in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    assert weight_at(0, 2.0, 0) == 2.0


@pytest.mark.parametrize(("consistency", "rampup"), [(1.0, -1), (0.0, 5)])
def test_a_rise_of_nothing_is_refused(consistency: float, rampup: int) -> None:
    with pytest.raises(ValueError, match=rf"'consistency_rampup' .* \(got {rampup}\)"):
        check_draws(2, consistency, rampup)
