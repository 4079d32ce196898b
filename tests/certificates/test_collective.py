"""Collective certificates against every attack on small graphs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.stats import norm

from pyg_hiersmooth.certificates import (
    Certificate,
    CollectiveCertificate,
    attack_program,
    certify_counts,
)
from pyg_hiersmooth.certificates.reach import Reach
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    SparseFlipNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection

METHODS = ("lp", "milp")


def smoothing(selection: Any, noise: Any) -> Any:
    return SimpleNamespace(selection=selection, noise=noise)


def random_field(generator: np.random.Generator, num_targets: int, num_entities: int) -> np.ndarray:
    """Receptive fields, some of them equal, some empty, and entities that are alike."""
    density = generator.choice([0.2, 0.5, 0.8])
    field = generator.random((num_targets, num_entities)) < density
    field[generator.integers(num_targets)] = field[0]
    field[:, generator.integers(num_entities)] = field[:, 0]
    return field


def bounded(
    noise: Any, generator: np.random.Generator, num_targets: int, num_entities: int
) -> Certificate:
    """A few different bounds, so that some targets are alike."""
    lower = generator.choice([0.5, 0.75, 0.9, 0.97, 0.999], size=num_targets)
    return Certificate.from_bounds(
        smoothing(BernoulliSelection(0.85), noise),
        np.zeros(num_targets),
        lower,
        (1.0 - lower) * generator.choice([0.6, 1.0], size=num_targets),
        num_entities=num_entities,
        simultaneous=True,
    )


def known_r(largest_r: np.ndarray, num_entities: int) -> Certificate:
    """An exact certificate that gives each target its largest ``r``."""
    size = len(largest_r)
    return Certificate.from_bounds(
        smoothing(PartitionSelection(40, 1), AblationNoise()),
        np.where(largest_r < 0, -1, 0),
        np.ones(size),
        np.zeros(size),
        num_entities=num_entities,
        largest_r=largest_r,
    )


def together(certificate: Certificate, field: Any) -> CollectiveCertificate:
    """With a field that says it is of the certificate's targets, wherever they are."""
    return CollectiveCertificate(certificate, Reach.of_targets(field, certificate.index))


def fallen_at_most(collective: CollectiveCertificate, r: int, method: str, **budget: Any) -> int:
    stay = collective.num_robust(r, method=method, time_limit=60.0, **budget)
    return int((~collective.certificate.abstained).sum()) - stay


@pytest.mark.parametrize("num_entities", [1, 2, 5, 7])
def test_the_integer_optimum_is_attained_for_ablation(num_entities: int) -> None:
    """Targets that fall to more than their largest r: as many as the program says do fall."""
    generator = np.random.default_rng(num_entities)
    for _ in range(12):
        field = random_field(generator, 6, num_entities)
        largest_r = generator.choice(
            [-1, 0, 1, 2, num_entities], size=6, p=[0.1, 0.3, 0.3, 0.2, 0.1]
        )
        collective = together(known_r(largest_r, num_entities), field)
        for r in range(num_entities + 2):
            truth = 0
            for rows in combinations(range(num_entities), min(r, num_entities)):
                hit = field[:, list(rows)].sum(1)
                truth = max(truth, int(((hit > largest_r) & (largest_r >= 0)).sum()))
            assert fallen_at_most(collective, r, "milp") == truth
            alone = int((largest_r >= 0).sum()) - int(collective.certificate.is_robust(r).sum())
            assert truth <= fallen_at_most(collective, r, "lp") <= alone


def spendings(totals: tuple[int, ...], most: np.ndarray) -> Iterator[np.ndarray]:
    """All ways to spend budgets on entities, at most ``most`` on each: int ``[N, B]``."""
    each = [product(*(range(limit + 1) for limit in limits)) for limits in most]
    for spending in product(*each):
        spent = np.array(spending)
        if (spent.sum(0) <= totals).all():
            yield spent


