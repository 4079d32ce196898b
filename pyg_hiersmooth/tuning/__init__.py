r"""Searches for the smoothing that certifies the most against an adversary."""

from pyg_hiersmooth.tuning.tune import TunedSmoothing, tune_smoothing

__all__ = ["TunedSmoothing", "tune_smoothing"]
