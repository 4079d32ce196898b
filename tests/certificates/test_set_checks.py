from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import PredictionSets
from pyg_hiersmooth.certificates.approval import ApprovalChoice
from pyg_hiersmooth.datasets import NodeSplit
from pyg_hiersmooth.noise import (
    AblationNoise,
)
from pyg_hiersmooth.selection import (
    BernoulliSelection,
    PartitionSelection,
)

from .counted import N_SAMPLES, C, ballots, exact, sampled


def test_numbers_of_samples() -> None:
    counts, y = ballots(200, N_SAMPLES)
    taken = np.full(200, N_SAMPLES)
    taken[3] += 1
    smoothing = BernoulliSelection(0.9), AblationNoise()
    with pytest.raises(ValueError, match=r"equally many samples .*got 500 to 501"):
        PredictionSets.calibrate(sampled(counts, *smoothing, n=N_SAMPLES, num_samples=taken), y)
    stopped = sampled(counts, *smoothing, n=N_SAMPLES, num_samples=taken, n0=None)
    wide = PredictionSets.calibrate(stopped, y)
    fixed = PredictionSets.calibrate(sampled(counts, *smoothing, n=N_SAMPLES), y)
    assert wide.threshold() < fixed.threshold()  # type: ignore[operator]


def test_what_was_used_cannot_be_asked_about() -> None:
    counts, y = ballots(200, 100)
    split = NodeSplit(*(torch.arange(n, n + 50) for n in (300, 400, 500)), torch.arange(200))
    chosen = ApprovalChoice(0.1, np.arange(400, 450), ())
    sets = PredictionSets.calibrate(exact(counts), y, approval=chosen, split=split)
    some = counts[:20]
    assert sets.sets(exact(some, 510)).shape == (20, C)
    with pytest.raises(ValueError, match=r"other objects than calibration used .*10 .*as 190"):
        sets.sets(exact(some, 190))
    with pytest.raises(ValueError, match=r"than the choice of 'approve' used .*got 20"):
        sets.sets(exact(some, 410))
    with pytest.raises(ValueError, match=r"of the split's 'test_index'.*got 1 others.*550"):
        sets.sets(exact(some, 531))
    with pytest.raises(ValueError, match=r"other objects than 'approval' was chosen on"):
        near = ApprovalChoice(0.1, np.arange(199, 300), ())
        PredictionSets.calibrate(exact(counts), y, approval=near)
    with pytest.raises(ValueError, match=r"at approve=0.2, as chosen \(got approve=0.1\)"):
        PredictionSets.calibrate(exact(counts), y, approval=ApprovalChoice(0.2, chosen.index, ()))
    with pytest.raises(ValueError, match=r"of the split's 'calibration_index'.*got 1 others"):
        PredictionSets.calibrate(exact(counts, 1), y, split=split)
    with pytest.raises(ValueError, match="hold each calibration object once"):
        PredictionSets.calibrate(exact(counts, index=np.zeros(200, dtype=int)), y)


def test_other_votes_are_refused() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    with pytest.raises(ValueError, match="must have the smoothing of the calibration"):
        sets.sets(exact(counts, 500, PartitionSelection(10, 10, seed=1)))
    with pytest.raises(ValueError, match="must have the smoothing of the calibration"):
        sets.sets(exact(counts, 500, noise=AblationNoise(torch.ones(3))))
    with pytest.raises(ValueError, match=r"must hold exact votes, .*got sampled"):
        sets.sets(exact(counts, 500, largest_r=None))
    with pytest.raises(ValueError, match=r"with approve=0.1 \(got approve=0.2\)"):
        sets.sets(exact(counts, 500, approve=0.2))
    with pytest.raises(ValueError, match=r"about the 4 classes .*got 3"):
        sets.sets(exact(counts[:, :3], 500))
    papers = replace(exact(counts, 500), entities="nodes of type 'paper'")
    with pytest.raises(ValueError, match=r"about nodes, .*got nodes of type 'paper'"):
        sets.sets(papers)
    assert replace(sets, entities=None).sets(papers).any(), "of an earlier version"
    with pytest.raises(ValueError, match="must be the one of the calibration"):
        sets.calibration_size(exact(counts, 500))


def test_a_noise_that_cannot_be_compared_is_the_same_only_as_itself() -> None:
    class Own(AblationNoise):
        def __init__(self, secret: object) -> None:
            super().__init__()
            self._secret = secret

    counts, y = ballots(200, 100)
    own = Own(object())
    sets = PredictionSets.calibrate(exact(counts, noise=own), y)
    sets.sets(exact(counts, 500, noise=own))
    with pytest.raises(ValueError, match="must have the smoothing"):
        sets.sets(exact(counts, 500, noise=Own(own._secret)))