@pytest.mark.parametrize("noise", [SparseFlipNoise(0.05, 0.6), SparseFlipNoise(0.3, 0.2)], ids=str)
@pytest.mark.parametrize("most", [(2, 2), (1, 2), (2, 0), None], ids=str)
def test_the_integer_optimum_is_attained_for_flips(
    noise: Any, most: tuple[int, int] | None
) -> None:
    """Targets that fall wherever their certificate does not rule it out."""
    generator = np.random.default_rng(0)
    num_entities, totals = 3, (2, 3)
    fell = 0
    for _ in range(8):
        field = random_field(generator, 5, num_entities)
        certificate = bounded(noise, generator, 5, num_entities)
        collective = together(certificate, field)
        robust = certificate.grid(num_entities, *totals)
        if most is None:  # its own for each entity, whether they reach the same targets or not
            each = generator.integers(0, 4, size=(num_entities, 2))
            limits = dict(zip(noise.budget, each.T, strict=True))
        else:
            each = np.tile(most, (num_entities, 1))
            limits = dict(zip(noise.budget, most, strict=True))
        for r in range(num_entities + 1):
            truth = 0
            for spent in spendings(totals, each):
                changed = spent.any(1)
                if changed.sum() > r:
                    continue
                inside = field.astype(int) @ np.column_stack([changed, spent])
                holds = robust[np.arange(5), inside[:, 0], inside[:, 1], inside[:, 2]]
                truth = max(truth, int((~holds & ~certificate.abstained).sum()))
            budget = {"additions": 2, "deletions": 3, "max_per_node": limits}
            assert fallen_at_most(collective, r, "milp", **budget) == truth
            assert fallen_at_most(collective, r, "lp", **budget) >= truth
            fell += truth
    assert fell > 0


@pytest.mark.parametrize(("noise", "power"), [(GaussianNoise(0.5), 2), (LaplaceNoise(0.5), 1)])
def test_the_optimum_is_attained_for_distances(noise: Any, power: int) -> None:
    """For every set of changed entities and every set of targets, a linear program says whether
    distances can be shared out so that all of them fall."""
    generator = np.random.default_rng(power)
    num_entities, num_targets = 4, 4
    fell = 0
    for trial in range(6):
        field = random_field(generator, num_targets, num_entities)
        certificate = bounded(noise, generator, num_targets, num_entities)
        collective = together(certificate, field)
        eps, most = (0.3, 0.6)[trial % 2], (0.9, 0.25)[trial % 2]
        options: dict[str, Any] = {"eps": eps, "max_per_node": {"eps": most}}
        radius = np.array([certificate.radius(r) for r in range(num_entities + 1)])
        for r in (0, 1, 2, 4):
            truth = 0
            for rows in combinations(range(num_entities), r):
                inside = field[:, list(rows)]
                needed = radius[inside.sum(1), np.arange(num_targets)]
                able = np.flatnonzero(inside.any(1) & ~certificate.abstained & (needed < eps))
                for size in range(len(able), truth, -1):
                    if any(
                        shares_out(inside[list(chosen)], needed[list(chosen)], eps, most, power)
                        for chosen in combinations(able, size)
                    ):
                        truth = size
                        break
            assert fallen_at_most(collective, r, "milp", **options) == truth
            assert fallen_at_most(collective, r, "lp", **options) >= truth
            fell += truth
    assert fell > 0


@pytest.mark.parametrize("noise", [GaussianNoise(0.5), LaplaceNoise(0.5)], ids=str)
@pytest.mark.parametrize("power", [3, 6, 9, 12])
def test_tiny_limits_of_a_large_distance(noise: Any, power: int) -> None:
    """All nodes at their limit fell two targets of three; the distance would do for far more."""
    num_entities, lower = 1_100, np.array([0.9, 0.95, 0.99])
    certificate = Certificate.from_bounds(
        smoothing(BernoulliSelection(1.0), noise),
        [0, 0, 0],
        lower,
        1.0 - lower,
        num_entities=num_entities,
        simultaneous=True,
    )
    order = {"l1": 1, "l2": 2}[noise.norm]
    limit = certificate.radius(1)[1] * (1.01 / num_entities) ** (1 / order)
    collective = together(certificate, np.ones((3, num_entities), bool))
    options: dict[str, Any] = {"eps": limit * 10.0 ** (power / order)}
    options["eps"] = max(options["eps"], certificate.radius(1)[1] * 1.01)
    for method in METHODS:
        options["max_per_node"] = {"eps": limit}
        assert fallen_at_most(collective, num_entities, method, **options) == 2


def shares_out(inside: np.ndarray, needed: np.ndarray, eps: float, most: float, power: int) -> bool:
    cost = np.ones(inside.shape[1])
    result = linprog(
        cost,
        A_ub=-inside.astype(float),
        b_ub=-(needed**power),
        bounds=[(0.0, min(most, eps) ** power)] * inside.shape[1],
    )
    return bool(result.status == 0 and result.fun <= eps**power)


