r"""Features on which a model is tested, in addition to real draws."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_hiersmooth.random import RandomStream

MIXED = 8
r"""Random rows that unrelated features are mixed from."""

PROBE = 2**20
r"""Tells the streams of probes from others."""


def unrelated_probe(x: Tensor, seed: int) -> Tensor:
    r"""Features of the shape and dtype of :obj:`x` that have nothing to do with it: numbers of
    any size, or, where they are integers, the rows in another order.
    """
    if not x.is_floating_point():
        return shuffled_probe(x, seed)
    stream = RandomStream(seed, PROBE, device=x.device)
    scale = 3.0 * float(x.abs().max()) + 1.0
    # A few random rows, mixed: as unlike real ones as independent numbers, and much cheaper.
    weights, rows = stream.normal(x.size(0), MIXED), stream.normal(MIXED, x.size(1))
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    return (weights.to(dtype) @ (rows * scale / MIXED**0.5).to(dtype)).to(x.dtype)


def enormous_probe(x: Tensor, seed: int) -> Tensor:
    r"""Features of the shape and dtype of :obj:`x` so large that a model which takes a small share
    of them cannot hide it; rows in another order, where they are integers.
    """
    unrelated = unrelated_probe(x, seed)
    if not x.is_floating_point():
        return unrelated
    return unrelated / unrelated.abs().max() * torch.finfo(x.dtype).max ** 0.4


def infinite_probe(x: Tensor) -> Tensor:
    r"""Infinite features of the shape and dtype of :obj:`x`, as large ones overflow to, which show
    behind a weight of 0; :obj:`x` where they are integers.
    """
    return torch.full_like(x, torch.inf) if x.is_floating_point() else x


def undefined_probe(x: Tensor) -> Tensor:
    r"""Features of the shape and dtype of :obj:`x` that are no numbers, as differences of infinite
    ones are, which show behind a weight of 0 and where infinite ones are cut off; :obj:`x` where
    they are integers.
    """
    return torch.full_like(x, torch.nan) if x.is_floating_point() else x


def shuffled_probe(x: Tensor, seed: int) -> Tensor:
    r"""The rows of :obj:`x` in a random order: features that any model takes."""
    return x[RandomStream(seed, PROBE, device=x.device).subset(x.size(0), x.size(0))]


def constant_probes(x: Tensor) -> list[Tensor]:
    r"""The row of :obj:`x` with the smallest sum everywhere and the one with the largest, which any
    model takes, and zeros: they move a maximum, a range or a count over all rows.
    """
    size = x.sum(1, dtype=torch.float64)
    rows = [x[int(place)].expand_as(x) for place in (size.argmin(), size.argmax())]
    return [*rows, torch.zeros_like(x)]


def stretched_probe(x: Tensor) -> Tensor:
    r"""A thousand times :obj:`x`, which moves every range and scale; :obj:`x` where they are
    integers.
    """
    return x * 1_000 if x.is_floating_point() else x


def mixed_probe(x: Tensor, seed: int) -> Tensor:
    r"""Rows of :obj:`x` in another order, a third of them zeros and a third a thousandfold: they
    move counts, means, ranges and scales at once.
    """
    third = torch.arange(x.size(0), device=x.device).view(-1, 1) % 3
    mixed = torch.where(third == 1, torch.zeros_like(x), shuffled_probe(x, seed))
    return torch.where(third == 2, stretched_probe(mixed), mixed)
