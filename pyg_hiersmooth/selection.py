r"""The upper level of hierarchical smoothing: which entities are selected to receive noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.random import RandomStream


class Selection(ABC):
    r"""A distribution of the indicator :math:`\tau \in \{0, 1\}^N` over an object's entities."""

    @property
    def extends(self) -> bool:
        r"""Whether entities that are appended to an object leave the selection of the others as it
        was, and are selected like them: what certificates against added entities need.
        """
        return False

    @abstractmethod
    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        r"""Draws :math:`\tau` for one object: bool ``[num_entities]``."""

    @abstractmethod
    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        r"""The smallest probability :math:`q(r)`, over all sets of :obj:`r` entities, that every
        one of them is selected (Scholten et al. 2023, Theorem 1).

        Args:
            r (int): Number of entities, non-negative.
            num_entities (int or numpy.ndarray, optional): Entities :math:`N` of the object, or
                of each object. (default: :obj:`None`)

        Returns:
            numpy.ndarray: float64, of the shape of :obj:`num_entities`.

        Raises:
            ValueError: If :obj:`r` is negative or :obj:`num_entities` does not fit.
        """

    def sample_batch(self, sizes: list[int], stream: RandomStream) -> Tensor:
        r"""Draws :math:`\tau` for objects of the given sizes, one after the other:
        bool ``[sum(sizes)]``.
        """
        return torch.cat([self.sample(size, stream) for size in sizes])

    def num_outcomes(self, num_entities: int | np.ndarray | None = None) -> int | None:
        r"""How many equally likely outcomes :meth:`mask` lists; :obj:`None` where they are
        drawn, not enumerated.
        """
        return None

    def mask(self, index: int, sizes: list[int]) -> Tensor:
        r"""One of the listed outcomes of :math:`\tau`, for objects of the given sizes in a row.

        Args:
            index (int): Which outcome, in ``[0, num_outcomes)``; the same for every object.
            sizes (list of int): Entities of each object.

        Returns:
            torch.Tensor: bool ``[sum(sizes)]``, on the CPU.

        Raises:
            ValueError: If there is no such outcome, or none is listed.
        """
        raise ValueError(f"the outcomes of {self} are drawn, not enumerated")

    def num_exposing(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        r"""An upper bound, over all sets of :obj:`r` entities, on the number of listed outcomes
        that expose one of them (leave it unselected): int64, of the shape of :obj:`num_entities`.

        Raises:
            ValueError: If :obj:`r` is negative, or no outcomes are listed.
        """
        raise ValueError(f"the outcomes of {self} are drawn, not enumerated")


class BernoulliSelection(Selection):
    r"""Every entity is selected independently, :math:`\tau_i \sim \mathrm{Ber}(p_i)`.

    Args:
        p (float or torch.Tensor): Selection probability in :math:`(0, 1]`, one for all entities
            or one each (``[num_entities]``). :obj:`1.0` selects everything: the flat methods.

    Raises:
        ValueError: If a probability lies outside :math:`(0, 1]`.
    """

    def __init__(self, p: float | Tensor) -> None:
        self.p: float | Tensor
        if isinstance(p, (Tensor, np.ndarray, list, tuple)) and np.ndim(p) > 0:
            self.p = torch.as_tensor(p, dtype=torch.float64).detach().cpu().clone()
            valid = self.p.dim() == 1 and self.p.numel() > 0
            valid = valid and bool(((self.p > 0) & (self.p <= 1)).all())
        else:
            self.p = float(p)
            valid = 0.0 < self.p <= 1.0
        if not valid:
            raise ValueError(
                "'p' must be a probability in (0, 1], or a one-dimensional tensor of them "
                f"(got {p})"
            )

    @property
    def extends(self) -> bool:
        return not isinstance(self.p, Tensor)

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        if isinstance(self.p, Tensor):
            self._check_num_entities(num_entities)
            return stream.bernoulli(self.p.to(stream.device), num_entities)
        return stream.bernoulli(self.p, num_entities)

    def sample_batch(self, sizes: list[int], stream: RandomStream) -> Tensor:
        if isinstance(self.p, Tensor):
            return super().sample_batch(sizes, stream)
        return stream.bernoulli(self.p, sum(sizes))

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        _check_changed(r)
        if isinstance(self.p, Tensor):
            if num_entities is not None:
                self._check_num_entities(num_entities)
            least_likely = np.sort(self.p.numpy())[:r]
            return np.asarray(np.prod(least_likely))
        if num_entities is None:
            return np.asarray(self.p**r)
        return self.p ** np.minimum(r, num_entities)

    def _check_num_entities(self, num_entities: int | np.ndarray) -> None:
        if isinstance(self.p, Tensor) and np.any(np.asarray(num_entities) != self.p.numel()):
            raise ValueError(
                f"'p' holds one probability for each of {self.p.numel()} entities, but the object "
                f"has {num_entities}"
            )

    def __repr__(self) -> str:
        p = f"[{self.p.numel()}]" if isinstance(self.p, Tensor) else self.p
        return f"{self.__class__.__name__}(p={p})"


class FixedSizeSelection(Selection):
    r"""Exactly :obj:`size` of the :math:`N` entities are selected, uniformly at random
    (Levine & Feizi 2020).

    In a batch of graphs every graph has :obj:`size` of its nodes selected.

    Args:
        size (int): Number of selected entities, at least 1.

    Raises:
        ValueError: If :obj:`size` is not a positive integer.
    """

    def __init__(self, size: int) -> None:
        if not (size >= 1 and size % 1 == 0):
            raise ValueError(f"'size' must be a positive integer (got {size})")
        self.size = int(size)

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        self._check_num_entities(num_entities)
        selected = torch.zeros(num_entities, dtype=torch.bool, device=stream.device)
        selected[stream.subset(num_entities, self.size)] = True
        return selected

    def sample_batch(self, sizes: list[int], stream: RandomStream) -> Tensor:
        if len(sizes) == 1:
            return self.sample(sizes[0], stream)
        self._check_num_entities(np.asarray(sizes))
        each = torch.tensor(sizes, device=stream.device)
        total = sum(sizes)
        objects = torch.arange(len(sizes), device=stream.device)
        owner = objects.repeat_interleave(each, output_size=total)
        # All entities in random order, object after object; the first of each are selected.
        shuffled = stream.uniform(total).argsort()
        shuffled = shuffled[owner[shuffled].argsort(stable=True)]
        start = each.cumsum(0) - each
        rank = torch.arange(total, device=stream.device) - start[owner]
        selected = torch.zeros(total, dtype=torch.bool, device=stream.device)
        selected[shuffled[rank < self.size]] = True
        return selected

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        _check_changed(r)
        if num_entities is None:
            raise ValueError(
                "FixedSizeSelection certifies only for a known number of entities: "
                "pass 'num_entities'"
            )
        self._check_num_entities(num_entities)
        # C(N-r, m-r) / C(N, m), as a product of r ratios, one of them 0 where m < r <= N.
        total = np.asarray(num_entities, dtype=np.float64)
        changed = np.minimum(r, total)
        steps = np.arange(min(r, self.size + 1), dtype=np.float64)
        ratios = np.maximum(self.size - steps, 0.0) / np.maximum(total[..., None] - steps, 1.0)
        return np.where(steps < changed[..., None], ratios, 1.0).prod(-1)

    def _check_num_entities(self, num_entities: int | np.ndarray) -> None:
        smallest = int(np.min(num_entities))
        if smallest < self.size:
            raise ValueError(
                f"'size' must not exceed the number of entities (got {self.size} of {smallest})"
            )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(size={self.size})"


class PartitionSelection(Selection):
    r"""One group of a fixed partition is left out, everything else is selected.

    :obj:`num_partitions` fixed partitions split the entities into :obj:`num_groups` groups of
    nearly equal size. A draw picks one of all :attr:`num_masks` pairs of a partition and a group
    uniformly, and leaves that group *unselected*. So few outcomes can be listed, and a noise that
    draws nothing needs no sampling (voting over disjoint parts: Levine & Feizi 2020,
    *(De)Randomized Smoothing*; of graphs: Xia et al. 2024, GNNCert).

    Groups are dealt in *blocks*: each block of :math:`T` consecutive entities gets all
    :math:`T` groups, in an order of its own that is drawn from the seed, the partition and the
    number of the block. So groups differ in size by at most one, and a longer object begins with
    the groups of the shorter one: entities that are appended move no other. Every graph of a batch
    is partitioned on its own. An object of fewer entities than groups has empty groups: such an
    outcome selects all of it.

    Args:
        num_groups (int): Groups :math:`T` of a partition, at least 2. An entity is selected with
            probability :math:`1 - 1/T`.
        num_partitions (int): Partitions :math:`K`, at least 1. (default: :obj:`10`)
        seed (int): Non-negative seed of the partitions. (default: :obj:`0`)
        dealing (str, optional): ``"blocks"``, or ``"shuffled"``, which deals all entities at once:
            one more entity then moves all others. Files of older runs are read as shuffled.
            (default: :obj:`"blocks"`)

    Raises:
        ValueError: If an argument is not an integer in its range, or :obj:`dealing` is neither.
    """

    def __init__(
        self, num_groups: int, num_partitions: int = 10, seed: int = 0, dealing: str = "blocks"
    ) -> None:
        for name, value, least in (
            ("num_groups", num_groups, 2),
            ("num_partitions", num_partitions, 1),
            ("seed", seed, 0),
        ):
            if not (value >= least and value % 1 == 0):
                raise ValueError(f"'{name}' must be an integer of at least {least} (got {value})")
        self.num_groups = int(num_groups)
        self.num_partitions = int(num_partitions)
        self.seed = int(seed)
        if dealing not in DEALINGS:
            raise ValueError(f"'dealing' must be 'blocks' or 'shuffled' (got {dealing!r})")
        self.dealing = dealing

    @property
    def extends(self) -> bool:
        return self.dealing == "blocks"

    @property
    def num_masks(self) -> int:
        r"""Number of outcomes, ``num_groups * num_partitions``."""
        return self.num_groups * self.num_partitions

    def groups(self, num_entities: int) -> Tensor:
        r"""The group of each entity in each partition, int32 ``[num_partitions, num_entities]``."""
        return self._dealt(num_entities).clone()

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        index = int(stream.subset(self.num_masks, 1))
        return self.mask(index, [num_entities]).to(stream.device)

    def num_outcomes(self, num_entities: int | np.ndarray | None = None) -> int:
        return self.num_masks

    def mask(self, index: int, sizes: list[int]) -> Tensor:
        if not (0 <= index < self.num_masks and index % 1 == 0):
            raise ValueError(
                f"'index' must be an integer in [0, {self.num_masks}), the number of outcomes "
                f"(got {index})"
            )
        partition, group = divmod(int(index), self.num_groups)
        return torch.cat([self._dealt(size)[partition] != group for size in sizes])

    def num_exposing(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        r"""As in the base class: at most :math:`K \min(r, N, T)`, attained if no partition puts two
        of the entities into one group.
        """
        _check_changed(r)
        met = min(int(r), self.num_groups)
        if num_entities is None:
            return np.asarray(self.num_partitions * met)
        return self.num_partitions * np.minimum(met, np.asarray(num_entities, dtype=np.int64))

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        r"""As in the base class, or less: :math:`q(r) = 1 - \min(r, N, T) / T`, attained if no
        partition puts two of the entities into one group.
        """
        return (self.num_masks - self.num_exposing(r, num_entities)) / self.num_masks

    def _dealt(self, num_entities: int) -> Tensor:
        deal = DEALINGS[self.dealing]
        return deal(self.num_groups, self.num_partitions, self.seed, num_entities)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(num_groups={self.num_groups}, "
            f"num_partitions={self.num_partitions}, seed={self.seed}, dealing={self.dealing!r})"
        )


@lru_cache(maxsize=128)
def _in_blocks(num_groups: int, num_partitions: int, seed: int, num_entities: int) -> Tensor:
    groups = torch.empty(num_partitions, num_entities, dtype=torch.int32)
    num_blocks = -(-num_entities // num_groups)
    for partition, row in enumerate(groups):
        # Streams are read from the start, so the keys of a block do not depend on later blocks.
        keys = RandomStream(seed, partition).uniform(num_blocks, num_groups)
        row[:] = keys.argsort(dim=1, stable=True).view(-1)[:num_entities]
    return groups


@lru_cache(maxsize=128)
def _shuffled(num_groups: int, num_partitions: int, seed: int, num_entities: int) -> Tensor:
    groups = torch.empty(num_partitions, num_entities, dtype=torch.int32)
    dealt = torch.arange(num_entities, dtype=torch.int32) % num_groups
    for partition, row in enumerate(groups):
        row[RandomStream(seed, partition).subset(num_entities, num_entities)] = dealt
    return groups


DEALINGS = {"blocks": _in_blocks, "shuffled": _shuffled}
r"""How the groups of a partition are dealt to entities: int32 ``[num_partitions, N]``."""


def _check_changed(r: int) -> None:
    if not (r >= 0 and r % 1 == 0):
        raise ValueError(f"'r' must be a non-negative integer (got {r})")


def as_selection(p: float | Tensor | Selection) -> Selection:
    r"""Returns a selection as it is, and probabilities as a :class:`BernoulliSelection`."""
    return p if isinstance(p, Selection) else BernoulliSelection(p)
