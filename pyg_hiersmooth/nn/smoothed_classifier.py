r"""What the smoothed classifiers for nodes, graphs and images share."""

from __future__ import annotations

import copy
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.transforms import Compose
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import (
    Certificate,
    StoppingRule,
    certify_anytime,
    certify_counts,
    certify_votes,
    check_questions,
)
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.stopping import Question
from pyg_hiersmooth.certificates.vote_bounds import check_kind, vote_bounds
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.nn.forward import Forward
from pyg_hiersmooth.nn.forward_voter import ForwardVoter, VoterOptions
from pyg_hiersmooth.nn.generators import generators_put_back
from pyg_hiersmooth.nn.sharded_voter import ShardedVoter
from pyg_hiersmooth.sampling import Voter, sample_votes
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, digest, fingerprint
from pyg_hiersmooth.sampling.cost import Cost, cost_of
from pyg_hiersmooth.sampling.outcomes import draws_nothing
from pyg_hiersmooth.sampling.ranks import current_ranks, together
from pyg_hiersmooth.sampling.rounds import sample_until
from pyg_hiersmooth.serialization import to_dict
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Index = ArrayLike | Tensor | None
Until = Question | Sequence[Question] | None

NUM_PRE_VOTES = 1_000
NUM_VOTES = 10_000
ALPHA = 0.01


