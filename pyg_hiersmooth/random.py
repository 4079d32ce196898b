r"""Addressable random numbers: a stream is a pure function of a seed and a path of integers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


class RandomStream:
    r"""A stream of independent draws, determined by :obj:`seed` and :obj:`path` alone.

    Streams of different seeds or paths are independent (:class:`numpy.random.SeedSequence`), so
    sample :math:`i` of a run can be drawn anywhere and at any time from
    ``RandomStream(seed, i)``. On a CPU the numbers come from NumPy's SFC64 with 53-bit
    uniforms, on other devices from that device's generator; the two differ.

    Args:
        seed (int): Non-negative seed.
        *path (int): Non-negative integers that tell streams of one seed apart.
        device (torch.device or str, optional): Where the draws live. (default: :obj:`"cpu"`)
    """

    def __init__(self, seed: int, *path: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.path, self._of = path, seed
        self._sequence = sequence = np.random.SeedSequence(seed, spawn_key=path)
        self._numpy: np.random.Generator | None = None
        if self.device.type == "cpu":
            self._numpy = np.random.Generator(np.random.SFC64(sequence))
        else:
            self._torch = torch.Generator(self.device)
            self._torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)

    @classmethod
    def from_torch(cls, device: torch.device | str = "cpu") -> RandomStream:
        r"""A fresh stream seeded by PyTorch's default generator.

        It follows :func:`torch.manual_seed`, and differs between the workers and the epochs of a
        :class:`~torch.utils.data.DataLoader`.
        """
        return cls(int(torch.randint(2**63 - 1, (1,))), device=device)

    def beyond(self, *path: int, device: torch.device | str = "cpu") -> RandomStream:
        r"""The stream of the same seed whose path goes on from this one's."""
        return RandomStream(self._of, *self.path, *path, device=device)

    def seed(self) -> int:
        r"""A seed for generators of another kind, independent of the stream's own draws."""
        return int(self._sequence.generate_state(4, np.uint64)[3]) >> 1

    def uniform(self, *size: int) -> Tensor:
        r"""Uniform draws on [0, 1), float64."""
        if self._numpy is not None:
            return torch.from_numpy(self._numpy.random(size))
        return torch.rand(size, dtype=torch.float64, device=self.device, generator=self._torch)

    def normal(self, *size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        r"""Standard normal draws; drawn in float32 for the lower precisions."""
        if self._numpy is not None:
            if dtype == torch.float64:
                return torch.from_numpy(self._numpy.standard_normal(size))
            draws = self._numpy.standard_normal(size, dtype=np.float32)
            return torch.from_numpy(draws).to(dtype)
        return torch.randn(size, dtype=dtype, device=self.device, generator=self._torch)

    def exponential(self, *size: int) -> Tensor:
        r"""Standard exponential draws, float64."""
        if self._numpy is not None:
            return torch.from_numpy(self._numpy.standard_exponential(size))
        draws = torch.empty(size, dtype=torch.float64, device=self.device)
        return draws.exponential_(generator=self._torch)

    def laplace(self, *size: int) -> Tensor:
        r"""Standard Laplace draws (the difference of two exponentials), float64."""
        return self.exponential(*size) - self.exponential(*size)

    def bernoulli(self, p: float | Tensor, size: int) -> Tensor:
        r"""Boolean draws, true with probability :obj:`p` (a number or a tensor ``[size]``)."""
        return self.uniform(size) < p

    def subset(self, population: int, size: int) -> Tensor:
        r"""A uniformly random subset of ``range(population)`` as an index tensor ``[size]``."""
        if self._numpy is not None:
            return torch.from_numpy(self._numpy.permutation(population)[:size])
        return torch.randperm(population, device=self.device, generator=self._torch)[:size]

    def successes(self, trials: int, p: float) -> Tensor:
        r"""The sorted positions of the successes among :obj:`trials` Bernoulli trials.

        Gaps between successes are geometric, :math:`\lfloor E / -\log(1 - p) \rfloor` for a
        standard exponential :math:`E`, so the cost grows with the successes, not the trials
        (Devroye 1986, *Non-Uniform Random Variate Generation*, X.2).

        Returns:
            Tensor: ``[num_successes]``, int32 where :obj:`trials` fits, else int64.
        """
        dtype = torch.int32 if trials < 2**30 else torch.int64
        if p <= 0.0 or trials == 0:
            return torch.empty(0, dtype=dtype, device=self.device)
        if p >= 1.0:
            return torch.arange(trials, dtype=dtype, device=self.device)
        scale = 1.0 / max(-math.log1p(-p), 1e-300)
        expected = trials * p
        size = int(expected + 4.0 * math.sqrt(expected) + 8.0)
        chunks: list[Tensor] = []
        last = -1
        while last < trials:
            # A gap beyond the end is as good as one to the end.
            waits = self.exponential(size).mul_(scale).clamp_(max=trials)
            fits = float(waits.sum()) + size < 2**31 - 2
            gaps = waits.to(dtype).add_(1)
            gaps[0] += last
            positions = gaps.cumsum(0, dtype=dtype if fits else torch.int64)
            chunks.append(positions)
            last = int(positions[-1])
        positions = torch.cat(chunks) if len(chunks) > 1 else chunks[0]
        return positions[: int(torch.searchsorted(positions, trials))].to(dtype)
