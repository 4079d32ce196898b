"""Prediction sets from the engine beside BinCP's rule on the same ballots: no larger.

BinCP smooths flatly, every row gets noise: so do these.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import GaussianNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from ..certificates.bincp import bincp_sets, least_flips
from .prototypes import Prototypes
from .test_sets_coverage import NODES, C, graph, world

FLIPS = SparseFlipNoise(0.01, 0.6)
BUDGETS = list(product((0, 1), range(4)))
r"""Additions and deletions."""


def flipped(add: int, delete: int) -> Callable[[float], float]:
    return lambda p: float(least_flips(Fraction(p), Fraction("0.01"), Fraction("0.6"), add, delete))


def flat(noise: Noise) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(1.0, noise, append_indicator=False)


def sizes_beside_bincp(
    certificates: tuple[Certificate, Certificate], y: np.ndarray, n: int
) -> list[float]:
    """Average sizes of the sets, budget after budget; none holds a class that BinCP leaves out."""
    calibration, test = certificates
    assert calibration.approvals is not None and test.approvals is not None
    sets, sizes = PredictionSets.calibrate(calibration, y, 0.9), []
    for add, delete in BUDGETS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some budgets are too large to say anything
            ours = sets.sets(test, add + delete, additions=add, deletions=delete)
        theirs = bincp_sets(calibration.approvals, y, test.approvals, n, flipped(add, delete))
        assert (ours <= theirs).all(), (add, delete)
        sizes.append(float(ours.sum(1).mean()))
    return sizes


def votes_of_a_small_world(noise: Noise, n: int) -> tuple[Certificate, Certificate, np.ndarray]:
    """Approvals of 300 calibration nodes and others, and the labels of the former."""
    x, y = world()
    model = Prototypes(C)
    model.sum.lin.weight.data = model.sum.lin.weight.data[:, :C].clone()
    certificate = SmoothedNodeClassifier(model, flat(noise), C).certify(
        graph(x),
        n0=1,
        n=n,
        node_index=NODES * torch.arange(600),
        approve=0.4,
        progress=False,
        num_workers=0,
    )
    rows = np.arange(600)
    return certificate.subset(rows[:300]), certificate.subset(rows[300:]), y[:300].numpy()


def test_flips_in_a_small_world() -> None:
    *certificates, y = votes_of_a_small_world(FLIPS, 400)
    sizes = sizes_beside_bincp((certificates[0], certificates[1]), y, 400)
    assert sizes == sorted(sizes[:4]) + sorted(sizes[4:])
    assert sizes[0] < 1.1 and sizes[1] < 2.0 and sizes[4] < 2.0


@pytest.mark.parametrize("eps", [0.0, 0.25, 0.5, 1.0])
def test_gaussian_noise_in_a_small_world(eps: float) -> None:
    calibration, test, y = votes_of_a_small_world(GaussianNoise(0.5), 400)
    normal = NormalDist()

    def worst(p: float) -> float:
        return normal.cdf(normal.inv_cdf(p) - eps / 0.5)

    assert calibration.approvals is not None and test.approvals is not None
    ours = PredictionSets.calibrate(calibration, y, 0.9).sets(test, NODES, eps=eps)
    assert (ours <= bincp_sets(calibration.approvals, y, test.approvals, 400, worst)).all()
    assert ours.sum(1).mean() < 1.5


@pytest.mark.slow
def test_flips_on_cora_ml(data_root: Path) -> None:
    """At all of the budgets that are reported: additions 0 and 1, deletions 0 to 3."""
    data, n = load_dataset("Cora_ML", data_root)[0], 300
    split = split_nodes(data.y, calibration=200)
    torch.manual_seed(0)
    model = GCN(data.num_features, 7)
    train_node_classifier(model, data, split, flat(FLIPS), lr=1e-2, max_epochs=60, progress=False)
    smoothed = SmoothedNodeClassifier(model, flat(FLIPS), 7)
    calibration, test = (
        smoothed.certify(
            data, n0=1, n=n, node_index=index, approve=0.1, progress=False, num_workers=0
        )
        for index in (split.calibration_index, split.test_index)
    )
    sizes = sizes_beside_bincp((calibration, test), data.y[split.calibration_index].numpy(), n)
    assert sizes[0] < 2.5 and sizes[1] < 3.5
