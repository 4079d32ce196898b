r"""Smoothed classifiers around any model."""

from pyg_hiersmooth.nn.graph import SmoothedGraphClassifier
from pyg_hiersmooth.nn.image import SmoothedImageClassifier
from pyg_hiersmooth.nn.node import SmoothedNodeClassifier

__all__ = ["SmoothedGraphClassifier", "SmoothedImageClassifier", "SmoothedNodeClassifier"]
