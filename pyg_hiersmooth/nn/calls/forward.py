r"""What a model is called on besides features: the objects that stay the same in all samples."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pyg_hiersmooth.sampling.generators import seed_generators


class Forward(Protocol):
    r"""Calls a model on features of fixed objects.

    Objects consist of *units*, which a model must keep apart: the graphs or images of a batch, or
    the one graph whose nodes are classified.
    """

    rows: list[int]
    r"""Rows of features of each unit."""
    outputs: list[int]
    r"""Rows of logits of each unit."""

    def __call__(
        self, model: torch.nn.Module, x: Tensor, copies: int, seed: int, graph: Any = None
    ) -> Any:
        r"""Logits ``[copies * sum(outputs), C]`` for features ``[copies * sum(rows), D]``; the
        global generators are seeded with :obj:`seed`. A noisy graph takes the place of
        :meth:`copies_of` the objects, and has as many nodes as there are rows of features.
        """

    def copies_of(self, copies: int) -> Any:
        r"""The structure of several copies of the objects, which must not be changed."""

    def unit(self, index: int) -> Forward:
        r"""One unit on its own."""

    def some(self, indices: list[int]) -> Forward:
        r"""Some of several units, in the order given."""

    def in_dtype(self, dtype: torch.dtype) -> Forward:
        r"""Calls a model of another precision, with the floats of the objects cast to it."""

    def is_own(self, value: Any) -> bool:
        r"""Whether an object is one that holds the edges of the objects, or their weights."""

    def tensors(self) -> list[Tensor]:
        r"""All tensors besides features that the logits depend on, in a fixed order."""

    def watched(self) -> dict[str, Any]:
        r"""All besides the model that must stay the same from call to call, by name."""

    def describe(self, x: Tensor) -> str:
        r"""Features in words, as the model gets them."""

    def hint(self) -> str:
        r"""What to say of a model that fails: what it was not given, if anything."""


class OneByOne:
    r"""Calls a model on one unit at a time, as if there were no other, for a model that mixes them.

    Args:
        forward (Forward): Calls the model on all units at once.
    """

    def __init__(self, forward: Forward) -> None:
        self.rows, self.outputs = forward.rows, forward.outputs
        self.num_classes = getattr(forward, "num_classes", None)
        self._whole = forward
        self._units = [forward.unit(i) for i in range(len(forward.rows))]

    def __call__(
        self, model: torch.nn.Module, x: Tensor, copies: int, seed: int, graph: Any = None
    ) -> Tensor:
        units, rows, graphs = self._units * copies, self.rows * copies, [None] * len(x)
        if graph is not None:
            graphs = graph.to_data_list()
            rows = [each.num_nodes for each in graphs]
        logits: list[Tensor | None] = []
        for part, unit, own in zip(x.split(rows), units, graphs, strict=False):
            seed_generators(seed, x.device)
            logits.append(unit(model, part, 1, seed, own).clone() if len(part) else None)
        if not any(each is not None for each in logits):
            return no_logits(len(logits), self.num_classes, x)
        return with_empty_rows(logits)

    def copies_of(self, copies: int) -> Any:
        return self._whole.copies_of(copies)

    def unit(self, index: int) -> Forward:
        return self._units[index]

    def some(self, indices: list[int]) -> Forward:
        chosen = copy.copy(self)
        chosen._whole = self._whole.some(indices)
        chosen._units = [self._units[i] for i in indices]
        chosen.rows = [self.rows[i] for i in indices]
        chosen.outputs = [self.outputs[i] for i in indices]
        return chosen

    def in_dtype(self, dtype: torch.dtype) -> OneByOne:
        cast = copy.copy(self)
        cast._whole = self._whole.in_dtype(dtype)
        cast._units = [unit.in_dtype(dtype) for unit in self._units]
        return cast

    def is_own(self, value: Any) -> bool:
        return any(unit.is_own(value) for unit in self._units)

    def tensors(self) -> list[Tensor]:
        return [tensor for unit in self._units for tensor in unit.tensors()]

    def watched(self) -> dict[str, Any]:
        watched = [unit.watched() for unit in self._units]
        return {name: [each[name] for each in watched] for name in watched[0]}

    def describe(self, x: Tensor) -> str:
        return self._units[0].describe(x)

    def hint(self) -> str:
        return self._units[0].hint()


def with_empty_rows(logits: Sequence[Tensor | None]) -> Tensor:
    r"""Logits below each other, and zeros for objects of which nothing is left; one is left."""
    some = next(each for each in logits if each is not None)
    empty = some.new_zeros(1, some.size(-1))
    return torch.cat([empty if each is None else each for each in logits])


def no_logits(num_outputs: int, num_classes: int | None, x: Tensor) -> Tensor:
    r"""Zeros ``[num_outputs, num_classes]`` for objects of which nothing at all is left.

    Raises:
        ValueError: If the number of classes is not known.
    """
    if num_classes is None:
        raise ValueError("all graphs have lost all of their nodes: one must keep some")
    return torch.zeros(num_outputs, num_classes, device=x.device)
