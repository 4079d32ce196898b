r"""The smoothing that settings describe, of nodes, of edges, or of both."""

from __future__ import annotations

from torch_geometric.transforms import Compose

from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.experiment.setting_parts import EdgesSettings, SmoothingSettings
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.nn.smoothed_classifier import Transform
from pyg_hiersmooth.noise import NOISES, Noise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise


def build_smoothing(settings: SmoothingSettings, seed: int = 0) -> HierarchicalNodeFeatureNoise:
    r"""The smoothing that settings with a noise of nodes describe; partitions come from the
    seed.
    """
    selection: Selection
    if settings.selection == "partition":
        groups, partitions = settings.own("selection").values()
        selection = PartitionSelection(groups, partitions, seed)
    else:
        selection = BernoulliSelection(**settings.own("selection"))
    own = settings.own("noise")
    noise = NOISES[settings.noise](**{"of" if k == "ablate" else k: v for k, v in own.items()})
    return HierarchicalNodeFeatureNoise(selection, noise, settings.indicator)


def build_nodes(settings: SmoothingSettings, seed: int = 0) -> HierarchicalNodeFeatureNoise | None:
    r"""As :func:`build_smoothing`; :obj:`None` where nodes get no noise."""
    return None if settings.noise == "none" else build_smoothing(settings, seed)


def build_edges(settings: EdgesSettings | None, seed: int = 0) -> HierarchicalEdgeNoise | None:
    r"""The noise of edges that settings describe, if there is any; partitions come from the
    seed.
    """
    if settings is None:
        return None
    p: float | PartitionSelection | None = settings.edges_p
    if p is None:
        groups, partitions = settings.edges_groups or 0, settings.edges_partitions or 0
        p = PartitionSelection(groups, partitions, seed)
    given = (settings.edges_p_plus, settings.edges_p_minus)
    parameters = (each for each in given if each is not None)
    return HierarchicalEdgeNoise(p, NOISES[settings.edges](*parameters), not settings.directed)


def build_transform(settings: Settings) -> Transform:
    r"""All noise that settings describe.

    Raises:
        ValueError: If there is none.
    """
    nodes = build_nodes(settings.smoothing, settings.seed)
    return composed(nodes, build_edges(settings.pairs, settings.seed))


def composed(
    nodes: HierarchicalNodeFeatureNoise | None, edges: HierarchicalEdgeNoise | None
) -> Transform:
    r"""The noise of nodes and that of edges as one transform.

    Raises:
        ValueError: If there is none.
    """
    if edges is None:
        return _some(nodes)
    return edges if nodes is None else Compose([nodes, edges])


def certified_as(
    nodes: HierarchicalNodeFeatureNoise | None, edges: HierarchicalEdgeNoise | None
) -> Smoothing:
    r"""What certificates for both are made with.

    Raises:
        ValueError: If there is no noise.
    """
    return _some(nodes) if edges is None else EdgeSmoothing(edges, nodes)


def certified_noise(smoothing: SmoothingSettings, pairs: EdgesSettings | None) -> Noise:
    r"""The noise that certificates for these settings are about.

    Raises:
        ValueError: If there is none.
    """
    return certified_as(build_nodes(smoothing), build_edges(pairs)).noise


def _some(nodes: HierarchicalNodeFeatureNoise | None) -> HierarchicalNodeFeatureNoise:
    if nodes is None:
        raise ValueError("neither nodes nor edges get noise")
    return nodes


def shows_indicator(transform: Transform | None) -> bool:
    r"""Whether a model sees which nodes are selected, as one more feature."""
    return any(getattr(part, "append_indicator", False) for part in parts(transform))


def training_noise(transform: Transform | None) -> Transform | None:
    r"""The noise to train under: where a smoothing leaves out one of :math:`T` groups, every node
    or pair is selected by itself, with the same probability :math:`1 - 1/T`.
    """
    alike = [_independent(part) for part in parts(transform)]
    return Compose(alike) if isinstance(transform, Compose) else next(iter(alike), None)


def parts(
    transform: Transform | None,
) -> list[HierarchicalNodeFeatureNoise | HierarchicalEdgeNoise]:
    r"""The noises of a transform."""
    if transform is None:
        return []
    return list(transform.transforms) if isinstance(transform, Compose) else [transform]


def _independent(
    noise: HierarchicalNodeFeatureNoise | HierarchicalEdgeNoise,
) -> HierarchicalNodeFeatureNoise | HierarchicalEdgeNoise:
    if not isinstance(noise.selection, PartitionSelection):
        return noise
    p = 1.0 - 1.0 / noise.selection.num_groups
    if isinstance(noise, HierarchicalEdgeNoise):
        return HierarchicalEdgeNoise(p, noise.noise, noise.undirected)
    return HierarchicalNodeFeatureNoise(p, noise.noise, noise.append_indicator)
