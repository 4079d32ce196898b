from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    Certificate,
    CollectiveCertificate,
    PredictionSets,
    certify_counts,
    certify_votes,
)
from pyg_hiersmooth.choices import AttackMethod
from pyg_hiersmooth.experiment.summary import (
    CHANGED_IN_ALL,
    REPORTED_IN_ALL,
    CertifiedAccuracy,
    CollectiveAccuracy,
    CollectiveSummary,
    SetsSummary,
    Summary,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise, UniformNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Y = np.arange(30) % 3


def make_certificate(noise: Noise) -> Certificate:
    """Thirty objects of three classes, 24 predicted right, and one abstention."""
    transform = HierarchicalNodeFeatureNoise(0.9, noise)
    prediction = np.where(np.arange(30) < 24, Y, (Y + 1) % 3)
    p_lower = np.linspace(0.999, 0.6, 30)
    p_lower[0] = 0.3
    return Certificate.from_bounds(transform, prediction, p_lower, 1 - p_lower)


@pytest.mark.parametrize(
    ("noise", "num_cells", "budgets"),
    [
        (SparseFlipNoise(0.05, 0.8), 21, {"additions", "deletions"}),
        (GaussianNoise(0.5), 15, {"eps"}),
        (UniformNoise(0.5), 15, {"eps"}),
        (AblationNoise(), 5, set()),
    ],
)
def test_every_cell_is_that_of_the_certificate(
    noise: Noise, num_cells: int, budgets: set[str]
) -> None:
    certificate = make_certificate(noise)
    summary = Summary.of(certificate, Y, "dense features", 0.25)
    assert len(summary.certified) == num_cells
    for cell in summary.certified:
        assert set(cell.budget) == budgets
        assert cell.changes == noise.describe(**cell.budget)
        assert cell.accuracy == certificate.certified_accuracy(Y, cell.r, **cell.budget)
    assert any(cell.accuracy > 0 for cell in summary.certified)


def test_the_rest_of_it() -> None:
    summary = Summary.of(make_certificate(GaussianNoise(0.5)), Y, "dense features", 0.25)
    assert summary.smoothing == "BernoulliSelection(p=0.9), GaussianNoise(std=0.5)"
    assert (summary.num_nodes, summary.accuracy) == (30, pytest.approx(23 / 30))
    assert summary.abstained == pytest.approx(1 / 30)
    assert (summary.feature_path, summary.seconds_per_sample) == ("dense features", 0.25)


def test_nothing_is_certified_without_noise() -> None:
    summary = Summary.unprotected(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    expected = Summary("no smoothing", 4, 0.75, 0.0, [], None, None, majority=0.75)
    assert summary == expected


def test_exact_certificates_say_so() -> None:
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(10, 2), AblationNoise())
    exact = Summary.of(certify_counts(transform, [[20, 0, 0]] * 30), Y, None, None)
    assert exact.exact and exact.smoothing.endswith("AblationNoise(), exact")
    sampled = Summary.of(make_certificate(AblationNoise()), Y, None, None)
    assert not sampled.exact and "exact" not in sampled.smoothing


@pytest.mark.parametrize(
    ("noise", "budgets"), [(SparseFlipNoise(0.05, 0.8), 6), (GaussianNoise(0.5), 5), (None, 1)]
)
def test_one_attack_on_all_and_one_on_each(
    noise: Noise | None, budgets: int, capfd: pytest.CaptureFixture[str]
) -> None:
    certificate = make_certificate(noise or AblationNoise())
    certificate.simultaneous = True
    together = CollectiveCertificate(certificate, np.eye(30, dtype=bool))
    summary = CollectiveSummary.of(together, Y, "lp", 5.0)
    assert capfd.readouterr().err == "" and (summary.method, summary.time_limit) == ("lp", 5.0)
    assert len(summary.certified) == budgets * len(CHANGED_IN_ALL) == budgets * 20
    assert len(summary.by_changes) == budgets and summary.changed == [*range(1, 21)]
    for cell in summary.certified:
        assert cell.one_by_one == certificate.certified_accuracy(Y, cell.r, **cell.budget)
        # Alone in its receptive field, a target falls to one node that is its own.
        assert cell.accuracy >= max(cell.one_by_one, (23 - min(cell.r, 20)) / 30 - 1e-9)
    assert any(cell.accuracy > cell.one_by_one for cell in summary.certified)
    changes, (all_of_them, each) = next(iter(summary.by_changes.items()))
    assert all_of_them == [c.accuracy for c in summary.certified if c.changes == changes]
    assert each == [c.one_by_one for c in summary.certified if c.changes == changes]
    CollectiveSummary.of(together, Y, "lp", 5.0, progress=True)
    assert f"One attack ({changes})" in capfd.readouterr().err


@pytest.mark.parametrize("method", ["lp", "milp"])
def test_every_number_of_changed_entities_is_proved(method: AttackMethod) -> None:
    """Between the numbers of a table nothing is claimed that branching would not prove as well."""
    certificate = make_certificate(AblationNoise())
    certificate.simultaneous = True
    field = np.random.default_rng(0).random((30, 40)) < 0.15
    field[np.arange(30), np.arange(30)] = True
    together = CollectiveCertificate(certificate, field)
    summary = CollectiveSummary.of(together, Y, method, 5.0)
    relaxed = together.curve(Y, CHANGED_IN_ALL, method="lp")
    branched = together.curve(Y, CHANGED_IN_ALL, method="milp", time_limit=5.0)
    claimed = np.array([cell.accuracy for cell in summary.certified])
    assert (relaxed <= claimed + 1e-9).all() and (claimed <= branched + 1e-9).all()
    assert (np.diff(claimed) <= 0).all() and (relaxed < branched).any()
    if method == "milp":
        reported = summary.only(REPORTED_IN_ALL)
        assert reported.changed == [1, 2, 3, 5, 10, 20]
        at = np.array(reported.changed) - 1
        assert [cell.accuracy for cell in reported.certified] == pytest.approx(branched[at])


def test_in_words() -> None:
    cells = [
        CertifiedAccuracy(1, {}, 0.8, "nothing"),
        CertifiedAccuracy(1, {"deletions": 5}, 0.5, "5 deletions"),
    ]
    summary = Summary("s", 1_200, 0.8, 0.0, cells, None, None, alpha=0.01)
    told = (
        "Of 1,200 nodes, 80.0% are predicted correctly, and 50.0% provably stay correct under any "
        "5 deletions in the features of one node. "
    )
    assert summary.in_words() == f"{told}Each certificate holds with 99% confidence."
    with pytest.warns(DeprecationWarning, match="is called 'in_words' now"):
        assert summary.aloud() == summary.in_words()
    before = replace(summary, alpha=None)
    assert before.in_words() == f"{told}Each certificate holds with probability 1 - alpha."
    near = replace(summary, certified=[CertifiedAccuracy(1, {"eps": 0.5}, 0.5, "eps = 0.5")])
    assert "under any change by eps = 0.5 in the features of one node." in near.in_words()
    shares = [(1, 0.7), (10, 0.4), (20, 0.2)]
    together = [CollectiveAccuracy(r, {}, share, "anything", 0.0) for r, share in shares]
    cells = [CertifiedAccuracy(1, {}, 0.6, "anything")]
    collective = CollectiveSummary("lp", 1.0, together)
    exact = Summary("s", 9, 0.8, 0.0, cells, None, None, True, collective)
    assert exact.in_words() == (
        "Of 9 nodes, 80.0% are predicted correctly, and 60.0% provably stay correct under any "
        "change of the features of one node; 40.0% under any change of the features of any 10 "
        "nodes at once. This is deterministic, not statistical."
    )
    bare = Summary.unprotected(np.array([0, 1]), np.array([0, 0]))
    assert bare.in_words("graphs") == (
        "Of 2 graphs, 50.0% are predicted correctly; nothing is certified without noise."
    )


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("features", "any change of the features of one node"),
        ("messages", "any change of the features and edges of one other node"),
    ],
)
def test_words_say_whom_a_certificate_holds_against(of: str, words: str) -> None:
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(5), AblationNoise(of=of))
    certificate = certify_counts(transform, [[50, 0], [0, 50]])
    said = Summary.of(certificate, np.array([0, 1]), None, None).in_words()
    assert f"stay correct under {words}" in said


