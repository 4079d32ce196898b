r"""Hierarchical randomized smoothing for PyTorch Geometric."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "certificates": ("Certificate", "CollectiveCertificate", "certify_votes"),
    "datasets": ("CitationSBM", "NodeSplit", "load_dataset", "split_nodes"),
    "errors": ("AuditError", "ImpureModelError", "NotCertifiableError", "Problem"),
    "nn": ("SmoothedGraphClassifier", "SmoothedImageClassifier", "SmoothedNodeClassifier"),
    "noise": ("AblationNoise", "GaussianNoise", "LaplaceNoise", "SparseFlipNoise", "UniformNoise"),
    "selection": ("BernoulliSelection", "FixedSizeSelection", "PartitionSelection"),
    "training": ("train_graph_classifier", "train_node_classifier"),
    "transforms": ("HierarchicalEdgeNoise", "HierarchicalNodeFeatureNoise"),
}
_EXPORTS = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that importing the package waits for nothing.
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
