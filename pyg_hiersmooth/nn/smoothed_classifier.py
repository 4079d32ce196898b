r"""What the smoothed classifiers for nodes, graphs and images share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.certificates import Certificate, certify_votes
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.vote_bounds import check_alpha, check_kind
from pyg_hiersmooth.nn.forward_voter import Forward, ForwardVoter
from pyg_hiersmooth.nn.sharded_voter import ShardedVoter
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.sampling import sample_votes
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint, digest, fingerprint
from pyg_hiersmooth.serialization import to_dict
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
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"'model' must be a torch.nn.Module (got {type(model).__name__})")
        self.model = model
        self.transform = transform
        self.num_classes = check_count("num_classes", num_classes, 2)
        self.feature_path: str | None = None

    @property
    def device(self) -> torch.device:
        r"""Where the model's parameters are."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def extra_repr(self) -> str:
        return f"{self.transform}, num_classes={self.num_classes}"

    def _check_features(self, x: Tensor | None) -> Tensor:
        if x is None:
            raise ValueError("data has no node features 'x'")
        self.transform.check_features(x)
        if x.layout != torch.strided and not isinstance(self.transform.noise, SparseFlipNoise):
            x = x.to_dense()
        if isinstance(self.transform.noise, SparseFlipNoise) and not x.is_floating_point():
            x = x.to(self._dtype())
        return x.to(self.device)

    def _dtype(self) -> torch.dtype:
        dtypes = (parameter.dtype for parameter in self.model.parameters())
        return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)

    def _make_voter(
        self,
        forward: Forward,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        seed: int,
        block_size: int | None,
        dense: bool,
        path: tuple[int, ...] = (),
    ) -> ForwardVoter:
        seed = check_count("seed", seed, 0)
        if block_size is not None:
            block_size = check_count("block_size", block_size, 1)
        with evaluating(self.model):
            voter = ForwardVoter(
                forward,
                self.transform,
                x,
                sizes,
                targets,
                self.num_classes,
                seed,
                block_size,
                dense,
                path,
            )
        self.feature_path = voter.source.description
        return voter

    def _sample(
        self,
        voter: ForwardVoter | ShardedVoter,
        num_samples: int,
        start: int,
        num_workers: int | None,
        checkpoint: str | os.PathLike[str] | None,
        progress: bool,
        description: str = "Sampling",
    ) -> Tensor:
        num_samples = check_count("num_samples", num_samples, 1)
        start = check_count("start", start, 0)
        kept = None
        if checkpoint is not None:
            kept = VoteCheckpoint(checkpoint, {**self._settings(voter), "start": start})
        with evaluating(self.model), torch.no_grad():
            return sample_votes(
                voter,
                num_samples,
                start,
                num_workers=num_workers,
                checkpoint=kept,
                progress=progress,
                description=description,
            )

    def _certify(
        self,
        voter: ForwardVoter | ShardedVoter,
        n0: int,
        n: int,
        alpha: float,
        kind: str,
        simultaneous: bool,
        num_workers: int | None,
        checkpoint: str | os.PathLike[str] | None,
        progress: bool,
        **objects: Any,
    ) -> Certificate:
        check_alpha(alpha)
        check_kind(kind)
        n0, n = check_count("n0", n0, 1), check_count("n", n, 1)
        self.transform.selection.prob_all_selected(0, np.asarray(objects["num_entities"]))
        if checkpoint is not None:
            Path(checkpoint).mkdir(parents=True, exist_ok=True)

        def sample(name: str, start: int, count: int) -> Tensor:
            file = None if checkpoint is None else Path(checkpoint, f"{name}.npz")
            label = name.replace("_", "-").capitalize()
            return self._sample(voter, count, start, num_workers, file, progress, label)

        pre_votes = sample("pre_votes", 0, n0)
        votes = sample("votes", n0, n)
        return certify_votes(
            self.transform,
            pre_votes,
            votes,
            alpha,
            kind,
            simultaneous=simultaneous,
            num_features=voter.features[0].size(1),
            **objects,
        )

    def _settings(self, voter: ForwardVoter | ShardedVoter) -> dict[str, Any]:
        smoothing = to_dict(self.transform.selection), to_dict(self.transform.noise)
        state = self.model.state_dict().values()
        weights = [value for value in state if isinstance(value, Tensor)]
        with evaluating(self.model), torch.no_grad():
            first_votes = voter.predict(range(1))
        return {
            "transform": str(self.transform),
            "smoothing": digest(json.dumps(smoothing).encode()),
            "seed": voter.seed,
            "device": voter.device.type,
            "dense": voter.dense,
            "model": str(self.model),
            "model weights": fingerprint(*weights),
            "features": fingerprint(*voter.features),
            "objects": fingerprint(*voter.objects),
            "targets": fingerprint(voter.targets),
            # Shows what has no tensors, such as another way to call the model.
            "first votes": fingerprint(first_votes),
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
