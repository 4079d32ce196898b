from __future__ import annotations

import torch

from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


def test_outcomes_are_listed_where_they_are_asked_for() -> None:
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(3, 1), AblationNoise())
    assert VoterOptions(seed=0).smoothing(transform) is transform
    listed = VoterOptions(seed=0, enumerate_outcomes=True).smoothing(transform)
    assert listed.noise is transform.noise and listed.append_indicator
    drawn = [listed.selection.sample_batch([5], RandomStream(0, i)) for i in range(3)]
    # Each entity is kept in one of the groups, and selected in the others.
    assert torch.equal(torch.stack(drawn).sum(0), torch.full((5,), 2))