class SmoothedClassifier(torch.nn.Module, ABC):
    r"""Base of the smoothed classifiers: a model, its smoothing, and the votes it casts.

    Votes come from a private copy of the model, in evaluation mode, and every vote is one fixed
    function of the features drawn for it and of the objects' structure: PyTorch's, NumPy's and
    Python's global generators are seeded for each sample, and a model that keeps something
    between calls, has generators of its own, or does not depend on the noisy features is refused.
    The user's model and data are never changed.

    Args:
        model (torch.nn.Module): The model.
        transform (HierarchicalNodeFeatureNoise or Compose): The smoothing, perhaps at the end of
            PyG's ``Compose``: what comes before the noise is done to the clean data, once.
        num_classes (int): Number of classes :math:`C`.

    Attributes:
        feature_path (str or None): Which way the features took into the model at the last
            sampling, and why.
        adjacency (str or None): The form of the graph that the model was called on at the last
            sampling, and why: an adjacency matrix where that is faster and the model answers the
            same on it, normalized once where convolutions of PyG can keep what they make of it.
            :obj:`None` where there is no graph.
        cost (Cost or None): What the last certificate was going to take: forward passes, and about
            how many seconds. It is found out and told where progress is shown, :obj:`None`
            otherwise.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise | Compose,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.before, transform = _taken_apart(transform)
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
        self.adjacency: str | None = None
        self.cost: Cost | None = None

    @property
    def device(self) -> torch.device:
        r"""Where the model's parameters are."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def extra_repr(self) -> str:
        return f"{self.transform}, num_classes={self.num_classes}"

    def forward(
        self, data: Any, num_samples: int = 1_000, seed: int = 0, index: Index = None
    ) -> Tensor:
        r"""Estimated vote probabilities of the smoothed classifier, float32 ``[M, C]``; arguments
        as in :meth:`sample_votes`.
        """
        return self._sample_votes(data, num_samples, seed, index, False) / num_samples

    def predict(
        self, data: Any, num_samples: int = 1_000, seed: int = 0, index: Index = None
    ) -> Tensor:
        r"""The classes that most samples vote for, int64 ``[M]``, without a certificate; arguments
        as in :meth:`sample_votes`. Where two are level, the first of them.
        """
        return self._sample_votes(data, num_samples, seed, index, False).argmax(-1)

    def _cleaned(self, data: Any) -> Any:
        r"""The data that the noise is added to."""
        return data if self.before is None else self.before(copy.copy(data))

    @abstractmethod
    def _voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ForwardVoter | ShardedVoter, dict[str, Any]]:
        r"""What casts the votes, and what a certificate keeps of the objects: their ``index`` and
        ``num_entities``.
        """

    def _narrowed(
        self, voter: ForwardVoter | ShardedVoter, data: Any, index: Index
    ) -> Callable[[Tensor], Voter]:
        r"""Makes a voter on some targets of a voter, which need not draw the same samples."""
        return voter.only

    @together()
    def _sample_votes(
        self,
        data: Any,
        num_samples: int,
        seed: int,
        index: Index,
        progress: bool,
        *,
        start: int = 0,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
    ) -> Tensor:
        num_samples = check_count("num_samples", num_samples, 1)
        start = check_count("start", start, 0)
        voter = self._checked_voter(data, index, seed, block_size, dense)[0]
        settings = self._settings(voter, checkpoint is not None)
        current_ranks().compare(settings)
        kept = None
        if checkpoint is not None:
            kept = VoteCheckpoint(checkpoint, {**settings, "start": start})
        with generators_put_back(voter.device), torch.no_grad():
            return sample_votes(
                voter,
                num_samples,
                start,
                num_workers=num_workers,
                checkpoint=kept,
                progress=progress,
            )

    @together()
    def _certify(
        self,
        data: Any,
        n0: int | None,
        n: int | None,
        alpha: float | None,
        seed: int,
        index: Index,
        progress: bool,
        *,
        kind: Kind = "multiclass",
        simultaneous: bool | None = None,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
        until: Until = None,
    ) -> Certificate:
        check_kind(kind)
        exact = draws_nothing(self.transform)
        n0, n, alpha, simultaneous = self._statistics(
            exact, kind, n0, n, alpha, simultaneous, until
        )
        voter, objects = self._checked_voter(data, index, seed, block_size, dense, exact)
        objects["num_features"] = voter.features[0].size(1)
        settings = self._settings(voter, checkpoint is not None)
        statistics = {"n0": n0, "n": n, "alpha": alpha, "simultaneous": simultaneous}
        current_ranks().compare({**statistics, "kind": kind, "until": str(until), **settings})
        hints = self._hints(voter, exact, until is not None)
        if until is not None:
            kept_votes = None
            if checkpoint is not None and current_ranks().is_first:
                kept_votes = VoteCheckpoint(
                    Path(checkpoint, "votes.npz"), {**settings, "start": 0}, anytime=True
                )
            self._announce(voter, n, num_workers, hints, progress)
            return self._certify_until(
                until,
                voter,
                self._narrowed(voter, data, index),
                objects,
                n,
                alpha,
                progress,
                kind,
                simultaneous,
                num_workers,
                kept_votes,
            )

        def certified(votes: list[Tensor]) -> Certificate:
            if exact:
                return certify_counts(self.transform, votes[0], kind, **objects)
            pre_votes, fresh = votes
            return certify_votes(
                self.transform,
                pre_votes,
                fresh,
                alpha,
                kind,
                simultaneous=simultaneous,
                **objects,
            )

        parts = {"votes": (0, n)} if exact else {"pre_votes": (0, n0), "votes": (n0, n)}
        unanimous = torch.zeros(voter.num_targets, voter.num_classes, dtype=torch.long)
        unanimous[:, 0] = n
        certified([unanimous] * len(parts))  # says before sampling what would fail after it
        kept: dict[str, VoteCheckpoint | None] = dict.fromkeys(parts)
        if checkpoint is not None and current_ranks().is_first:
            empty = Counted.none(voter.num_targets, voter.num_classes)
            for name, (start, count) in parts.items():
                file = VoteCheckpoint(
                    Path(checkpoint, f"{name}.npz"),
                    {**settings, "start": start},
                    fixed_n=count if name == "votes" and not exact else None,
                )
                file.check(empty, count)
                kept[name] = file
            Path(checkpoint).mkdir(parents=True, exist_ok=True)
        self._announce(voter, self._left(voter, parts, kept), num_workers, hints, progress)
        votes = []
        with generators_put_back(voter.device), torch.no_grad():
            for name, (start, count) in parts.items():
                sampled = sample_votes(
                    voter,
                    count,
                    start,
                    num_workers=num_workers,
                    checkpoint=kept[name],
                    progress=progress,
                    description="Outcomes" if exact else name.replace("_", "-").capitalize(),
                )
                votes.append(sampled)
        return certified(votes)

    def _announce(
        self,
        voter: ForwardVoter | ShardedVoter,
        num_left: int,
        num_workers: int | None,
        hints: list[str],
        progress: bool,
    ) -> None:
        r"""Finds out what sampling is going to take, and says so where progress is shown."""
        self.cost = None
        if not progress or not current_ranks().is_first or num_left == 0:
            return
        with generators_put_back(voter.device):
            self.cost = cost_of(voter, num_left, num_workers, hints)
        tqdm.write(str(self.cost), file=sys.stderr)

    def _left(
        self,
        voter: ForwardVoter | ShardedVoter,
        parts: dict[str, tuple[int, int]],
        kept: dict[str, VoteCheckpoint | None],
    ) -> int:
        empty = Counted.none(voter.num_targets, voter.num_classes)
        return sum(
            count - (0 if (file := kept[name]) is None else file.load(empty, count).num_samples)
            for name, (_, count) in parts.items()
        )

    def _hints(self, voter: ForwardVoter | ShardedVoter, exact: bool, asks: bool) -> list[str]:
        r"""What would make sampling cheaper, besides fewer samples."""
        if exact:
            return []
        hints = [] if asks else ["'until', where one question is to be answered"]
        if not self.transform.noise.axes:
            hints.append("PartitionSelection, which is exact in 100 passes")
        return hints

    def _certify_until(
        self,
        until: Question | Sequence[Question],
        voter: ForwardVoter | ShardedVoter,
        narrowed: Callable[[Tensor], Voter],
        objects: dict[str, Any],
        n: int,
        alpha: float,
        progress: bool,
        kind: Kind,
        simultaneous: bool,
        num_workers: int | None,
        checkpoint: VoteCheckpoint | None,
    ) -> Certificate:
        rule = StoppingRule(
            self.transform,
            until,
            voter.num_targets,
            voter.num_classes,
            alpha,
            kind,
            simultaneous=simultaneous,
            num_entities=objects["num_entities"],
            num_features=objects["num_features"],
        )

        def decided(votes: Tensor, targets: Tensor) -> Tensor:
            return torch.from_numpy(rule.answered(votes.numpy(), targets.numpy()))

        if checkpoint is not None:
            checkpoint.check(Counted.none(voter.num_targets, voter.num_classes), n)
            Path(checkpoint.path).parent.mkdir(parents=True, exist_ok=True)
        with generators_put_back(voter.device), torch.no_grad():
            votes = sample_until(
                voter,
                decided,
                n,
                narrowed=narrowed,
                num_workers=num_workers,
                checkpoint=checkpoint,
                progress=progress,
            )
        return certify_anytime(
            self.transform, votes, alpha, kind, simultaneous=simultaneous, **objects
        )

    def _statistics(
        self,
        exact: bool,
        kind: Kind,
        n0: int | None,
        n: int | None,
        alpha: float | None,
        simultaneous: bool | None,
        until: Until,
    ) -> tuple[int, int, float, bool]:
        r"""What sampling needs, with its defaults, or the number of outcomes where none is."""
        given = {
            "n0": n0,
            "n": n,
            "alpha": alpha,
            "simultaneous": simultaneous,
            "until": until,
        }
        if exact:
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"'{name}' belongs to sampling, but {self.transform.selection} with "
                        f"{self.transform.noise} is certified exactly: leave it out (got {value})"
                    )
            return 0, self.transform.selection.num_outcomes() or 0, 0.0, True
        if until is not None:
            check_questions(self.transform.noise, until)
            if n0 is not None:
                raise ValueError(
                    "'n0' does nothing with 'until', where the votes that bound a class choose it "
                    f"as well: leave it out (got {n0})"
                )
        n0 = check_count("n0", NUM_PRE_VOTES if n0 is None else n0, 1)
        n = check_count("n", NUM_VOTES if n is None else n, 1)
        alpha = ALPHA if alpha is None else alpha
        one = torch.eye(1, self.num_classes, dtype=torch.long)
        vote_bounds(one, one, alpha, kind)
        return n0, n, alpha, bool(simultaneous)

    def _checked_voter(
        self,
        data: Any,
        index: Index,
        seed: int,
        block_size: int | None,
        dense: bool,
        enumerate_outcomes: bool = False,
    ) -> tuple[ForwardVoter | ShardedVoter, dict[str, Any]]:
        sampling = VoterOptions(
            seed=check_count("seed", seed, 0),
            block_size=None if block_size is None else check_count("block_size", block_size, 1),
            dense=dense,
            enumerate_outcomes=enumerate_outcomes,
        )
        return self._voter(self._cleaned(data), index, sampling)

    def _forward_voter(
        self,
        forward: Forward,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        options: VoterOptions,
        path: tuple[int, ...] = (),
        transform: HierarchicalNodeFeatureNoise | None = None,
    ) -> ForwardVoter:
        voter = ForwardVoter(
            self.model,
            forward,
            transform or self.transform,
            x,
            sizes,
            targets.to(self.device),
            self.num_classes,
            options,
            path,
        )
        self.feature_path = voter.source.description
        self.adjacency = None if voter.adjacency is None else str(voter.adjacency)
        return voter

    def _check_features(self, x: Tensor | None) -> Tensor:
        if x is None:
            raise ValueError("data has no node features 'x'")
        self.transform.check_features(x)
        if x.layout != torch.strided and not self.transform.noise.keeps_sparse:
            x = x.to_dense()
        if self.transform.noise.needs_binary and not x.is_floating_point():
            x = x.to(self._dtype())
        return x.to(self.device)

    def _dtype(self) -> torch.dtype:
        dtypes = (parameter.dtype for parameter in self.model.parameters())
        return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)

    def _settings(self, voter: ForwardVoter | ShardedVoter, kept: bool) -> dict[str, Any]:
        r"""All that votes depend on but the samples, for those that are kept or shared by ranks."""
        if not kept and current_ranks().size == 1:
            return {}
        smoothing = to_dict(self.transform.selection), to_dict(self.transform.noise)
        return {
            "transform": str(self.transform),
            "smoothing": digest(json.dumps(smoothing).encode()),
            "seed": voter.options.seed,
            "device": voter.device.type,
            "dense": voter.options.dense,
            "exact": voter.options.enumerate_outcomes,
            "model": str(self.model),
            "model weights": fingerprint(*self.model.parameters(), *self.model.buffers()),
            "targets": fingerprint(voter.asked),
            "objects": fingerprint(*voter.objects),
            "features": fingerprint(*voter.features),
            "adjacency": voter.adjacency_name,
            # Show what has no tensors, such as another way to call the model.
            "logits": voter.fingerprint(),
        }


def _taken_apart(
    transform: HierarchicalNodeFeatureNoise | Compose,
) -> tuple[Compose | None, HierarchicalNodeFeatureNoise]:
    r"""What is done to clean data, and the noise that comes last."""
    if not isinstance(transform, Compose):
        return None, transform
    *before, last = transform.transforms or [None]
    noises = [each for each in before if isinstance(each, HierarchicalNodeFeatureNoise)]
    if noises:
        raise ValueError(
            "'transform' must end with the noise, since what comes after it would change the noisy "
            f"features and the indicator (got {last} after {noises[0]})"
        )
    return (Compose(before) if before else None), last
