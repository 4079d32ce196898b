r"""One graph under fresh noise at every call, drawn behind the model's first linear maps where
gradients can follow it there.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch_geometric.data import Data

from pyg_hiersmooth.noise.base import Draw
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.features import ProjectedFeatures
from pyg_hiersmooth.sampling.generators import generators_put_back
from pyg_hiersmooth.sampling.linear_input import (
    LinearMap,
    NotLinearError,
    find_linear_maps,
    not_swallowed,
)
from pyg_hiersmooth.sampling.linear_maps import LinearMaps
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise
from pyg_hiersmooth.transforms.structure_ablation import ablated

SPARSE = 0.1
r"""Below this share of nonzero features, products with them are quicker on a sparse copy."""

Logits = Callable[[Data], Tensor]


class NoisyGraph:
    r"""The logits of a model on a graph under fresh noise.

    Where the model reads its features through linear maps alone, and the noise has a way behind
    them that is differentiable, :math:`X W` is computed once for all draws of a step. Where
    messages are ablated, every draw loses the edges that leave its selected nodes.

    Args:
        graph (Data): The clean graph.
        transform (callable, optional): What adds noise to it; without one it stays as it is.
        model (torch.nn.Module): The model.
        logits (Callable): Calls the model on a graph.

    Raises:
        ValueError: If :obj:`transform` removes nodes.
    """

    def __init__(
        self,
        graph: Data,
        transform: Callable[[Any], Any] | None,
        model: torch.nn.Module,
        logits: Logits,
    ) -> None:
        self.graph, self.model, self._call = graph, model, logits
        self._draw = self._dense_draws(transform)
        self._maps: list[LinearMap] | None = []
        if _has_way_behind(transform, graph.x):
            self._transform, self._maps = transform, None  # found at the first call
            self._width = graph.x.size(1) + int(transform.append_indicator)
            self._x = _sparse(graph.x)

    def logits(self, num_draws: int = 1) -> list[Tensor]:
        r"""Logits ``[N, C]`` under each of several draws."""
        if self._maps is None:
            self._maps = self._find_maps()
        if self._maps:
            try:
                return self._logits_of_products(self._maps, num_draws)
            except NotLinearError:  # the model took another way than when it was tried
                self._maps = []
        return [self._call(self._draw()) for _ in range(num_draws)]

    def _logits_of_products(self, maps: list[LinearMap], num_draws: int) -> list[Tensor]:
        source = self._source(maps)
        draw = self._draws(
            self._transform, lambda selected, stream: source.draw_given([selected], [stream])
        )
        with not_swallowed():
            return [self._call(draw()) for _ in range(num_draws)]

    def _source(self, maps: list[LinearMap]) -> ProjectedFeatures:
        num_nodes = self._x.size(0)
        together = LinearMaps(maps, self._width)
        return ProjectedFeatures(self._transform, self._x, [num_nodes], together)

    def _find_maps(self) -> list[LinearMap]:
        r"""The linear maps, if the model reads features through them alone and answers the same."""
        if any(is_lazy(parameter) for parameter in self.model.parameters()):
            return []
        kept, was_training = copy.deepcopy(self.model.state_dict()), self.model.training
        x = self.graph.x
        try:
            with generators_put_back(x.device), torch.no_grad():
                shape = x.size(0), self._width
                maps = find_linear_maps(lambda x: self._call(self._with(x)), shape, x[:0])
                self.model.eval()
                return maps if self._agrees(maps) else []
        except NotLinearError:
            return []
        finally:
            self.model.load_state_dict(kept)
            self.model.train(was_training)

    def _agrees(self, maps: list[LinearMap]) -> bool:
        noisy = self._draw()
        try:
            with not_swallowed():
                mapped = self._source(maps).mapped(noisy.x)
                behind = self._call(self._with(mapped, noisy))
        except NotLinearError:
            return False
        return torch.allclose(behind, self._call(noisy), rtol=1e-3, atol=1e-4)

    def _dense_draws(self, transform: Callable[[Any], Any] | None) -> Callable[[], Data]:
        if transform is None:
            return lambda: self.graph
        if isinstance(transform, HierarchicalEdgeNoise):
            noisy = transform.prepare(self.graph)
            return lambda: noisy.draw(RandomStream.from_torch(noisy.device))
        if not isinstance(transform, HierarchicalNodeFeatureNoise):
            return lambda: transform(copy.copy(self.graph))
        if transform.noise.of == "nodes":
            raise ValueError(
                f"'transform' must keep the nodes that are trained on: {transform.noise} is "
                "for graph classifiers; ablate 'messages' here"
            )
        transform.check_features(self.graph.x)
        return self._draws(transform, transform.prepare_given(self.graph.x))

    def _draws(self, transform: HierarchicalNodeFeatureNoise, draw: Draw) -> Callable[[], Data]:
        r"""Draws of the graph: of its features as they are drawn given an indicator, and of its
        structure.
        """

        def noisy() -> Data:
            stream = RandomStream.from_torch(self.graph.x.device)
            selected = transform.selection.sample_batch([self.graph.x.size(0)], stream)
            structure = ablated(self.graph, selected, transform.noise.of)
            return self._with(draw(selected, stream), structure)

        return noisy

    def _with(self, x: Tensor, structure: Data | None = None) -> Data:
        noisy = copy.copy(self.graph if structure is None else structure)
        noisy.x = x
        return noisy


def _has_way_behind(transform: Any, x: Any) -> TypeGuard[HierarchicalNodeFeatureNoise]:
    return (
        isinstance(transform, HierarchicalNodeFeatureNoise)
        and transform.noise.differentiable_when_projected
        and x.is_floating_point()
        and x.layout == torch.strided
    )


def _sparse(x: Tensor) -> Tensor:
    r"""Features in the layout in which products with weights are fastest."""
    if x.device.type == "cpu" and x.count_nonzero() < SPARSE * x.numel():
        with warnings.catch_warnings():  # PyTorch calls the layout a beta version
            warnings.simplefilter("ignore")
            return x.to_sparse_csr()
    return x
