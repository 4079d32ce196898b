r"""Finds clean features in what a model, or a function that calls it, holds: they would bypass
the noise.

They are found in tensors, arrays, sparse matrices and nested lists of any dtype, and as the places
of what is not 0. What is made from them is found only where it has a row per entity, and what a
call reads from elsewhere never is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.isolation.model_state import leaves
from pyg_hiersmooth.nn.isolation.problems import refuse

PLACES = re.compile(r"(\[-?\d+\])+$")
r"""The end of a path into nested lists."""


def check_no_features(model: torch.nn.Module, forward: Forward, x: Tensor) -> None:
    r"""Checks that neither a model nor a function that calls it holds clean features.

    Args:
        model (torch.nn.Module): The model.
        forward (Forward): Calls it on the objects.
        x (torch.Tensor): The clean features ``[N, D]``.

    Raises:
        ImpureModelError: If one does, or may: a float tensor with a row per entity.
    """
    registered = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    says_nothing = _says_nothing(x)
    for path, value in tensors(model=model, **functions_of(forward)):
        if says_nothing and id(value) in registered:
            continue
        if _contains(value.detach(), x, forward.rows):
            refuse(
                f"'{path}' holds the clean features, which would bypass the noise: use those "
                "that the model is called with"
            )
        is_dense = value.layout == torch.strided and value.is_floating_point()
        if id(value) in registered or value.dim() != 2 or not is_dense:
            continue
        if value.size(0) == x.size(0) != value.size(1):
            refuse(
                f"'{path}' holds a row for each of the {x.size(0)} entities and may be made from "
                "clean features: reset it, or, if it does not depend on them, register it as a "
                "buffer of the model or make it an attribute of the graph that 'keep' names"
            )


def tensors(**roots: Any) -> Iterator[tuple[str, Tensor]]:
    r"""Tensors that hold something, and arrays, matrices and nested lists of numbers as such, with
    the paths that lead to them.

    Args:
        **roots: The objects, by the names that paths start with.
    """
    listed: dict[str, list[float]] = defaultdict(list)
    for path, value in leaves(**roots):
        if isinstance(value, bool | int | float) and path.endswith("]"):
            listed[PLACES.sub("", path)].append(value)
        if sparse.issparse(value):
            entries = value.tocoo()
            places = torch.from_numpy(np.stack([entries.row, entries.col]).astype("i8"))
            value = torch.sparse_coo_tensor(places, _numbers(entries.data), value.shape)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            value = _numbers(value)
        if isinstance(value, Tensor) and value.numel() > 0 and _has_data(value):
            yield path, value
    for path, numbers in listed.items():
        yield path, _numbers(np.array(numbers))


def _has_data(value: Tensor) -> bool:
    r"""Whether a tensor has entries, not only a shape, as the examples of an exported program."""
    return not value.is_meta and type(value).__name__ != "FakeTensor"


def functions_of(forward: Forward) -> dict[str, Any]:
    r"""The functions that call a model, by name."""
    watched = forward.watched()
    return {name: value for name, value in watched.items() if name not in ("graph", "copies")}


def _numbers(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype("i8" if array.dtype.kind in "biu" else "f8"))


def _contains(value: Tensor, clean: Tensor, rows: list[int]) -> bool:
    r"""Whether a tensor holds the clean features, in any order or with more columns, or those of
    one of several objects, or the places of those that are not 0.
    """
    if value.is_complex() or value.is_quantized:
        return False
    if value.layout == torch.strided:
        value = value.as_subclass(Tensor)  # of PyG's EdgeIndex, say, which would guard its edges
    if value.is_floating_point() and value.element_size() == 1:
        value = value.float()
    if _lists_the_ones(value, clean):
        return True
    dtype = torch.promote_types(value.dtype, clean.dtype)
    if value.numel() == clean.numel():
        values, features = (_dense(each, dtype).flatten() for each in (value, clean))
        return torch.equal(values.sort().values, features.sort().values)
    if value.dim() != 2:
        return False
    if value.size(0) == clean.size(0) and value.size(1) > clean.size(1):
        if value.layout != torch.strided:
            value = value.to_sparse_coo()
        first_columns = value.narrow_copy(1, 0, clean.size(1))
        return torch.equal(_dense(first_columns, dtype), _dense(clean, dtype))
    if value.size(0) not in rows or value.size(1) != clean.size(1):
        return False
    value = _dense(value, dtype)
    parts = _dense(clean, dtype).split(rows)
    return any(torch.equal(value, part) for part in parts if part.size(0) == value.size(0))


def _says_nothing(clean: Tensor) -> bool:
    r"""Whether features are the same everywhere or the identity, as where there are none: weights
    may be the same by chance, and know nothing of the data.
    """
    if clean.layout == torch.strided and clean.numel() > 0:
        first = clean[0, 0]
        if all(bool((each == first).all()) for each in (clean[0], clean)):  # a row tells most
            return True
    num_rows, num_features = clean.shape
    if num_rows != num_features:
        return False
    entries = clean.to_sparse_coo().coalesce()
    (row, column), values = entries.indices(), entries.values()
    return row.numel() == num_rows and torch.equal(row, column) and bool((values == 1).all())


def _lists_the_ones(value: Tensor, clean: Tensor) -> bool:
    r"""Whether integers are the places of all features that are not 0, or the columns of these."""
    if value.layout != torch.strided or value.dtype not in (torch.int64, torch.int32):
        return False
    if clean.layout == torch.strided:
        count = int(clean.count_nonzero())
    else:
        count = clean.values().numel() if clean.layout != torch.sparse_coo else clean._nnz()
    if value.numel() not in (count, 2 * count):
        return False
    places = clean.to_sparse_coo().coalesce().indices()
    expected = places[1] if value.numel() == count else places
    expected, listed = (each.flatten().long().cpu().sort().values for each in (expected, value))
    numbers = torch.arange(len(expected))
    return torch.equal(listed, expected) and not torch.equal(listed, numbers)


def _dense(value: Tensor, dtype: torch.dtype) -> Tensor:
    return (value if value.layout == torch.strided else value.to_dense()).to("cpu", dtype)
