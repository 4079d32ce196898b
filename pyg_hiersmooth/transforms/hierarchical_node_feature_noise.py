from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import Selection, as_selection


@functional_transform("hierarchical_node_feature_noise")
class HierarchicalNodeFeatureNoise(BaseTransform):
    r"""Adds noise to the features of randomly selected nodes, as hierarchical randomized
    smoothing does (Scholten et al. 2023, Section 4)
    (functional name: :obj:`hierarchical_node_feature_noise`).

    For an indicator :math:`\tau` drawn by the selection, row :math:`i` becomes a draw of
    :math:`\mu(x_i)` where :math:`\tau_i = 1` and stays as it is elsewhere; :math:`\tau` is
    appended as the last column. Draws follow :func:`torch.manual_seed`, and differ between the
    workers and the epochs of a :class:`~torch_geometric.loader.DataLoader`. The input is never
    changed; dtype and device of the features are kept.

    Args:
        p (float, torch.Tensor or Selection): Probability in :math:`(0, 1]` that a node is
            selected, one for all or one a node; or any
            :class:`~pyg_hiersmooth.selection.Selection`.
        noise (Noise): Noise of a selected row, from :mod:`pyg_hiersmooth.noise`.
        append_indicator (bool, optional): Whether :math:`\tau` becomes one more column of
            :obj:`x`, ``[N, D]`` to ``[N, D + 1]``. (default: :obj:`True`)

    Raises:
        TypeError: If :obj:`noise` is not a noise.
        ValueError: If :obj:`p` is out of range, or, when called, the features are missing or not
            what the noise is defined on.

    Example:
        >>> transform = HierarchicalNodeFeatureNoise(0.81, SparseFlipNoise(0.05, 0.8))
        >>> noisy = transform(data)
    """

    def __init__(
        self,
        p: float | Tensor | Selection,
        noise: Noise,
        append_indicator: bool = True,
    ) -> None:
        if not isinstance(noise, Noise):
            raise TypeError(
                f"'noise' must be a Noise such as GaussianNoise(0.25) (got {type(noise).__name__})"
            )
        self.selection = as_selection(p)
        self.noise = noise
        self.append_indicator = append_indicator

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        stores = [store for store in data.node_stores if "x" in store]
        if not stores:
            raise ValueError("data has no node features 'x' to add noise to")
        for store in stores:
            self.check_features(store.x)
            stream = RandomStream.from_torch(store.x.device)
            store.x = self.smooth(store.x, stream, _graph_sizes(store))
        return data

    def smooth(self, x: Tensor, stream: RandomStream, sizes: list[int] | None = None) -> Tensor:
        r"""One draw of the smoothed features.

        Args:
            x (torch.Tensor): Features ``[N, D]``.
            stream (RandomStream): Source of the draw, on the device of :obj:`x`.
            sizes (list of int, optional): Nodes of each graph in a batch, which sum to ``N``.
                (default: one graph)

        Returns:
            torch.Tensor: ``[N, D + 1]`` with the indicator, ``[N, D]`` without.
        """
        return self.prepare(x, sizes)(stream)

    def prepare(
        self, x: Tensor, sizes: list[int] | None = None
    ) -> Callable[[RandomStream], Tensor]:
        r"""Prepares many draws of the same features; arguments and draws as in :meth:`smooth`."""
        draw = self.noise.prepare(x)

        def smooth(stream: RandomStream) -> Tensor:
            selected = self.selection.sample_batch(sizes or [x.size(0)], stream)
            noisy = draw(selected, stream)
            if not self.append_indicator:
                return noisy
            return torch.cat([noisy, selected.view(-1, 1).to(noisy.dtype)], dim=1)

        return smooth

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
            f"{self.__class__.__name__}({self.selection}, {self.noise}, "
            f"append_indicator={self.append_indicator})"
        )


def _graph_sizes(store: object) -> list[int] | None:
    ptr = getattr(store, "ptr", None)
    return None if ptr is None else ptr.diff().tolist()
