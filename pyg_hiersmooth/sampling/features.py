r"""Draws of smoothed features: dense, or already mapped by the first linear layers of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.noise.base import Draw
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.sampling.linear_maps import LinearMaps, linear_maps
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class FeatureSource(ABC):
    r"""Draws smoothed features of one fixed clean matrix.

    Attributes:
        description (str): How the features enter the model, and why.
    """

    description: str

    def __init__(
        self, transform: HierarchicalNodeFeatureNoise, x: Tensor, sizes: list[int]
    ) -> None:
        self.transform, self.x, self.sizes = transform, x, sizes

    def select(self, stream: RandomStream) -> Tensor:
        r"""The indicator, bool ``[N]``: the first that is drawn from a stream."""
        return self.transform.selection.sample_batch(self.sizes, stream)

    def draw(self, streams: Sequence[RandomStream], rows: Tensor | None = None) -> Tensor:
        r"""One draw from each stream, below each other: ``[len(streams) * N, D (+ 1)]``.

        Args:
            streams (list of RandomStream): The streams.
            rows (torch.Tensor, optional): The rows of each draw that are returned, in place of all
                :math:`N`, int64. (default: :obj:`None`)
        """
        selected = [self.select(stream) for stream in streams]
        kept = None if rows is None else [rows] * len(selected)
        return self.draw_given(selected, streams, kept)

    @abstractmethod
    def draw_given(
        self,
        selected: Sequence[Tensor],
        streams: Sequence[RandomStream],
        rows: Sequence[Tensor] | None = None,
    ) -> Tensor:
        r"""As :meth:`draw`, given the indicators that were drawn from the streams before, and the
        rows of each draw.
        """

    @abstractmethod
    def written_out(self, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""The draw of a stream, given its indicator, as a dense matrix ``[N, D (+ 1)]``."""


class DenseFeatures(FeatureSource):
    r"""Writes every draw out as a dense matrix, which suits any model."""

    def __init__(
        self,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        reason: str,
    ) -> None:
        super().__init__(transform, x, sizes)
        self._smooth, self.reason = transform.prepare_given(x), reason
        self.description = f"dense features ({reason})"

    def draw_given(
        self,
        selected: Sequence[Tensor],
        streams: Sequence[RandomStream],
        rows: Sequence[Tensor] | None = None,
    ) -> Tensor:
        return _below_each_other(list(map(self._smooth, selected, streams)), rows)

    def written_out(self, selected: Tensor, stream: RandomStream) -> Tensor:
        return self._smooth(selected, stream)


class ProjectedFeatures(FeatureSource):
    r"""Draws the noise behind the model's first linear maps, where it is cheap.

    Most GNNs touch their features first in ``x @ W``, and
    :math:`(X + S) W = X W + S W`: the clean part is computed once for all samples. Several maps
    of the same features get one joint draw.

    Args:
        transform, x, sizes, former: As of :func:`feature_source`.
        maps (LinearMaps): The maps.
    """

    def __init__(
        self,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        maps: LinearMaps,
        former: FeatureSource | None = None,
    ) -> None:
        super().__init__(transform, x, sizes)
        self.maps = maps
        weight, self.indicator = maps.matrix[: x.size(1)], maps.matrix[x.size(1) :]
        self._dense_draw: Draw | None = None
        hidden_draw: Draw | None
        if isinstance(former, ProjectedFeatures) and torch.equal(former.maps.matrix, maps.matrix):
            hidden_draw = former._hidden_draw
        else:
            hidden_draw = transform.noise.sample_projected(x, weight.contiguous())
        if hidden_draw is None:
            raise NotLinearError(f"{type(transform.noise).__name__} has no shortcut")
        self._hidden_draw: Draw = hidden_draw
        layers = "layer" if len(maps) == 1 else f"layers ({len(maps)})"
        self.description = f"noise drawn behind the first linear {layers}"

    def draw_given(
        self,
        selected: Sequence[Tensor],
        streams: Sequence[RandomStream],
        rows: Sequence[Tensor] | None = None,
    ) -> Tensor:
        draws = list(map(self._draw, selected, streams))
        return self.maps.stand_in(_below_each_other(draws, rows))

    def written_out(self, selected: Tensor, stream: RandomStream) -> Tensor:
        x = self.x if self.x.layout == torch.strided else self.x.to_dense()
        if self._dense_draw is None:
            weight = self.maps.matrix[: x.size(1)].contiguous()
            self._dense_draw = self.transform.noise.sample_unprojected(x, weight)
        noisy = self._dense_draw(selected, stream)
        if not self.transform.append_indicator:
            return noisy
        return torch.cat([noisy, selected.view(-1, 1).to(noisy.dtype)], dim=1)

    def mapped(self, features: Tensor) -> Tensor:
        r"""What the model gets in place of given features ``[N, D (+ 1)]``."""
        return self.maps.stand_in(self.maps.products(features))

    def _draw(self, selected: Tensor, stream: RandomStream) -> Tensor:
        hidden = self._hidden_draw(selected, stream)
        if self.transform.append_indicator:
            hidden.addcmul_(selected.view(-1, 1).to(hidden.dtype), self.indicator)
        return hidden


def _below_each_other(draws: list[Tensor], rows: Sequence[Tensor] | None) -> Tensor:
    if rows is not None:
        draws = [draw.index_select(0, own) for draw, own in zip(draws, rows, strict=True)]
    return torch.cat(draws) if len(draws) > 1 else draws[0]


def feature_source(
    transform: HierarchicalNodeFeatureNoise,
    x: Tensor,
    sizes: list[int],
    run: Callable[[Tensor], Any],
    former: FeatureSource | None = None,
) -> FeatureSource:
    r"""The cheapest exact source of smoothed features that a model accepts.

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        x (torch.Tensor): Clean features ``[N, D]``.
        sizes (list of int): Entities of each object.
        run (Callable): Calls the model on features of one draw.
        former (FeatureSource, optional): The source for another copy of the model, whose
            preparations it takes over where the weights are the same.
    """
    if not x.is_floating_point():
        return DenseFeatures(transform, x, sizes, f"{x.dtype} features")
    num_columns = x.size(1) + int(transform.append_indicator)
    like = torch.empty(0, dtype=x.dtype, device=x.device)
    try:
        maps = linear_maps(run, (x.size(0), num_columns), like)
    except NotLinearError as use:
        return DenseFeatures(transform, x, sizes, f"the model uses them in '{use}'")
    try:
        with torch.no_grad():
            return ProjectedFeatures(transform, x, sizes, maps, former)
    except NotLinearError as error:
        return DenseFeatures(transform, x, sizes, str(error))
