r"""What the smoothed classifiers for nodes, graphs and images share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.certificates import Certificate, certify_votes
from pyg_hiersmooth.certificates.confidence import check_alpha, check_kind
from pyg_hiersmooth.sampling import Voter, sample_votes
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint, fingerprint
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class SmoothedClassifier(torch.nn.Module):
    r"""Base of the smoothed classifiers: a model, its smoothing, and the votes it casts.

    Attributes:
        feature_path (str or None): Which way the features took into the model at the last
            sampling, and why.
    """

    def __init__(
        self, model: torch.nn.Module, transform: HierarchicalNodeFeatureNoise, num_classes: int
    ) -> None:
        super().__init__()
        if not isinstance(transform, HierarchicalNodeFeatureNoise):
            raise TypeError(
                "'transform' must be a HierarchicalNodeFeatureNoise "
                f"(got {type(transform).__name__})"
            )
        if int(num_classes) != num_classes or num_classes < 2:
            raise ValueError(f"'num_classes' must be an integer of at least 2 (got {num_classes})")
        self.model = model
        self.transform = transform
        self.num_classes = int(num_classes)
        self.feature_path: str | None = None

    @property
    def device(self) -> torch.device:
        r"""Where the model's parameters are."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def extra_repr(self) -> str:
        return f"{self.transform}, num_classes={self.num_classes}"

    def _sample(
        self,
        voter: Voter,
        num_samples: int,
        start: int,
        num_workers: int | None,
        checkpoint: VoteCheckpoint | None,
        progress: bool,
        description: str = "Sampling",
    ) -> Tensor:
        check_count("num_samples", num_samples, 1)
        check_count("start", start, 0)
        with evaluating(self.model), torch.no_grad():
            return sample_votes(
                voter,
                num_samples,
                start,
                num_workers=num_workers,
                checkpoint=checkpoint,
                progress=progress,
                description=description,
            )

    def _certify(
        self,
        voter: Voter,
        n0: int,
        n: int,
        alpha: float,
        kind: str,
        simultaneous: bool,
        num_workers: int | None,
        checkpoint: str | os.PathLike[str] | None,
        settings: dict[str, Any],
        progress: bool,
        **objects: Any,
    ) -> Certificate:
        check_alpha(alpha)
        check_kind(kind)
        check_count("n0", n0, 1)
        check_count("n", n, 1)
        votes = []
        for name, label, start, count in (
            ("pre_votes", "Selecting", 0, n0),
            ("votes", "Bounding", n0, n),
        ):
            kept = None
            if checkpoint is not None:
                kept = VoteCheckpoint(
                    Path(checkpoint, f"{name}.npz"), {**settings, "start": start}
                )
            votes.append(self._sample(voter, count, start, num_workers, kept, progress, label))
        return certify_votes(
            self.transform, *votes, alpha, kind, simultaneous=simultaneous, **objects
        )

    def _model_settings(self) -> dict[str, Any]:
        return {
            "transform": str(self.transform),
            "selection": fingerprint(getattr(self.transform.selection, "p", None))
            if isinstance(getattr(self.transform.selection, "p", None), Tensor)
            else str(self.transform.selection),
            "model": str(self.model),
            "model weights": fingerprint(*self.model.state_dict().values()),
        }


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    r"""Puts a model in evaluation mode for a while, and each of its modules back after."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def check_count(name: str, value: int, least: int) -> None:
    r"""Raises a :class:`ValueError` if :obj:`value` is not an integer of at least :obj:`least`."""
    if int(value) != value or value < least:
        raise ValueError(f"'{name}' must be an integer of at least {least} (got {value})")
