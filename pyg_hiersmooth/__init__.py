r"""Hierarchical randomized smoothing for PyTorch Geometric."""

__version__ = "0.1.0"