def test_no_values_fell_more_than_claimed_under_ablation() -> None:
    """Local classifiers of what a mask exposes, on graphs of up to 7 nodes: every object."""
    generator = np.random.default_rng(0)
    tight = checked = 0
    for num_entities, trial in product((4, 6, 7), range(8)):
        objects = np.array(list(product((0, 1), repeat=num_entities)))
        links = generator.random((num_entities, num_entities)) < 0.25
        field = links | links.T | np.eye(num_entities, dtype=bool)
        selection = PartitionSelection(int(generator.integers(3, 8)), 2, trial)
        answers = np.empty((selection.num_masks, len(objects), num_entities), dtype=int)
        for index in range(selection.num_masks):
            shown = ~selection.mask(index, [num_entities]).numpy()
            for target in range(num_entities):
                seen = np.where(shown & field[target], objects, 0)
                if trial % 2:  # adversarial: answers 1 as soon as it sees anything
                    answers[index, :, target] = seen.any(1)
                else:  # like a message passing network: a threshold of a weighted sum
                    weights = generator.normal(size=num_entities)
                    answers[index, :, target] = seen @ weights > generator.normal(1.0)
        ones = answers.sum(0)
        for clean in (0, int(generator.integers(len(objects)))):
            votes = np.column_stack([selection.num_masks - ones[clean], ones[clean]])
            certificate = certify_counts(
                smoothing(selection, AblationNoise()), votes, num_entities=num_entities
            )
            collective = together(certificate, field)
            ahead = np.where(
                certificate.prediction == 1, 2 * ones, 2 * (selection.num_masks - ones)
            )
            fallen = ((ahead <= selection.num_masks) & ~certificate.abstained).sum(1)
            distance = (objects != objects[clean]).sum(1)
            for r in range(num_entities + 1):
                most = int(fallen[distance <= r].max())
                for method in METHODS:
                    bound = fallen_at_most(collective, r, method)
                    assert most <= bound
                    checked += 1
                tight += int(most == bound > 0)
    assert checked == 2 * 2 * 8 * (5 + 7 + 8) and tight > 30


def test_no_values_fell_more_than_claimed_under_flips() -> None:
    """Local classifiers are tables of ``(Z | tau)`` in their receptive field; votes are exact."""
    generator = np.random.default_rng(1)
    p, noise, num_entities = 0.9, SparseFlipNoise(0.1, 0.4), 5
    flip = np.array([noise.p_plus, noise.p_minus])
    # From a value to (unselected, value), (selected, value): [value, 2 * tau + z].
    kernel = np.zeros((2, 4))
    for value in (0, 1):
        kernel[value, value] = 1 - p
        kernel[value, 2 + value] = p * (1 - flip[value])
        kernel[value, 3 - value] = p * flip[value]
    objects = np.array(list(product((0, 1), repeat=num_entities)))
    claims = fell = 0
    for _ in range(6):
        field = np.zeros((num_entities, num_entities), dtype=bool)
        votes = np.empty((len(objects), num_entities))
        for target in range(num_entities):
            reach = np.sort(generator.permutation(num_entities)[:3])
            field[target, reach] = True
            weights = generator.normal(size=3)
            states = np.array(list(product((0, 1, 0, 1), repeat=3)))
            ones = (states @ weights + 0.3 * generator.normal(size=64) > weights.sum() / 2) * 1.0
            ones = ones.reshape(4, 4, 4)
            for _ in range(3):
                ones = np.moveaxis(np.tensordot(kernel, ones, (1, 0)), 0, 2)
            votes[:, target] = ones[tuple(objects[:, reach].T)]
        for clean in range(0, len(objects), 8):
            share = votes[clean]
            certificate = Certificate.from_bounds(
                smoothing(BernoulliSelection(p), noise),
                share > 0.5,
                np.clip(np.maximum(share, 1 - share) - 1e-9, 0, 1),
                kind="binary",
                num_entities=num_entities,
                simultaneous=True,
            )
            collective = together(certificate, field)
            change = objects - objects[clean]
            added, deleted = (change == 1).sum(1), (change == -1).sum(1)
            fallen = ((votes > 0.5) != (share > 0.5)) & ~certificate.abstained
            for a, d in {(a, d) for a, d in zip(added.tolist(), deleted.tolist(), strict=True)}:
                most = int(fallen[(added <= a) & (deleted <= d)].sum(1).max())
                bound = fallen_at_most(collective, a + d, "lp", additions=a, deletions=d)
                assert most <= bound
                claims += num_entities - bound
                fell += most
    assert claims > 100 and fell > 100


