from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.noise.base import Draw
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import Selection, as_selection
from pyg_hiersmooth.transforms.noise_mark import mark_noisy
from pyg_hiersmooth.transforms.selection_per_type import SelectionPerType
from pyg_hiersmooth.transforms.structure_ablation import ablated


@functional_transform("hierarchical_node_feature_noise")
class HierarchicalNodeFeatureNoise(BaseTransform):
    r"""Adds noise to the features of randomly selected nodes, as hierarchical randomized
    smoothing does (Scholten et al. 2023, Section 4)
    (functional name: :obj:`hierarchical_node_feature_noise`).

    For an indicator :math:`\tau` drawn by the selection, row :math:`i` becomes a draw of
    :math:`\mu(x_i)` where :math:`\tau_i = 1` and stays as it is elsewhere; :math:`\tau` is
    appended as the last column. Draws follow :func:`torch.manual_seed`, and differ between the
    workers and the epochs of a :class:`~torch_geometric.loader.DataLoader`. The input is never
    changed; dtype and device of the features are kept. The result is marked by an attribute
    ``carries_smoothing_noise``, so that it is not smoothed a second time. Sparse features stay
    sparse under :class:`~pyg_hiersmooth.noise.SparseFlipNoise`, and become dense under other
    noises.

    Under :class:`~pyg_hiersmooth.noise.AblationNoise` of ``"messages"`` or ``"nodes"`` features
    stay as they are, and selected nodes lose their edges or are removed, as
    :mod:`~pyg_hiersmooth.transforms.structure_ablation` says.

    Args:
        p (float, torch.Tensor, Selection or dict): Probability in :math:`(0, 1]` that a node is
            selected, one for all or one per node; or any
            :class:`~pyg_hiersmooth.selection.Selection`. For a
            :class:`~torch_geometric.data.HeteroData`, it holds for every node type with features,
            or, as a dictionary ``{node_type: p}``, for the types in it: others are left alone,
            without an indicator.
        noise (Noise): Noise of a selected row, from :mod:`pyg_hiersmooth.noise`.
        append_indicator (bool, optional): Whether :math:`\tau` becomes one more column of
            :obj:`x`, ``[N, D]`` to ``[N, D + 1]``. (default: :obj:`True`)

    Raises:
        TypeError: If :obj:`noise` is not a noise.
        ValueError: If :obj:`p` is out of range, or, when called, the features are missing or not
            what the noise is defined on, a node type is not in the graph, or the edges are in no
            form that can be ablated.

    Example:
        >>> transform = HierarchicalNodeFeatureNoise(0.81, SparseFlipNoise(0.05, 0.8))
        >>> noisy = transform(data)
    """

    def __init__(
        self,
        p: float | Tensor | Selection | Mapping[str, float | Tensor | Selection],
        noise: Noise,
        append_indicator: bool = True,
    ) -> None:
        if not isinstance(noise, Noise):
            raise TypeError(
                f"'noise' must be a Noise such as GaussianNoise(0.25) (got {type(noise).__name__})"
            )
        self.noise = noise
        self.append_indicator = append_indicator
        self.by_type: dict[str, Selection] | None = None
        self.selection: Selection
        if isinstance(p, Mapping):
            selections = SelectionPerType(p)
            self.by_type = selections.by_type
            (self.selection, *others) = self.by_type.values()
            if others:
                self.selection = selections
        else:
            self.selection = as_selection(p)

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        selected: dict[str, Tensor] = {}
        for selection, store in self._stores(data):
            self.check_features(store.x)
            stream = RandomStream.from_torch(store.x.device)
            tau = selection.sample_batch(_graph_sizes(store) or [store.x.size(0)], stream)
            if _is_sparse(store.x) and self.noise.keeps_sparse:
                noisy = self.noise.sample_sparse(store.x, tau, stream)
                store.x = self._sparse(store.x, noisy, tau)
            else:
                store.x = self.prepare_given(store.x)(tau, stream)
            selected[store._key] = tau
        mark_noisy(data)
        return ablated(data, selected if isinstance(data, HeteroData) else tau, self.noise.of)

    def node_types(self, data: HeteroData) -> list[str]:
        r"""The node types of a graph that get noise.

        Raises:
            ValueError: If one that :obj:`p` names is not in the graph or has no features, or no
                type has features.
        """
        with_features = [node_type for node_type in data.node_types if "x" in data[node_type]]
        for node_type in self.by_type or ():
            if node_type not in data.node_types:
                raise ValueError(
                    f"'p' names the node type '{node_type}', but the graph has {data.node_types}"
                )
            if node_type not in with_features:
                raise ValueError(
                    f"'p' names the node type '{node_type}', which has no features 'x'"
                )
        if not with_features:
            raise ValueError("data has no node features 'x' to add noise to")
        return with_features if self.by_type is None else list(self.by_type)

    def _stores(self, data: Data | HeteroData) -> Iterator[tuple[Selection, Any]]:
        if isinstance(data, HeteroData):
            for node_type in self.node_types(data):
                yield (self.by_type or {}).get(node_type, self.selection), data[node_type]
        elif self.by_type is not None:
            raise ValueError(
                f"'p' names the node types {list(self.by_type)}, but the graph is homogeneous"
            )
        elif "x" not in data:
            raise ValueError("data has no node features 'x' to add noise to")
        else:
            yield self.selection, data

    def smooth(self, x: Tensor, stream: RandomStream, sizes: list[int] | None = None) -> Tensor:
        r"""One draw of the smoothed features.

        Args:
            x (torch.Tensor): Features ``[N, D]``.
            stream (RandomStream): Source of the draw, on the device of :obj:`x`.
            sizes (list of int, optional): Nodes of each graph in a batch, which sum to ``N``.
                (default: one graph)

        Returns:
            torch.Tensor: Dense, ``[N, D + 1]`` with the indicator, ``[N, D]`` without.
        """
        return self.prepare(x, sizes)(stream)

    def prepare(
        self, x: Tensor, sizes: list[int] | None = None
    ) -> Callable[[RandomStream], Tensor]:
        r"""Prepares many draws of the same features; arguments and draws as in :meth:`smooth`.

        Raises:
            ValueError: If features are not all that the noise changes.
        """
        if self.noise.of != "features":
            raise ValueError(
                f"{self.noise} changes the graph's structure: features alone are no sample of it"
            )
        draw = self.prepare_given(x)

        def smooth(stream: RandomStream) -> Tensor:
            return draw(self.selection.sample_batch(sizes or [x.size(0)], stream), stream)

        return smooth

    def prepare_given(self, x: Tensor) -> Draw:
        r"""Prepares many draws of the same features given the indicator, bool ``[N]``, that was
        drawn from the same stream before; what they return is that of :meth:`smooth`.
        """
        if _is_sparse(x) and not self.noise.keeps_sparse:
            x = x.to_dense()
        draw = self.noise.prepare(x)

        def smooth(selected: Tensor, stream: RandomStream) -> Tensor:
            noisy = draw(selected, stream)
            if not self.append_indicator:
                return noisy.contiguous()
            return torch.cat([noisy, selected.view(-1, 1).to(noisy.dtype)], dim=1)

        return smooth

    def _sparse(self, x: Tensor, noisy: Tensor, selected: Tensor) -> Tensor:
        if self.append_indicator:
            indicator = selected.view(-1, 1).to(x.dtype).to_sparse_coo()
            noisy = torch.cat([noisy, indicator], dim=1)
        return noisy.coalesce() if x.layout == torch.sparse_coo else noisy.to_sparse_csr()

    def check_features(self, x: Tensor) -> None:
        r"""Checks that features can be smoothed.

        Raises:
            ValueError: If :obj:`x` is not ``[N, D]`` or not what the noise is defined on.
        """
        if not isinstance(x, Tensor) or x.dim() != 2:
            shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"features 'x' must be a matrix [num_nodes, D] (got {shape})")
        self.noise.check_features(x)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.by_type or self.selection}, {self.noise}, "
            f"append_indicator={self.append_indicator})"
        )


def _is_sparse(x: Tensor) -> bool:
    return x.layout != torch.strided


def _graph_sizes(store: object) -> list[int] | None:
    ptr = getattr(store, "ptr", None)
    return None if ptr is None else ptr.diff().tolist()
