from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates.attack_program import METHODS, max_changed_predictions
from pyg_hiersmooth.certificates.breaking_points import BreakingPoints


class Attack(NamedTuple):
    """What targets fall at, and what an adversary has."""

    points: BreakingPoints
    field: np.ndarray
    totals: np.ndarray
    per_entity: np.ndarray

    def max_changed_predictions(self, method: str) -> int:
        integrality = np.ones(len(self.per_entity), bool)
        field = sparse.csr_array(self.field)
        return max_changed_predictions(
            self.points, field, self.totals, self.per_entity, integrality, method, time_limit=60.0
        )

    def truth(self) -> int:
        """The most targets that fall, of all ways to spend whole budgets on entities."""
        given = [
            product(*(range(int(most) + 1) for most in limits)) for limits in self.per_entity.T
        ]
        best = 0
        for spending in product(*given):
            budgets = np.array(spending).reshape(self.field.shape[1], -1)
            changed = budgets.any(1) if budgets.size else np.ones(self.field.shape[1], bool)
            spent = np.column_stack([changed, budgets])
            if (spent.sum(0) <= self.totals).all():
                reached = (self.points.needs <= (self.field @ spent)[self.points.target]).all(1)
                best = max(best, len(np.unique(self.points.target[reached])))
        return best


def random_attack(seed: int, num_targets: int = 5, num_entities: int = 4) -> Attack:
    """Two budgets, several points a target, and some targets and entities that are alike."""
    generator = np.random.default_rng(seed)
    field = generator.random((num_targets, num_entities)) < 0.6
    field[1], field[:, 1] = field[0], field[:, 0]
    target = np.repeat(np.arange(num_targets), 2)
    needs = generator.integers(0, 3, (len(target), 3))
    needs[2:4] = needs[:2]
    needs[:, 0] = np.maximum(needs[:, 0], 1)
    return Attack(
        BreakingPoints(target, needs.astype(np.float64)),
        field,
        totals=generator.integers(1, 4, 3),
        per_entity=generator.integers(0, 3, (2, num_entities)).astype(np.float64),
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_attack_makes_more_targets_fall(seed: int) -> None:
    attack = random_attack(seed)
    truth = attack.truth()
    assert attack.max_changed_predictions("milp") == truth
    assert attack.max_changed_predictions("lp") >= truth


def test_random_attacks_make_some_targets_fall_and_not_all() -> None:
    truths = {random_attack(seed).truth() for seed in range(20)}
    assert 0 in truths and len(truths) >= 4


def pairs(r: int) -> Attack:
    """Targets that fall to any two of three entities, without a budget."""
    points = BreakingPoints(np.arange(3), np.full((3, 1), 2.0))
    return Attack(points, np.ones((3, 3), bool), np.array([r]), np.zeros((0, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_what_no_attack_reaches_does_not_count(method: str) -> None:
    assert pairs(1).max_changed_predictions(method) == 0
    assert pairs(2).max_changed_predictions(method) == 3
    small = pairs(3)._replace(field=np.eye(3, dtype=bool))
    assert small.max_changed_predictions(method) == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_points_at_all(method: str) -> None:
    none = BreakingPoints(np.zeros(0, np.int64), np.zeros((0, 1)))
    assert pairs(2)._replace(points=none).max_changed_predictions(method) == 0


def test_targets_and_entities_that_are_alike_count_each() -> None:
    """Three pairs of targets, each with four entities of its own, of which two are needed."""
    field = np.kron(np.eye(3), np.ones((2, 4))).astype(bool)
    points = BreakingPoints(np.arange(6), np.full((6, 1), 2.0))
    for r, fallen in ((1, 0), (2, 2), (3, 2), (4, 4), (5, 4), (6, 6)):
        attack = Attack(points, field, np.array([r]), np.zeros((0, 12)))
        assert attack.max_changed_predictions("milp") == fallen


def everything_spent(
    needs: np.ndarray, per_entity: np.ndarray, field: np.ndarray, num_changed: int | None = None
) -> list[int]:
    """What both methods say where a distance suffices for all entities, and as many as truly fall:
    those that need no more than all entities in their field take."""
    assert per_entity.sum() <= 1.0
    points = BreakingPoints(np.arange(len(needs)), np.column_stack([np.ones(len(needs)), needs]))
    totals, limits = np.array([num_changed or len(per_entity), 1.0]), per_entity[None]
    continuous = np.zeros(1, bool)
    fallen = [
        max_changed_predictions(
            points, sparse.csr_array(field), totals, limits, continuous, method, 60.0
        )
        for method in METHODS
    ]
    return [*fallen, int((needs <= field @ per_entity).sum())]


@pytest.mark.parametrize("power", range(13))
def test_no_share_is_too_small_for_an_adversary(power: int) -> None:
    """Each of 1,100 entities takes less of a distance than a solver tells from nothing."""
    share = 10.0**-power / 1_100
    needs = share * np.array([0.5, 900.0, 1_099.0, 1_200.0])
    field = np.ones((4, 1_100), bool)
    per_entity = np.full(1_100, share)
    assert everything_spent(needs, per_entity, field) == [3, 3, 3]
    assert everything_spent(needs, per_entity, field, num_changed=950)[:2] == [2, 2]


@pytest.mark.parametrize("seed", range(30))
def test_shares_of_all_sizes_at_once(seed: int) -> None:
    generator = np.random.default_rng(seed)
    field = generator.random((8, 12)) < 0.5
    sizes = 10.0 ** -generator.uniform(0, 12, 12)
    per_entity = sizes / max(sizes.sum(), 1.0)
    reached = field @ per_entity
    needs = reached * generator.choice([0.1, 0.999_999, 1.01, 3.0], 8) + (reached == 0)
    lp, milp, truth = everything_spent(needs, per_entity, field)
    assert min(lp, milp) >= truth


def test_what_an_entity_stands_for() -> None:
    """Entities that count more than once towards a target, against every set of them."""
    fell = 0
    for seed in range(12):
        generator = np.random.default_rng(seed)
        weights = generator.integers(0, 4, (5, 6))
        weights[1], weights[:, 1] = weights[0], weights[:, 0]
        needs = generator.integers(1, 7, 5)
        needs[1] = needs[0]
        weights = np.minimum(weights, needs[:, None])
        points = BreakingPoints(np.arange(5), needs[:, None].astype(np.float64))
        for r in range(7):
            truth = max(
                int((weights[:, list(rows)].sum(1) >= needs).sum())
                for rows in combinations(range(6), r)
            )
            attack = Attack(points, weights, np.array([r]), np.zeros((0, 6)))
            assert attack.max_changed_predictions("milp") == truth
            assert attack.max_changed_predictions("lp") >= truth
            fell += truth
    assert fell > 60
