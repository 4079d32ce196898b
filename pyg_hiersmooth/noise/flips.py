from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from pyg_hiersmooth.noise.base import Draw, Noise
from pyg_hiersmooth.noise.kinds import FLIPS
from pyg_hiersmooth.noise.parameter import PROBABILITY, SearchRange
from pyg_hiersmooth.random import RandomStream

MAX_BITMAP_BYTES = 2**26
r"""Largest bitmap of ones that :class:`FlipSampler` keeps; beyond, it searches their positions."""


class SparseFlipNoise(Noise):
    r"""Independent flips of binary features, :math:`0 \to 1` with probability :math:`p_+` and
    :math:`1 \to 0` with probability :math:`p_-` (Bojchevski et al. 2020).

    The adversary may add :math:`r_a` ones and delete :math:`r_d` ones. Only these positions
    matter, and the number :math:`T` of them that come out different from their clean value is
    sufficient:

    .. math::
        T \sim \mathrm{Bin}(r_a, p_+) + \mathrm{Bin}(r_d, p_-) \quad \textrm{under clean noise,}
        \qquad
        T \sim \mathrm{Bin}(r_a, 1 - p_-) + \mathrm{Bin}(r_d, 1 - p_+)
        \quad \textrm{under perturbed noise.}

    :math:`L(t)` collects the values of :math:`T` in the order of their likelihood ratio, which is
    monotone (the regions of Bojchevski et al. 2020, Proposition 2, merged).

    Args:
        p_plus (float): Probability :math:`p_+ \in [0, 1]` to add a one.
        p_minus (float): Probability :math:`p_- \in [0, 1]` to delete a one.

    Raises:
        ValueError: If a probability lies outside :math:`[0, 1]`.
    """

    name, axes, parameters, deterministic = FLIPS
    needs_binary = True
    keeps_sparse = True
    differentiable_when_projected = True

    def __init__(self, p_plus: float, p_minus: float) -> None:
        self.p_plus = PROBABILITY.check("p_plus", p_plus)
        self.p_minus = PROBABILITY.check("p_minus", p_minus)

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        return self.prepare(x)(selected, stream)

    def sample_sparse(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        return FlipSampler(self, x).sparse(selected, stream)

    def prepare(self, x: Tensor) -> Draw:
        return FlipSampler(self, x).dense

    def sample_projected(self, x: Tensor, weight: Tensor) -> Draw:
        sampler = FlipSampler(self, x)
        clean = embedding_bag(sampler.clean.col, weight, sampler.clean.offset, mode="sum")
        weight = torch.cat([weight, weight.new_zeros(1, weight.size(1))])

        def draw(selected: Tensor, stream: RandomStream) -> Tensor:
            rows, *drawn = sampler.draw(selected, stream)
            kept, added = (
                embedding_bag(ones.col, weight, ones.offset, mode="sum") for ones in drawn
            )
            return clean.index_copy(0, rows, kept.add_(added))

        return draw

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return _regions(
            self.p_plus, self.p_minus, budget["additions"], budget["deletions"]
        ).worst_case_probability(p, complement)

    def reach(self, **budget: Any) -> float:
        return budget["additions"] + budget["deletions"]

    @classmethod
    def search_space(cls, **budget: Any) -> tuple[SearchRange, ...]:
        return (SearchRange("p_plus", 1e-4, 0.2, log=True), SearchRange("p_minus", 0.05, 0.95))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(p_plus={self.p_plus}, p_minus={self.p_minus})"


class BinaryRows(NamedTuple):
    r"""Rows of a binary matrix by the columns of their ones."""

    col: Tensor
    r"""``[num_ones]``, row after row; the column ``D`` stands for nothing."""
    offset: Tensor
    r"""``[num_rows]``: where each row starts in :attr:`col`, of its dtype."""


class FlipSampler:
    r"""Exact draws of flipped features, in time and memory of their ones.

    Args:
        noise (SparseFlipNoise): The noise.
        x (torch.Tensor): Binary features ``[N, D]``, dense, COO or CSR.

    Attributes:
        clean (BinaryRows): All of its rows.
    """

    def __init__(self, noise: SparseFlipNoise, x: Tensor) -> None:
        self.noise = noise
        self.num_rows, self.num_columns = x.shape
        self.dtype = x.dtype
        if x.layout == torch.strided:
            self.row, self.col = x.nonzero().t().contiguous()
        else:
            x = x.to_sparse_coo().coalesce()
            self.row, self.col = x.indices()[:, x.values() != 0]
        num_positions = self.num_rows * self.num_columns
        self._dtype = torch.int32 if num_positions < 2**30 else torch.int64
        one = self.row * self.num_columns + self.col
        self._one = one.to(self._dtype)
        first = torch.searchsorted(self.row, torch.arange(self.num_rows, device=one.device))
        self.clean = BinaryRows(self.col.to(self._dtype), first.to(self._dtype))
        self._bitmap: Tensor | None = None
        if num_positions <= 8 * MAX_BITMAP_BYTES:
            bit = torch.ones_like(one, dtype=torch.uint8) << (one & 7).to(torch.uint8)
            self._bitmap = bit.new_zeros(num_positions // 8 + 1)
            self._bitmap.index_add_(0, one >> 3, bit)

    def draw(self, selected: Tensor, stream: RandomStream) -> tuple[Tensor, BinaryRows, BinaryRows]:
        r"""Draws the ones of the selected rows.

        Returns:
            The selected rows (int64 ``[K]``), the clean ones that stayed in each of them, and the
            ones that were added.
        """
        rows = selected.nonzero().view(-1)

        # Zeros: try every position of the selected rows, and void the hits on clean ones.
        hit = stream.successes(rows.numel() * self.num_columns, self.noise.p_plus)
        start = torch.arange(rows.numel() + 1, device=rows.device).mul_(self.num_columns)
        offset = torch.searchsorted(hit, start.to(hit.dtype))
        count, start = offset.diff(), start[:-1]
        position = _repeat((rows * self.num_columns - start).to(self._dtype), count).add_(hit)
        col = hit.sub_(_repeat(start.to(hit.dtype), count))
        col.index_fill_(0, self._hits_on_ones(position), self.num_columns)
        added = BinaryRows(col, offset[:-1].to(col.dtype))

        # Ones: each stays with probability 1 - p_minus.
        stay = stream.successes(self.row.numel(), 1.0 - self.noise.p_minus)
        stay = stay[selected.index_select(0, self.row.index_select(0, stay))]
        first = self.clean.offset.index_select(0, rows).to(stay.dtype)
        offset = torch.searchsorted(stay, first).to(self._dtype)
        kept = BinaryRows(self.clean.col.index_select(0, stay), offset)
        return rows, kept, added

    def dense(self, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""Draws all rows as a dense matrix ``[N, D]`` of the dtype of :obj:`x`."""
        row, col = self._draw_positions(selected, stream)
        x = selected.new_zeros(self.num_rows, self.num_columns + 1, dtype=self.dtype)
        x[row, col] = 1
        return x[:, : self.num_columns]

    def sparse(self, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""Draws all rows as a COO matrix ``[N, D]`` of the dtype of :obj:`x`."""
        position = torch.stack(self._draw_positions(selected, stream))
        position = position[:, position[1] < self.num_columns]
        ones = torch.ones(position.size(1), dtype=self.dtype, device=position.device)
        size = (self.num_rows, self.num_columns)
        return torch.sparse_coo_tensor(position, ones, size, check_invariants=False).coalesce()

    def _draw_positions(self, selected: Tensor, stream: RandomStream) -> tuple[Tensor, Tensor]:
        r"""Row and column of the ones of all rows; the column ``D`` stands for nothing."""
        rows, *drawn = self.draw(selected, stream)
        unchanged = ~selected[self.row]
        row, col = [self.row[unchanged]], [self.col[unchanged]]
        for ones in drawn:
            count = ones.offset.diff(append=ones.offset.new_tensor([ones.col.numel()]))
            row.append(rows.repeat_interleave(count))
            col.append(ones.col.long())
        return torch.cat(row), torch.cat(col)

    def _hits_on_ones(self, position: Tensor) -> Tensor:
        r"""Which of the positions hold clean ones: int64."""
        if self._bitmap is not None:
            byte = self._bitmap.index_select(0, position >> 3)
            bit = (position & 7).to(torch.uint8)
            return _nonzero((byte >> bit).bitwise_and_(1).view(torch.bool))
        if self._one.numel() == 0:
            return position.new_empty(0, dtype=torch.long)
        index = torch.searchsorted(self._one, position).clamp_(max=self._one.numel() - 1)
        return _nonzero(self._one[index] == position)


def _repeat(values: Tensor, count: Tensor) -> Tensor:
    if values.device.type == "cpu":  # NumPy is several times faster
        return torch.from_numpy(np.repeat(values.numpy(), count.numpy()))
    return values.repeat_interleave(count)


def _nonzero(mask: Tensor) -> Tensor:
    if mask.device.type == "cpu":  # NumPy is several times faster
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().view(-1)


class _Regions:
    r"""The distribution of :math:`T` under clean and perturbed noise, as cumulative sums in the
    order of the likelihood ratio.
    """

    def __init__(self, clean: np.ndarray, perturbed: np.ndarray) -> None:
        reached = clean > 0.0  # the worst set leaves out what clean noise never produces
        clean, perturbed = clean[reached], perturbed[reached]
        self.clean = np.concatenate([[0.0], clean.cumsum()])
        self.clean_tail = np.concatenate([[0.0], clean[::-1].cumsum()])
        self.perturbed = np.concatenate([[0.0], perturbed.cumsum()])

    def worst_case_probability(self, p: np.ndarray, complement: np.ndarray) -> np.ndarray:
        # Linear interpolation from the nearer end, where the sums are exact.
        return np.where(
            p < complement,
            np.interp(p, self.clean, self.perturbed),
            np.interp(complement, self.clean_tail, self.perturbed[::-1]),
        )


@lru_cache(maxsize=2**14)
def _regions(p_plus: float, p_minus: float, additions: int, deletions: int) -> _Regions:
    clean = np.convolve(_binomial(additions, p_plus), _binomial(deletions, p_minus))
    perturbed = np.convolve(_binomial(additions, p_minus)[::-1], _binomial(deletions, p_plus)[::-1])
    if p_plus + p_minus > 1.0:
        clean, perturbed = clean[::-1], perturbed[::-1]
    return _Regions(clean, perturbed)


@lru_cache(maxsize=2**12)
def _binomial(n: int, p: float) -> np.ndarray:
    from scipy.stats import binom  # takes a second, which nothing else here waits for

    # SciPy overflows for probabilities this small; without their mass, less is claimed.
    return binom.pmf(np.arange(n + 1), n, p if p > 1e-300 else 0.0)
