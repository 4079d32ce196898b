r"""The transforms that smooth a PyTorch Geometric pipeline."""

from pyg_hiersmooth.transforms.hierarchical_edge_noise import HierarchicalEdgeNoise
from pyg_hiersmooth.transforms.hierarchical_node_feature_noise import HierarchicalNodeFeatureNoise

__all__ = ["HierarchicalEdgeNoise", "HierarchicalNodeFeatureNoise"]
