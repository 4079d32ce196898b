"""What is sampled for a certificate, and what is said before."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pyg_hiersmooth.nn.certificate_plan import CertificatePlan
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

ABLATION, FLIPS = AblationNoise(), SparseFlipNoise(0.01, 0.6)
NOTHING: dict[str, Any] = dict.fromkeys(("n0", "n", "alpha", "simultaneous", "until"))
OBJECTS = {"num_entities": 20, "num_features": 8}


def plan_of(selection: Selection, noise: Any = ABLATION, **given: Any) -> CertificatePlan:
    transform = HierarchicalNodeFeatureNoise(selection, noise)
    return CertificatePlan.of(transform, 3, "multiclass", **{**NOTHING, **given})


def test_defaults_and_parts() -> None:
    plan = plan_of(BernoulliSelection(0.9))
    assert plan.parts == {"pre_votes": (0, 1_000), "votes": (1_000, 10_000)}
    assert (plan.alpha, plan.simultaneous, plan.exact) == (0.01, False, False)
    assert [plan.fixes_number_of(part) for part in plan.parts] == [False, True]


def test_a_question_takes_one_part_whose_number_is_free() -> None:
    plan = plan_of(BernoulliSelection(0.9), until={"r": 1}, n=500)
    assert plan.parts == {"votes": (0, 500)} and not plan.fixes_number_of("votes")
    decided = plan.decided(2, OBJECTS)
    votes = torch.tensor([[400, 0, 0], [10, 9, 9]])
    assert decided is not None and decided(votes, torch.arange(2)).tolist() == [True, False]


def test_outcomes_are_listed_and_nothing_belongs_to_them() -> None:
    plan = plan_of(PartitionSelection(10, 3))
    assert plan.exact and plan.parts == {"votes": (0, 30)} and plan.hints() == []
    assert plan.alpha == 0.0 and plan.simultaneous and not plan.fixes_number_of("votes")
    for name, value in {"n0": 1, "n": 5, "alpha": 0.1, "simultaneous": True, "until": {}}.items():
        with pytest.raises(ValueError, match=f"'{name}' belongs to sampling"):
            plan_of(PartitionSelection(10, 3), **{name: value})


def test_what_would_fail_after_sampling_fails_before() -> None:
    plan = plan_of(BernoulliSelection(torch.full((7,), 0.9)))
    with pytest.raises(ValueError, match="one probability for each of 7 entities"):
        plan.decided(2, OBJECTS)
    with pytest.raises(ValueError, match="'alpha'"):
        plan_of(BernoulliSelection(0.9), alpha=2.0)


def test_hints_say_what_is_exact_and_what_asks() -> None:
    hints = [plan_of(BernoulliSelection(0.9), noise).hints() for noise in (ABLATION, FLIPS)]
    assert [["PartitionSelection" in str(each), "'until'" in str(each)] for each in hints] == [
        [True, True],
        [False, True],
    ]
    assert "until" not in str(plan_of(BernoulliSelection(0.9), until={"r": 1}).hints())


def test_ranks_agree_on_all_of_it() -> None:
    plans = [
        plan_of(BernoulliSelection(0.9)),
        *(plan_of(BernoulliSelection(0.9), **{name: 7}) for name in ("n0", "n")),
        plan_of(BernoulliSelection(0.9), alpha=0.1),
        plan_of(BernoulliSelection(0.9), simultaneous=True),
        plan_of(BernoulliSelection(0.9), until={"r": 1}),
    ]
    assert len({str(plan.settings) for plan in plans}) == len(plans)
