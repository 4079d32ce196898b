r"""The first linear maps of a model, side by side in one matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.sampling.linear_input import (
    LinearInput,
    LinearMap,
    NotLinearError,
    find_linear_maps,
)

ROWS_AT_ONCE = 256
r"""Rows of features that are written in another precision at a time."""


class LinearMaps:
    r"""Answers a model that reads its features through known linear maps only.

    Args:
        maps (list of LinearMap): The distinct maps, on the model's own tensors.
        num_columns (int): Number of features that they take.

    Attributes:
        matrix (torch.Tensor): All of them, ``[num_columns, H]``.
    """

    def __init__(self, maps: Sequence[LinearMap], num_columns: int) -> None:
        self.num_columns = num_columns
        self._index = {linear_map.key: i for i, linear_map in enumerate(maps)}
        self._versions = [(m.weight, m.weight._version) for m in maps]
        matrices = [linear_map.matrix() for linear_map in maps]
        self.matrix, self._widths = torch.cat(matrices, dim=1), [m.size(1) for m in matrices]

    def __len__(self) -> int:
        return len(self._widths)

    def products(self, features: Tensor) -> Tensor:
        r"""Products ``[N, H]`` of features ``[N, D]`` of any precision, in that of the maps."""
        if features.dtype == self.matrix.dtype:
            return features @ self.matrix
        # A few rows at a time: all of them in another precision take longer to write than to read.
        parts = features.split(ROWS_AT_ONCE)
        return torch.cat([part.to(self.matrix.dtype) @ self.matrix for part in parts])

    def stand_in(self, products: Tensor) -> LinearInput:
        r"""What the model gets in place of features with these products, ``[N, H]``."""
        parts = products.split(self._widths, dim=1) if len(self) > 1 else (products,)

        def product(linear_map: LinearMap) -> Tensor:
            index = self._index.get(linear_map.key)
            if index is None or self._is_stale(index):
                raise NotLinearError("a linear map that was not there before")
            return parts[index].clone(memory_format=torch.contiguous_format)

        shape = (products.size(0), self.num_columns)
        return LinearInput(shape, products.dtype, products.device, product)

    def _is_stale(self, index: int) -> bool:
        weight, version = self._versions[index]
        return weight._version != version


def linear_maps(run: Callable[[Tensor], Any], shape: tuple[int, int], like: Tensor) -> LinearMaps:
    r"""The maps of a model; arguments and errors as of
    :func:`~pyg_hiersmooth.sampling.linear_input.find_linear_maps`.
    """
    return LinearMaps(find_linear_maps(run, shape, like), shape[1])
