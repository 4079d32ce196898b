from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pyg_hiersmooth.certificates import (
    Certificate,
    StoppingRule,
    anytime_lower,
    anytime_upper,
    certify_anytime,
    check_questions,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed
SHARES = ([0.97, 0.02, 0.01], [0.75, 0.15, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25])
FLIPS, GAUSSIAN, ABLATION = SparseFlipNoise(0.05, 0.8), GaussianNoise(0.5), AblationNoise()


def smoothing(noise: Noise = ABLATION, p: float = 0.9) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(p, noise)


def test_questions_in_the_words_of_the_noise() -> None:
    assert check_questions(ABLATION, {"r": 2}) == [{"r": 2}]
    assert check_questions(FLIPS, ({"r": 1, "deletions": 5},)) == [
        {"r": 1, "additions": 0, "deletions": 5}
    ]
    two = check_questions(GAUSSIAN, [{"r": 1, "eps": 1}, {"r": 2, "eps": 0.5, "norm": "linf"}])
    assert two == [{"r": 1, "eps": 1.0}, {"r": 2, "eps": 0.5, "norm": "linf"}]


def test_new_nodes_alone_are_answered_sooner() -> None:
    """A lead that new nodes do not close is sure long before one that anybody may."""
    messages = AblationNoise(of="messages")
    new = {"r": 5, "only": "new_nodes"}
    assert check_questions(messages, new) == [new]
    only, mixed = (
        StoppingRule(smoothing(messages, 0.95), question, 1, 2) for question in (new, {"r": 5})
    )
    q = 0.95**5
    needed = [(1 - q) / q, 2 * (1 - q)]  # of the lead, against each
    for lead in np.linspace(0.05, 0.95, 19):
        votes = np.array([[round(50_000 * (1 + lead)), round(50_000 * (1 - lead))]])
        for rule, least in zip((only, mixed), needed, strict=True):
            if abs(lead - least) > 0.02:  # far more votes than it takes
                assert rule.answered(votes, [0])[0]
                assert rule.possible(votes, [0])[0, 0] == (lead > least)
    between = np.array([[round(500 * 1.42), round(500 * 0.58)]])  # a lead of .42 in 1,000 votes
    assert only.answered(between, [0])[0] and not mixed.answered(between, [0])[0]


@pytest.mark.parametrize(
    ("noise", "until", "error", "message"),
    [
        (ABLATION, [], ValueError, r"'until' must hold at least one question \(got none\)"),
        (ABLATION, "r=1", TypeError, r"'until' must be a question .* \(got str\)"),
        (ABLATION, 3, TypeError, r"'until' must be a question .* \(got int\)"),
        (ABLATION, [3], TypeError, r"a question of 'until' must be a dict .* \(got int\)"),
        (ABLATION, {}, TypeError, r"needs 'r' \(got {}\)"),
        (ABLATION, {"r": 0}, ValueError, "must allow the adversary a change"),
        (ABLATION, {"r": -1}, ValueError, "'r' must be an integer of at least 0"),
        (ABLATION, {"r": 1.5}, ValueError, "'r' must be an integer of at least 0"),
        (ABLATION, {"r": 1, "deletions": 5}, TypeError, "takes no budget besides 'r'"),
        (ABLATION, {"r": 1, "only": "new_nodes"}, TypeError, "'only' is for AblationNoise.of='me"),
        (FLIPS, {"r": 1, "deletions": 1, "only": "new_nodes"}, TypeError, "'only' is for"),
        (
            AblationNoise(of="messages"),
            {"r": 1, "only": "edges"},
            ValueError,
            "'only' must be 'new_nodes' .got 'edges'",
        ),
        (FLIPS, {"r": 1}, TypeError, "needs the budget 'additions' or 'deletions'"),
        (FLIPS, {"r": 1, "deletions": 0}, ValueError, "must allow the adversary a change"),
        (FLIPS, {"r": 1, "eps": 1.0}, TypeError, "takes 'additions' and 'deletions'"),
        (FLIPS, {"r": 1, "deletions": 1, "norm": "l1"}, TypeError, r"\(got 'norm'\)"),
        (GAUSSIAN, {"r": 1, "deletions": 5}, TypeError, "takes 'eps'"),
        (GAUSSIAN, {"r": 1, "eps": 0.0}, ValueError, "must allow the adversary a change"),
        (GAUSSIAN, {"r": 1, "eps": float("nan")}, ValueError, "'eps' must be a finite number"),
    ],
)
def test_refuses_what_is_no_question(
    noise: Noise, until: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_questions(noise, until)
    with pytest.raises(error, match=message):
        StoppingRule(smoothing(noise), until, 3, 2)


def test_says_before_any_vote_what_a_question_lacks() -> None:
    with pytest.raises(ValueError, match="needs the number of features"):
        StoppingRule(smoothing(GAUSSIAN), {"r": 1, "eps": 1.0, "norm": "linf"}, 3, 2)
    with pytest.raises(ValueError, match="'norm' must be one of"):
        StoppingRule(smoothing(GAUSSIAN), {"r": 1, "eps": 1.0, "norm": "l3"}, 3, 2, num_features=4)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("noise", [FLIPS, ABLATION, GAUSSIAN], ids=str)
def test_answers_are_those_of_all_values_within_the_bounds(kind: Any, noise: Noise) -> None:
    """Yes where the certificate says so; no where no corner of the bounds of any class does."""
    budget = {
        FLIPS: {"additions": 0, "deletions": 2},
        ABLATION: {},
        GAUSSIAN: {"eps": 0.2},
    }[noise]
    generator = np.random.default_rng(0)
    votes = np.concatenate(
        [generator.multinomial(n, p, size=60) for n in (20, 1_000) for p in SHARES]
    )
    rule = StoppingRule(smoothing(noise), {"r": 1, **budget}, len(votes), 3, 0.05, kind)
    answered = rule.answered(votes, np.arange(len(votes)))
    yes = certify_anytime(smoothing(noise), votes, 0.05, kind).is_robust(1, **budget)
    level = 0.05 / (3 if kind == "binary" else 6)
    trials = votes.sum(1, keepdims=True)
    lower, upper = anytime_lower(votes, trials, level), anytime_upper(votes, trials, level)
    possible = np.zeros(len(votes), dtype=bool)
    for c in range(3):
        rivals = np.maximum(np.delete(lower, c, axis=1).max(1), (1.0 - upper[:, c]) / 2.0)
        corner = Certificate.from_bounds(
            smoothing(noise), np.full(len(votes), c), upper[:, c], rivals, kind
        )
        possible |= corner.is_robust(1, **budget)
    assert np.array_equal(answered, yes | ~possible)
    assert yes.any() and (~possible).any() and (~answered).any()
    some = np.flatnonzero(answered)[::2]
    assert rule.answered(votes[some], some).all()


def test_all_questions_must_be_answered() -> None:
    votes, objects = np.array([[300, 20], [390, 1], [50, 40]]), np.arange(3)
    each = [
        StoppingRule(smoothing(), {"r": r}, 3, 2).answered(votes, objects) for r in (1, 2, 3, 4)
    ]
    both = StoppingRule(smoothing(), [{"r": r} for r in (1, 2, 3, 4)], 3, 2)
    assert np.array_equal(both.answered(votes, objects), np.all(each, axis=0))
    assert len({tuple(answers) for answers in each}) > 1


def test_objects_have_sizes_of_their_own_and_hold_together_if_asked() -> None:
    transform = HierarchicalNodeFeatureNoise(FixedSizeSelection(9), ABLATION)
    rule = StoppingRule(transform, {"r": 1}, 3, 2, num_entities=[90, 10, 10])
    # One of 10 is left out by one draw in ten, one of 90 by nine in ten: hopeless.
    assert rule.answered([[9, 1], [9, 1]], [0, 1]).tolist() == [True, False]
    alone = StoppingRule(smoothing(), {"r": 1}, 10_000, 2).level
    together = StoppingRule(smoothing(), {"r": 1}, 1_000, 2, simultaneous=True).level
    assert together == pytest.approx(alone / 1_000)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_the_real_rule_certifies_falsely_no_more_often_than_alpha(kind: Any) -> None:
    """10^5 objects that are just not robust, stopped as soon as the rule lets them go."""
    runs, alpha, q = 100_000, 0.1, 0.9
    # Ablation takes 1 - q from the class, and gives it to another one: a tie at last.
    share = [0.6, 0.4] if kind == "binary" else [0.55, 0.35, 0.1]
    transform = smoothing(p=q)
    truth = Certificate.from_bounds(transform, [0], [share[0]], [share[1]], kind)
    assert not truth.is_robust(1).any()
    rule = StoppingRule(transform, {"r": 1}, runs, len(share), alpha, kind)
    generator = np.random.default_rng(0)
    votes, left = np.zeros((runs, len(share)), dtype=np.int64), np.arange(runs)
    for more in (16, 16, 32, 64, 128, 256):
        votes[left] += generator.multinomial(more, share, size=len(left))
        left = left[~rule.answered(votes[left], left)]
    wrong = int(certify_anytime(transform, votes, alpha, kind).is_robust(1).sum())
    assert wrong > 0
    assert stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > FALSE_ALARM
