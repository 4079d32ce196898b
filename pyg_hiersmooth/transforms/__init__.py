r"""The transform that smooths a PyTorch Geometric pipeline."""

from pyg_hiersmooth.transforms.hierarchical_node_feature_noise import HierarchicalNodeFeatureNoise

__all__ = ["HierarchicalNodeFeatureNoise"]
