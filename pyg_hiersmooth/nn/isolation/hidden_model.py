r"""A model behind its first linear maps: all that it can know of its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.sampling.linear_input import (
    LinearInput,
    LinearMap,
    NotLinearError,
    not_swallowed,
)
from pyg_hiersmooth.sampling.linear_maps import LinearMaps, linear_maps


@dataclass(frozen=True)
class HiddenModel:
    r"""Logits of a model for products ``[N, H]`` of features with its first linear maps, in the
    place of the features, of which it reads nothing else.

    Probes of these products try a model as probes of the features do, without the cost of the
    maps. Any other use of the features is a
    :class:`~pyg_hiersmooth.sampling.linear_input.NotLinearError`.

    Args:
        prepared (IsolatedModel): The model.
        maps (LinearMaps): Its first linear maps.
    """

    prepared: IsolatedModel
    maps: LinearMaps

    @classmethod
    def of(cls, prepared: IsolatedModel, draw: Tensor) -> HiddenModel:
        r"""That of a model, for features of the shape of a draw.

        Raises:
            NotLinearError: If the model reads them in other ways.
        """
        like = torch.empty(0, dtype=prepared.precision or draw.dtype, device=draw.device)
        return cls(prepared, linear_maps(prepared, (draw.size(0), draw.size(1)), like))

    @property
    def forward(self) -> Forward:
        r"""Calls the model on the objects."""
        return self.prepared.forward

    @property
    def model(self) -> torch.nn.Module:
        r"""The copy that is called."""
        return self.prepared.model

    def answer(self, x: Tensor, copies: int = 1, seed: int = 0, graph: Any = None) -> Any:
        r"""As :meth:`IsolatedModel.answer`."""
        return self.prepared.answer(self.maps.stand_in(x), copies, seed, graph)

    def answer_probe(self, x: Tensor, seed: int = 0) -> Any:
        r"""As :meth:`IsolatedModel.answer_probe`."""
        return self.prepared.answer_probe(self.maps.stand_in(x), seed)


def known_draw(products: Tensor, matrix: Tensor) -> LinearInput:
    r"""Stands in for a draw ``[N, D (+ 1)]`` that a model was seen to answer as its products
    ``[N, H]`` with the matrix ``[D (+ 1), H]`` of its first linear maps;
    :func:`behind_first_maps` takes them from it.
    """

    def product(linear_map: LinearMap) -> Tensor:
        raise NotLinearError("a draw of which only the products are known")

    shape = products.size(0), matrix.size(0)
    draw = LinearInput(shape, products.dtype, products.device, product)
    draw.known = products, matrix
    return draw


def behind_first_maps(prepared: IsolatedModel, draw: Tensor) -> tuple[HiddenModel, Tensor] | None:
    r"""A model behind its first linear maps, and the products of a draw; :obj:`None` where it reads
    features in other ways, or answers differently.

    Args:
        prepared (IsolatedModel): The model.
        draw (torch.Tensor): A draw of features ``[N, D (+ 1)]``, or a :func:`known_draw`.
    """
    if not draw.is_floating_point():
        return None
    try:
        hidden = HiddenModel.of(prepared, draw)
        if isinstance(draw, LinearInput):
            if draw.known is None or not torch.equal(draw.known[1], hidden.maps.matrix):
                return None  # on another form of the graph, maps may come in another order
            return hidden, draw.known[0]
        products, plain = hidden.maps.products(draw), prepared.answer(draw)
        with not_swallowed():
            return (hidden, products) if logits_match(hidden.answer(products), plain) else None
    except NotLinearError:
        return None