@pytest.mark.parametrize("noise", [AblationNoise(), SparseFlipNoise(0.05, 0.8)])
def test_sets_against_each_budget(noise: Noise) -> None:
    transform = HierarchicalNodeFeatureNoise(0.9, noise)
    approvals = 20 + np.arange(90).reshape(30, 3)
    approvals[np.arange(30), Y] = 460
    votes = np.tile([500, 0, 0], (30, 1))
    cal, test = (
        certify_votes(
            transform, votes, votes, index=index, approvals=approvals, approve=0.2, num_entities=50
        )
        for index in (np.arange(30), np.arange(30, 60))
    )
    sets = PredictionSets.calibrate(cal, Y, 0.8)
    summary = SetsSummary.of(sets, test, Y)
    assert (summary.nominal, summary.approve) == (0.8, 0.2)
    assert (summary.num_calibration, summary.num_classes) == (30, 3)
    assert summary.changed == list(range(11))
    assert summary.reported.changed == [0, 1, 2, 3, 5]
    assert "under any change of at most 1 node" in summary.statement
    assert "nothing" not in summary.by_changes and len(summary.by_changes) == (
        6 if noise.axes else 1
    )
    for cells in summary.by_changes.values():
        for cell in cells:
            assert cell.size == sets.size(test, cell.r, **cell.budget)
            assert cell.coverage == sets.coverage(test, Y, cell.r, **cell.budget)
            assert cell.singletons == sets.singletons(test, cell.r, **cell.budget)
