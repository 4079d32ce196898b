r"""The Monte Carlo engine: noisy features, workers and checkpoints."""

from pyg_hiersmooth.sampling.engine import Voter, sample_votes

__all__ = ["Voter", "sample_votes"]
