from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.model_call import call_model, names_taken
from pyg_hiersmooth.sampling.outcomes import draws_nothing
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise

UNREAD = ("adj_t", "edge_weight", "edge_attr", "edge_type", "ptr")
r"""What a model may be told of edges, and an added edge would lack; or of several graphs."""


class AttackedModel:
    r"""The model inside a smoothed node classifier, on its own: a frozen copy that is called on
    ``x`` and ``edge_index``.

    Args:
        smoothed (SmoothedNodeClassifier): The smoothed classifier.

    Attributes:
        smoothed (SmoothedNodeClassifier): As given.
        exact (bool): Whether its votes are enumerated.

    Raises:
        TypeError: If :obj:`smoothed` classifies no nodes.
        ValueError: If it has something that no attack here knows about.
    """

    def __init__(self, smoothed: SmoothedNodeClassifier) -> None:
        if not isinstance(smoothed, SmoothedNodeClassifier):
            raise TypeError(
                f"'smoothed' must be a SmoothedNodeClassifier (got {type(smoothed).__name__})"
            )
        for has, what in (
            (smoothed.before is not None, "transforms before the noise: apply them to 'data'"),
            (smoothed.node_type is not None, "node types: attacks are for homogeneous graphs"),
            (bool(smoothed.keep), "attributes to 'keep', which an added node or edge lacks"),
            (
                smoothed.smoothing.noise.of == "nodes and edges",
                "noise on nodes and on edges: attack a classifier with one of them",
            ),
        ):
            if has:
                raise ValueError(f"'smoothed' must have no {what}")
        self.smoothed = smoothed
        self.exact = draws_nothing(smoothed.smoothing)
        self._model = copy.deepcopy(smoothed.model).eval().requires_grad_(False)
        self._call = smoothed._call

    @property
    def edges(self) -> HierarchicalEdgeNoise:
        r"""The noise of edges.

        Raises:
            ValueError: If edges get none.
        """
        if self.smoothed.edges is None:
            raise ValueError(f"edges get no noise (got {self.smoothed.smoothing.noise})")
        return self.smoothed.edges

    @property
    def takes_weights(self) -> bool:
        r"""Whether the model can be told how much an edge counts."""
        return self._call is None and "edge_weight" in names_taken(self._model)

    def __call__(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        r"""Logits ``[N, C]`` for what the model sees of features, ``[N, D]`` or ``[N, D + 1]``."""
        graph = Data(edge_index=edge_index, num_nodes=len(x))
        if edge_weight is not None:
            graph.edge_weight = edge_weight
        return (self._call or call_model)(self._model, x, graph)

    def unselected(self, x: Tensor) -> Tensor:
        r"""What the model sees of features where no node is selected."""
        return F.pad(x, (0, int(self.smoothed.transform.append_indicator)))

    def graph(self, data: Any) -> Data:
        r"""What is attacked of the data: ``x`` and ``edge_index``, on the model's device.

        Raises:
            TypeError: If :obj:`data` is no ``Data``.
            ValueError: If it lacks one of them, has edges in another form or with attributes, or is
                a batch.
        """
        if not isinstance(data, Data):
            raise TypeError(f"'data' must be a Data (got {type(data).__name__})")
        if "x" not in data or "edge_index" not in data:
            raise ValueError("'data' must have 'x' and 'edge_index' (got a graph without)")
        for name in UNREAD:
            if name in data:
                raise ValueError(
                    f"'data' must be one graph, with edges in 'edge_index' alone (got {name!r})"
                )
        device, x = self.smoothed.device, data.x
        x = x if x.layout == torch.strided else x.to_dense()
        x = x if x.is_floating_point() else x.float()
        return Data(x=x.to(device), edge_index=data.edge_index.to(device))
