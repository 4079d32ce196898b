"""Coverage of prediction sets from the engine, clean and under the strongest of many attacks.

Many small graphs are the components of a large one, so that one pass attacks each of them on its
own. Every run has its own components, drawn at random: a run either covers its test node or not,
independently of all others, and correct sets fail with a stated probability at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .prototypes import Prototypes

RUNS, NUM = 40, 39  # floor(0.09 * 40) = 3
NODES, C = 2, 3
TARGETS = RUNS * (NUM + 1)
FALSE_ALARM = 1e-6

SMOOTHINGS: list[tuple[float, Noise, dict[str, float]]] = [
    (0.9, SparseFlipNoise(0.05, 0.6), {"deletions": 1}),
    (0.9, GaussianNoise(0.5), {"eps": 0.7}),
    (0.2, AblationNoise(), {}),
]


def one_hot(y: Tensor) -> Tensor:
    return nn.functional.one_hot(y % C, C).float()


def graph(x: Tensor) -> Data:
    """Components of a target and a neighbor, features ``[targets, 2, C]``."""
    target = NODES * torch.arange(TARGETS)
    edges = torch.stack([target, target + 1])
    return Data(x=x.reshape(-1, C), edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def world() -> tuple[Tensor, Tensor]:
    """Features that nearly always tell the label, and labels."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, C, (TARGETS,), generator=generator)
    told = torch.where(one_hot(y).bool(), 0.997, 0.003)[:, None]
    return (torch.rand(TARGETS, NODES, C, generator=generator) < told).float(), y


def attacks(x: Tensor, y: Tensor, noise: Noise, budget: dict[str, float]) -> Iterator[Tensor]:
    """The features with one row of each component changed, in all ways that could be the worst."""
    for node, rival in product(range(NODES), range(1, C)):
        changed, right, wrong = x.clone(), one_hot(y), one_hot(y + rival)
        if isinstance(noise, SparseFlipNoise):
            changed[:, node] = torch.where(right.bool(), 0.0, x[:, node])
        elif isinstance(noise, GaussianNoise):
            changed[:, node] += budget["eps"] * (wrong - right) / 2**0.5
        else:
            changed[:, node] = 9.0 * wrong
        yield changed


def votes(smoothed: SmoothedNodeClassifier, data: Data, seed: int, n: int = 400) -> Certificate:
    """Approvals of the targets."""
    return smoothed.certify(
        data,
        n0=1,
        n=n,
        seed=seed,
        node_index=NODES * torch.arange(TARGETS),
        approve=0.4,
        progress=False,
        num_workers=0,
    )


def check_coverage(clean: Certificate, after: Certificate, y: Tensor, **budget: Any) -> None:
    """Each run calibrates on its own clean targets, and asks about the last one."""
    covered, sizes, labels = np.zeros(3, dtype=int), [], y.numpy()
    for run in np.arange(TARGETS).reshape(RUNS, NUM + 1):
        calibration, test = run[:NUM], run[NUM:]
        sets = PredictionSets.calibrate(clean.subset(calibration), labels[calibration], 0.9)
        plain = sets.sets(clean.subset(test))
        robust = sets.sets(after.subset(test), 1, **budget)
        unsafe = sets.sets(after.subset(test))
        covered += [int(each[0, labels[test[0]]]) for each in (plain, robust, unsafe)]
        sizes.append(robust.sum())
    least = binom.ppf(FALSE_ALARM, RUNS, 0.9)
    assert (covered[:2] >= least).all()
    assert covered[2] < least, "attacks that sets without a margin do not withstand"
    assert np.mean(sizes) < 0.9 * C, "sets that say something"


@pytest.mark.one_in(3)
@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize(("p", "noise", "budget"), SMOOTHINGS, ids=str)
def test_coverage_is_nominal_whatever_was_tried(
    p: float, noise: Noise, budget: dict[str, float]
) -> None:
    """Fails for correct sets with probability 2e-6 at most, were the seeds not fixed."""
    x, y = world()
    smoothed = SmoothedNodeClassifier(Prototypes(C), HierarchicalNodeFeatureNoise(p, noise), C)

    def left(features: Tensor) -> np.ndarray:
        """In how many samples, other than those of the sets, the right class is approved."""
        found = votes(smoothed, graph(features), seed=1, n=100).approvals
        return found[np.arange(TARGETS), y]  # type: ignore[index]

    clean, tried = votes(smoothed, graph(x), 0), torch.stack(list(attacks(x, y, noise, budget)))
    worst = np.argmin([left(features) for features in tried], axis=0)
    after = votes(smoothed, graph(tried[worst, torch.arange(TARGETS)]), 2)
    check_coverage(clean, after, y, **budget)


@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize("only", [None, "new_nodes"])
def test_coverage_is_nominal_beside_new_nodes(only: str | None) -> None:
    """A node is added to each component, and shouts at both others; as above, 2e-6."""
    x, y = world()
    transform = HierarchicalNodeFeatureNoise(0.2, AblationNoise(of="messages"))
    smoothed = SmoothedNodeClassifier(Prototypes(C), transform, C)
    data = graph(x)
    clean = votes(smoothed, data, 0)
    new, old = NODES * TARGETS + torch.arange(TARGETS), NODES * torch.arange(TARGETS)
    added = [torch.stack([new, old + i]) for i in range(NODES)]
    data.edge_index = torch.cat([data.edge_index, *added], dim=1)
    data.x = torch.cat([data.x, 9.0 * one_hot(y + 1)])
    check_coverage(clean, votes(smoothed, data, 2), y, **{"only": only} if only else {})