def test_no_shift_on_a_lattice_fells_more_than_claimed_under_gaussian_noise() -> None:
    """Votes of local linear classifiers have a closed form for each indicator."""
    generator = np.random.default_rng(2)
    p, std, num_entities, step = 0.9, 0.5, 5, 0.25
    shifts = step * np.array(list(product((-2, -1, 0, 1, 2), repeat=num_entities)))
    indicators = np.array(list(product((0, 1), repeat=num_entities)))
    chance = np.where(indicators, p, 1 - p).prod(1)
    changed, distance = (shifts != 0).sum(1), np.sqrt((shifts**2).sum(1))
    fell = 0
    for _ in range(8):
        links = generator.random((num_entities, num_entities)) < 0.3
        field = links | np.eye(num_entities, dtype=bool)
        weights = generator.normal(size=(num_entities, num_entities)) * field
        threshold = generator.normal(scale=1.5, size=num_entities)

        spread = std * np.sqrt(indicators @ (weights**2).T)
        scores = shifts @ weights.T - threshold
        shares = sum(
            w * norm.cdf(scores / np.maximum(s, 1e-12)) for w, s in zip(chance, spread, strict=True)
        )
        clean = shares[(len(shifts) - 1) // 2]
        certificate = Certificate.from_bounds(
            smoothing(BernoulliSelection(p), GaussianNoise(std)),
            clean > 0.5,
            np.clip(np.maximum(clean, 1 - clean) - 1e-9, 0, 1),
            kind="binary",
            num_entities=num_entities,
            simultaneous=True,
        )
        collective = together(certificate, field)
        fallen = (((shares > 0.5) != (clean > 0.5)) & ~certificate.abstained).sum(1)
        for r, eps in product((1, 2, 3, 5), (0.25, 0.5, 0.75)):
            most = int(fallen[(changed <= r) & (distance <= eps)].max())
            for method in METHODS:
                assert most <= fallen_at_most(collective, r, method, eps=eps)
            fell += most
    assert fell > 30


CASES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (AblationNoise(), {}, {}),
    (
        SparseFlipNoise(0.05, 0.6),
        {"additions": 1, "deletions": 2},
        {"additions": 2, "deletions": 3},
    ),
    (GaussianNoise(0.5), {"eps": 0.2}, {"eps": 0.4}),
    (LaplaceNoise(0.5), {"eps": 0.2}, {"eps": 0.4}),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("noise", "less", "more"), CASES, ids=lambda case: str(case))
@pytest.mark.parametrize("method", METHODS)
def test_it_is_monotone_and_never_below_one_by_one(
    noise: Any, less: dict[str, Any], more: dict[str, Any], method: str
) -> None:
    generator = np.random.default_rng(7)
    field = generator.random((30, 40)) < 0.08
    certificate = bounded(noise, generator, 30, 40)
    collective = together(certificate, sparse.csc_matrix(field))
    y = generator.integers(0, 2, 30)
    gained = 0.0
    before = 1.0
    for r in range(6):
        robust = collective.certified_ratio(r, method=method, **less)
        alone = certificate.certified_ratio(r, **less)
        assert alone <= robust <= before
        assert collective.certified_ratio(r, method=method, **more) <= robust
        if more:
            tight = {name: value / 2 for name, value in less.items()}
            limited = collective.certified_ratio(r, method=method, max_per_node=tight, **less)
            assert limited >= robust
        right = collective.certified_accuracy(y, r, method=method, **less)
        assert certificate.certified_accuracy(y, r, **less) <= right <= robust
        assert right == collective.num_robust(r, certificate.prediction == y, method, **less) / 30
        gained += robust - alone
        before = robust
    assert gained > 0.1
    assert collective.certified_ratio(0, method=method, **less) == (~certificate.abstained).mean()


