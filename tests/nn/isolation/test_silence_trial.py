from __future__ import annotations

import itertools

import pytest
import torch

from pyg_hiersmooth.nn.isolation.silence_trial import (
    THOROUGH,
    cases,
    with_indicator,
    without_indicator,
)


@pytest.mark.parametrize("num_nodes", [2, 3, 7, 20])
def test_each_node_changes_while_any_other_is_looked_at(num_nodes: int) -> None:
    tried = list(cases(torch.zeros(num_nodes, 3)))
    for one, other in itertools.permutations(range(num_nodes), 2):
        assert any(case.changed[one] and not case.changed[other] for case in tried)
    for case in tried:
        assert (case.silent | ~case.changed).all(), "who changes is silent"
    assert any((case.silent & ~case.changed).any() for case in tried) or num_nodes == 2


def test_much_is_tried_on_the_first_choices_and_little_on_the_others() -> None:
    tried = list(cases(torch.zeros(50, 3)))
    first = [case for case in tried if case.number < THOROUGH]
    assert [case.is_empty for case in first] == [False, True] * THOROUGH
    assert [case.is_thorough for case in first] == [True, False] * THOROUGH
    others = tried[len(first) :]
    assert others and not any(case.is_empty or case.is_thorough for case in others)
    quick = list(cases(torch.zeros(50, 3), quick=True))
    assert [(case.number, case.is_empty, case.is_thorough) for case in quick] == [
        (0, False, False),
        (0, True, False),
    ]


def test_marks() -> None:
    x, silent = torch.randn(4, 3), torch.tensor([True, False, False, True])
    marked = with_indicator(x, silent)
    assert torch.equal(marked[:, -1].bool(), silent) and torch.equal(marked[:, :-1], x[:, :-1])
    assert without_indicator(x, silent) is x
