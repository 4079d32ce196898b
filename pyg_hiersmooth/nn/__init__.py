r"""Smoothed classifiers around any model."""

from pyg_hiersmooth.nn.node import SmoothedNodeClassifier

__all__ = ["SmoothedNodeClassifier"]
