r"""Votes of a model that is called on noisy features of fixed objects."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.features import DenseFeatures, FeatureSource, feature_source
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

MAX_BLOCK = 512
ROWS_PER_CPU_BLOCK = 2048


class Forward(Protocol):
    r"""Calls a model on features of fixed objects."""

    num_outputs: int
    r"""Rows of logits for one copy of the objects."""

    def __call__(self, x: Tensor, copies: int) -> Any:
        r"""Logits ``[copies * num_outputs, C]`` for features ``[copies * N, D]``."""

    def tensors(self) -> list[Tensor]:
        r"""All tensors besides features that the logits depend on, in a fixed order."""


class ForwardVoter(Voter):
    r"""Votes of a model under hierarchical noise on its features.

    Args:
        forward (Forward): Calls the model.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        x (torch.Tensor): Clean features ``[N, D]``, one row an entity.
        sizes (list of int): Entities of each object; they sum to ``N``.
        targets (torch.Tensor): The outputs that are voted on, int64 ``[M]``.
        num_classes (int): Number of classes :math:`C`.
        seed (int): Non-negative seed.
        block_size (int, optional): Copies of the objects in one forward pass, at most 1 for a
            model that mixes all rows it is given, such as a norm over all nodes.
        dense (bool): Whether to write noisy features out in any case.
        path (tuple of int): What tells its streams from those of other voters of one seed.

    Raises:
        ValueError: If the model fails on the features, returns no logits for the outputs, or mixes
            the copies of a block.
    """

    def __init__(
        self,
        forward: Forward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        num_classes: int,
        seed: int,
        block_size: int | None = None,
        dense: bool = False,
        path: tuple[int, ...] = (),
    ) -> None:
        self.forward, self.transform, self.x, self.sizes = forward, transform, x, sizes
        self.path = path
        self.targets, self.num_targets, self.num_classes = targets, targets.numel(), num_classes
        self.seed, self.dense, self.device = seed, dense, x.device
        with torch.no_grad():
            self._try_model()
            self.block_size = self._choose_block_size(block_size)

    @property
    def features(self) -> list[Tensor]:
        r"""All clean features."""
        return [self.x]

    @property
    def objects(self) -> list[Tensor]:
        r"""All else that the logits depend on."""
        return self.forward.tensors()

    @cached_property
    def source(self) -> FeatureSource:
        r"""Where noisy features come from."""

        def run(x: Tensor) -> Any:
            return self.forward(x, 1)

        return feature_source(self.transform, self.x, self.sizes, run, self.dense)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "source"}

    def predict(self, samples: range) -> Tensor:
        predictions = []
        # Blocks start at multiples of their size, so that they are the same in every run.
        start = samples.start - samples.start % self.block_size
        for first in range(start, samples.stop, self.block_size):
            block = self._predict_block(range(first, first + self.block_size))
            predictions.append(block[max(samples.start - first, 0) : samples.stop - first])
        return torch.cat(predictions)

    def _predict_block(self, samples: range) -> Tensor:
        logits = self._logits(samples).view(len(samples), self.forward.num_outputs, -1)
        logits = logits.index_select(1, self.targets)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")
        return logits.argmax(-1)

    def _logits(self, samples: range) -> Any:
        streams = [
            RandomStream(self.seed, *self.path, sample, device=self.device) for sample in samples
        ]
        try:
            return self.forward(self.source.draw(streams), len(samples))
        except NotLinearError as error:
            # To draw this sample anew would favour the samples that did not get here.
            raise ValueError(
                f"the model uses its features in other ways from sample to sample ('{error}'): "
                "pass dense=True"
            ) from error

    def _try_source(self) -> None:
        try:
            self.forward(self.source.draw([RandomStream(0, device=self.device)]), 1)
        except NotLinearError as error:
            self.source = DenseFeatures(self.transform, self.x, self.sizes, f"the model: {error}")

    def _try_model(self) -> None:
        shape = [self.x.size(0), self.x.size(1) + int(self.transform.append_indicator)]
        if 0 in self.x.shape:
            raise ValueError(f"features 'x' must not be empty (got shape {list(self.x.shape)})")
        try:
            self._try_source()
            logits = self._logits(range(1))
        except ValueError:
            raise
        except Exception as error:
            indicator = " (the last is the indicator)" if self.transform.append_indicator else ""
            raise ValueError(
                f"the model failed on features of shape {shape}{indicator}: {error}"
            ) from error
        expected = [self.forward.num_outputs, self.num_classes]
        if not isinstance(logits, Tensor) or list(logits.shape) != expected:
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model must return logits of shape {expected} (got {got})")
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")

    def _choose_block_size(self, wanted: int | None) -> int:
        block_size = wanted or min(MAX_BLOCK, self._cheapest_block_size())
        if block_size <= 1 or self._copies_are_independent(min(block_size, 4)):
            return max(block_size, 1)
        if wanted is not None:
            raise ValueError(
                f"'block_size' must be 1 for a model that mixes all rows it is given (got {wanted})"
            )
        return 1

    def _cheapest_block_size(self) -> int:
        if self.device.type != "cuda":
            return ROWS_PER_CPU_BLOCK // self.x.size(0)
        free, _ = torch.cuda.mem_get_info(self.device)
        return free // (32 * self.x.element_size() * self.x.numel())

    def _copies_are_independent(self, copies: int) -> bool:
        together = self._logits(range(copies))
        apart = torch.cat([self._logits(range(i, i + 1)) for i in range(copies)])
        return agree(together, apart)


def agree(together: Tensor, apart: Tensor) -> bool:
    r"""Whether logits of objects in one batch are those of the objects on their own, but for the
    order of sums.
    """
    if together.shape != apart.shape:
        return False
    scale = apart.abs().amax(-1, keepdim=True)
    return bool(((together - apart).abs() <= 1e-3 * scale + 1e-6).all())
