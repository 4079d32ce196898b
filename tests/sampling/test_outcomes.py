from __future__ import annotations

import pytest
import torch

from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.outcomes import ListedOutcomes, draws_nothing
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

PARTITION = PartitionSelection(3, 2)


def test_sample_i_is_outcome_i_whatever_the_seed_and_the_shard() -> None:
    listed = ListedOutcomes(PARTITION)
    for i in range(PARTITION.num_masks):
        for path in ((i,), (4, i)):
            mask = listed.sample_batch([5, 4], RandomStream(7, *path))
            assert torch.equal(mask, PARTITION.mask(i, [5, 4]))
        assert torch.equal(listed.sample(5, RandomStream(0, i + 6)), PARTITION.mask(i, [5]))
    assert listed.num_outcomes(5) == 6
    assert listed.prob_all_selected(1, 5) == PARTITION.prob_all_selected(1, 5)


@pytest.mark.parametrize(
    ("selection", "noise", "expected"),
    [
        (PARTITION, AblationNoise(), True),
        (PARTITION, GaussianNoise(1.0), False),
        (BernoulliSelection(0.5), AblationNoise(), False),
    ],
)
def test_only_ablation_by_listed_masks_draws_nothing(
    selection: object, noise: object, expected: bool
) -> None:
    transform = HierarchicalNodeFeatureNoise(selection, noise)  # type: ignore[arg-type]
    assert draws_nothing(transform) is expected
