from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    Certificate,
    certify_counts,
)
from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy, CollectiveAccuracy
from pyg_hiersmooth.experiment.collective_summary import (
    CollectiveSummary,
)
from pyg_hiersmooth.experiment.summary import Summary
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise, UniformNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

MakeCertificate = Callable[[Noise], Certificate]

Y = np.arange(30) % 3


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
    make_certificate: MakeCertificate, noise: Noise, num_cells: int, budgets: set[str]
) -> None:
    certificate = make_certificate(noise)
    summary = Summary.of(certificate, Y, "dense features", 0.25)
    assert len(summary.certified) == num_cells
    for cell in summary.certified:
        assert set(cell.budget) == budgets
        assert cell.changes == noise.describe(**cell.budget)
        assert cell.accuracy == certificate.certified_accuracy(Y, cell.r, **cell.budget)
    assert any(cell.accuracy > 0 for cell in summary.certified)


def test_the_rest_of_it(
    make_certificate: MakeCertificate,
) -> None:
    summary = Summary.of(make_certificate(GaussianNoise(0.5)), Y, "dense features", 0.25)
    assert summary.smoothing == "BernoulliSelection(p=0.9), GaussianNoise(std=0.5)"
    assert (summary.num_nodes, summary.accuracy) == (30, pytest.approx(23 / 30))
    assert summary.abstained == pytest.approx(1 / 30)
    assert (summary.feature_path, summary.seconds_per_sample) == ("dense features", 0.25)


def test_nothing_is_certified_without_noise() -> None:
    summary = Summary.unprotected(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    expected = Summary("no smoothing", 4, 0.75, 0.0, [], None, None, majority=0.75)
    assert summary == expected


def test_exact_certificates_say_so(
    make_certificate: MakeCertificate,
) -> None:
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(10, 2), AblationNoise())
    exact = Summary.of(certify_counts(transform, [[20, 0, 0]] * 30), Y, None, None)
    assert exact.exact and exact.smoothing.endswith("AblationNoise(), exact")
    sampled = Summary.of(make_certificate(AblationNoise()), Y, None, None)
    assert not sampled.exact and "exact" not in sampled.smoothing


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
