r"""What a computation costs, in a measure that does not depend on the clock."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class ElementsWritten(TorchDispatchMode):
    r"""Counts the elements of all tensors that are written while it is entered.

    Messages gathered along edges cost one element each, products with a sparse matrix only what
    they result in, and views nothing: on graphs, this ranks ways to compute the same as their
    times do, and it is the same number in every run.

    Attributes:
        count (int): Elements written so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        read = set() if func._schema.is_mutable else _addresses((args, kwargs))
        for tensor in _tensors(result):
            if tensor.layout != torch.strided:
                self.count += tensor._nnz()
            elif tensor.untyped_storage().data_ptr() not in read:
                self.count += tensor.numel()
        return result


def _addresses(values: Any) -> set[int]:
    strided = (tensor for tensor in _tensors(values) if tensor.layout == torch.strided)
    return {tensor.untyped_storage().data_ptr() for tensor in strided}


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
