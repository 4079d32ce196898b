r"""Trains classifiers on noisy graphs, so that smoothing them keeps their accuracy."""

from pyg_hiersmooth.training.fit import TrainingHistory
from pyg_hiersmooth.training.graph import train_graph_classifier
from pyg_hiersmooth.training.node import train_node_classifier

__all__ = ["TrainingHistory", "train_graph_classifier", "train_node_classifier"]
