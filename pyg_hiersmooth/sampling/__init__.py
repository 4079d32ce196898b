r"""The Monte Carlo engine: noisy features, workers, ranks and checkpoints."""

from pyg_hiersmooth.sampling.engine import Voter, audited_samples, sample_votes
from pyg_hiersmooth.sampling.ranks import Ranks, current_ranks, process_group

__all__ = ["Ranks", "Voter", "audited_samples", "current_ranks", "process_group", "sample_votes"]