def test_nothing_falls_where_nothing_reaches() -> None:
    collective = together(known_r(np.array([0, 1, 0, -1]), 5), np.zeros((4, 5), int))
    assert collective.num_robust(5) == 3  # an abstention stays one
    field = np.eye(4, 5, dtype=bool)
    collective = together(known_r(np.array([0, 1, 0, -1]), 5), field)
    assert [collective.num_robust(r) for r in range(4)] == [3, 2, 1, 1]
    assert collective.num_robust(3, correct=np.array([True, True, False, True])) == 1
    assert collective.num_robust(3, correct=np.zeros(4, dtype=bool)) == 0
    assert len(collective) == 4
    empty = together(known_r(np.array([], dtype=int), 5), np.zeros((0, 5), bool))
    assert empty.num_robust(3) == 0 and empty.certified_ratio(3) == 0.0


def test_labels_of_abstentions_do_not_count() -> None:
    collective = together(known_r(np.array([-1, 3]), 5), np.ones((2, 5), bool))
    assert collective.certified_accuracy([-1, 0], 1) == 0.5


def test_any_prices_prove_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear bound does not rest on the solver: wrong prices only make it looser."""
    generator = np.random.default_rng(3)
    field, largest_r = random_field(generator, 8, 6), generator.integers(0, 3, 8)
    collective = together(known_r(largest_r, 6), field)
    truth = [fallen_at_most(collective, r, "milp") for r in range(5)]

    def sloppy(*args: Any, **options: Any) -> Any:
        result = linprog(*args, **options)
        result.ineqlin.marginals = result.ineqlin.marginals * generator.uniform(
            0.0, 1.5, result.ineqlin.marginals.shape
        )
        return result

    monkeypatch.setattr(attack_program, "linprog", sloppy)
    for _ in range(20):
        assert all(fallen_at_most(collective, r, "lp") >= truth[r] for r in range(5))


@pytest.mark.parametrize("method", METHODS)
def test_a_solver_that_fails_proves_nothing_and_says_so(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest_r = np.array([0, 0, 3, 1])
    collective = together(known_r(largest_r, 5), np.ones((4, 5), bool))
    failed = [
        SimpleNamespace(status=4, mip_dual_bound=None, ineqlin=None),
        SimpleNamespace(status=1, mip_dual_bound=-np.inf, ineqlin=None),
    ]
    for result in failed:
        for name in ("linprog", "milp"):
            monkeypatch.setattr(attack_program, name, lambda *a, _r=result, **o: _r)
        with pytest.warns(RuntimeWarning, match=f"found no bound for the attack .*'{method}'"):
            assert collective.num_robust(5, method=method) == 0
        with pytest.warns(RuntimeWarning, match="found no bound"):
            # One by one is still there.
            assert (
                collective.num_robust(2, method=method) == collective.certificate.is_robust(2).sum()
            )


def test_the_bound_counts_and_not_the_best_attack_found(monkeypatch: pytest.MonkeyPatch) -> None:
    collective = together(known_r(np.zeros(4, int), 5), np.ones((4, 5), bool))
    stopped = SimpleNamespace(status=1, fun=-1.0, mip_dual_bound=-2.9999999)
    monkeypatch.setattr(attack_program, "milp", lambda *args, **options: stopped)
    assert collective.num_robust(2) == 1  # three may fall, within the tolerance of the solver
    stopped.mip_dual_bound = -2.6
    assert collective.num_robust(2) == 2
    stopped.mip_dual_bound = -77.0  # branching has just begun: the linear bound is better
    assert collective.num_robust(2) == collective.num_robust(2, method="lp") == 0


def test_branching_that_fails_leaves_the_linear_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    collective = together(known_r(np.zeros(4, int), 5), np.eye(4, 5, dtype=bool))
    failed = SimpleNamespace(status=4, mip_dual_bound=None)
    monkeypatch.setattr(attack_program, "milp", lambda *args, **options: failed)
    with pytest.warns(RuntimeWarning, match="found no bound"):
        assert collective.num_robust(2) == 2


def test_a_curve_takes_the_better_of_larger_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    collective = together(known_r(np.zeros(4, int), 9), np.eye(4, 9, dtype=bool))
    assert collective.curve(changed=(0, 1, 3)).tolist() == [1.0, 0.75, 0.25]
    stay = {0: 4, 1: 1, 2: 2, 3: 0}
    monkeypatch.setattr(CollectiveCertificate, "num_robust", lambda self, r, *a, **o: stay[r])
    assert collective.curve(changed=range(4)).tolist() == [1.0, 0.5, 0.5, 0.0]


def test_frame_plot_and_repr(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    collective = CollectiveCertificate(
        known_r(np.array([0, 1, 2, -1]), 5), np.eye(4, 5, dtype=bool)
    )
    frame = collective.to_frame(changed=(0, 1, 2), method="lp")
    assert frame["r"].tolist() == [0, 1, 2]
    assert frame["collective"].tolist() == [0.75, 0.5, 0.5]
    assert frame["one_by_one"].tolist() == [0.75, 0.5, 0.25]
    labeled = collective.to_frame([0, 1, 0, 0], changed=(0, 1, 2))
    assert labeled["collective"].tolist() == [0.5, 0.25, 0.25]
    assert labeled["one_by_one"].tolist() == [0.5, 0.25, 0.25]
    figure = collective.plot([0, 0, 0, 0], tmp_path / "collective.png", changed=range(4))
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["one attack on all"] == [0.75, 0.5, 0.5, 0.5]
    assert lines["one attack on each"] == [0.75, 0.5, 0.25, 0.0]
    assert (tmp_path / "collective.png").read_bytes().startswith(b"\x89PNG")
    assert "exact), 5 entities, 1.0 in a receptive field) against: " in repr(collective)
    assert repr(collective).endswith(collective.threat) and frame.attrs["threat"] in repr(
        collective
    )
    assert collective.threat.endswith("to anything; all else stays; one attack on all targets")


def test_ablated_messages_have_two_adversaries() -> None:
    """The whole one fells as many targets as it takes over, besides those that may fall anyway."""
    selection, messages = PartitionSelection(9, 1), AblationNoise(of="messages")
    certificate = certify_counts(
        smoothing(selection, messages), [[9, 0], [8, 1], [6, 3], [5, 5]][:3], num_entities=5
    )
    anybody = CollectiveCertificate(certificate)
    assert [anybody.num_robust(r) for r in range(6)] == [3, 2, 0, 0, 0, 0]  # at most 4, 3 and 1
    assert anybody.num_robust(1, correct=[True, True, False]) == 1
    assert anybody.curve(changed=(0, 1, 2)).tolist() == [1.0, 2 / 3, 0.0]
    field = np.zeros((3, 5), bool)
    field[:, :3] = np.eye(3, dtype=bool)
    features = CollectiveCertificate(certificate, field)
    assert [features.num_robust(r) for r in range(5)] == [3, 2, 1, 0, 0]  # each to itself alone
    assert "nodes taken over, edges changed" in anybody.threat and "taken" in repr(anybody)
    assert "graph is fixed" in features.threat and "count as fallen" in features.threat
    with pytest.raises(ValueError, match=r"'receptive_field' is needed for AblationNoise\(\)"):
        CollectiveCertificate(known_r(np.array([0, 1]), 5))


def test_a_target_that_is_asked_about_twice_falls_twice() -> None:
    votes = [[9, 0], [9, 0], [8, 1], [9, 0]]
    selection, messages = PartitionSelection(9, 1), AblationNoise(of="messages")
    certificate = certify_counts(
        smoothing(selection, messages), votes, index=[3, 3, 3, 1], num_entities=5
    )
    field = np.zeros((4, 5), bool)
    field[range(4), certificate.index] = True
    for collective in (
        CollectiveCertificate(certificate),
        CollectiveCertificate(certificate, field),
    ):
        assert [collective.num_robust(r) for r in range(3)] == [4, 1, 0]


def test_certificates_that_do_not_hold_at_once_are_refused() -> None:
    each = Certificate.from_bounds(
        smoothing(BernoulliSelection(0.9), AblationNoise()), [0], [0.9], [0.1]
    )
    with pytest.raises(ValueError, match=r"certify\(\.\.\., simultaneous=True\), or exactly, with"):
        CollectiveCertificate(each, [[True]])
    graphs = Certificate.from_bounds(
        smoothing(FixedSizeSelection(2), AblationNoise()),
        [0, 0],
        [0.9] * 2,
        [0.1] * 2,
        num_entities=[3, 4],
        simultaneous=True,
    )
    with pytest.raises(ValueError, match=r"nodes of one graph \(got graphs of 3 to 4"):
        CollectiveCertificate(graphs, np.ones((2, 3), bool))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.ones((3, 5), bool), r"shape \[2, 5\], targets by entities \(got \[3, 5\]\)"),
        (np.ones((2, 4), bool), r"shape \[2, 5\], targets by entities \(got \[2, 4\]\)"),
        (np.ones(5, bool), r"got \[5\]"),
        (np.ones((2, 5)), r"must be bool \(got float64\)"),
        (sparse.csr_array(np.ones((5, 2), bool)), r"got \[5, 2\]"),
    ],
)
def test_receptive_fields_that_do_not_fit(field: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollectiveCertificate(known_r(np.array([0, 1]), 5), field)


def test_the_receptive_field_is_copied_and_cleaned() -> None:
    field = Reach.of_targets(np.ones((2, 5), dtype=int), np.arange(2))
    collective = CollectiveCertificate(known_r(np.array([0, 0]), 5), field)
    field.data[:] = 0
    assert collective.num_robust(1) == 0
    assert CollectiveCertificate(known_r(np.array([0, 0]), 5), field).num_robust(1) == 2


def test_wrong_questions() -> None:
    field = np.ones((2, 5), bool)
    ablation = CollectiveCertificate(known_r(np.array([0, 1]), 5), field)
    generator = np.random.default_rng(0)
    flips = CollectiveCertificate(bounded(SparseFlipNoise(0.1, 0.6), generator, 2, 5), field)
    gaussian = CollectiveCertificate(bounded(GaussianNoise(0.5), generator, 2, 5), field)
    for r in (-1, 0.5, float("nan")):
        with pytest.raises(ValueError, match="'r' must be an integer"):
            ablation.num_robust(r)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'method' must be one of"):
        ablation.num_robust(1, method="simplex")
    for time_limit in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="'time_limit' must be a positive number"):
            ablation.num_robust(1, time_limit=time_limit)
    for correct in ([0, 1], [True], [[True, True]]):
        with pytest.raises(ValueError, match="'correct' must be a bool mask"):
            ablation.num_robust(1, correct=correct)
    for y in ([0], [0.5, 1.0]):
        with pytest.raises(ValueError, match="'y' must"):
            ablation.certified_accuracy(y, 1)
    with pytest.raises(TypeError, match="no budget besides 'r'"):
        ablation.num_robust(1, additions=1)
    with pytest.raises(TypeError, match="needs the budget 'eps'"):
        gaussian.num_robust(1)
    with pytest.raises(TypeError, match=r"takes 'eps' \(got 'norm'\)"):
        gaussian.num_robust(1, eps=0.1, norm="l1")
    with pytest.raises(ValueError, match="'eps' must be"):
        gaussian.num_robust(1, eps=-0.1)
    with pytest.raises(ValueError, match="'deletions' must be a non-negative integer"):
        flips.num_robust(1, deletions=-1)
    for limit in (-1, [1.0] * 4, float("nan")):
        with pytest.raises(ValueError, match="'max_per_node' must hold for 'deletions'"):
            flips.num_robust(1, deletions=2, max_per_node={"deletions": limit})
    with pytest.raises(TypeError, match=r"'max_per_node' takes .*got 'eps'"):
        flips.num_robust(1, deletions=2, max_per_node={"eps": 1})
    for changed in ([3, 1], [0.5]):
        with pytest.raises(ValueError, match="'changed' must"):
            ablation.curve(changed=changed)  # type: ignore[arg-type]


def test_a_program_is_solved_once_for_what_the_budget_reaches() -> None:
    generator = np.random.default_rng(0)
    certificate = bounded(SparseFlipNoise(0.1, 0.3), generator, 6, 9)
    collective = together(certificate, random_field(generator, 6, 9))
    handed_out: list[int] = []

    def watched(numbers: list[int]) -> Iterator[int]:
        for number in numbers:
            handed_out.append(number)
            yield number

    curve = collective.curve(changed=(0, 1, 2, 5, 9), progress=watched, method="lp", deletions=2)
    assert handed_out == [0, 1, 2] and curve[2] == curve[3] == curve[4]
    expected = [collective.certified_ratio(r, method="lp", deletions=2) for r in (0, 1, 2)]
    assert curve[:3].tolist() == expected
    alone = collective.one_by_one(changed=(1, 5), method="lp", deletions=2)
    assert alone.tolist() == [certificate.certified_ratio(r, deletions=2) for r in (1, 5)]
