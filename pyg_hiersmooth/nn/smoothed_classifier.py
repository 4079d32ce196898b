r"""What the smoothed classifiers for nodes, graphs and images share."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.transforms import Compose
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.certificate_plan import CertificatePlan, Until
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.sampling import Voter, sample_votes
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, digest, fingerprint
from pyg_hiersmooth.sampling.cost import Cost, cost_of
from pyg_hiersmooth.sampling.generators import generators_put_back
from pyg_hiersmooth.sampling.ranks import collective, current_ranks
from pyg_hiersmooth.sampling.rounds import sample_until
from pyg_hiersmooth.serialization import to_dict
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Index = ArrayLike | Tensor | None


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
        r"""The data that the noise is added to: checked, and with what comes before the noise done.

        Raises:
            TypeError, ValueError: If they are not in order, or what comes before the noise is not
                a function of each row alone.
        """
        return data

    @abstractmethod
    def _voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ModelVoter, dict[str, Any]]:
        r"""What casts the votes, and what a certificate keeps of the objects: their ``index`` and
        ``num_entities``.
        """

    def _narrowed(self, voter: ModelVoter, data: Any, index: Index) -> Callable[[Tensor], Voter]:
        r"""Makes a voter on some targets of a voter, which need not draw the same samples."""
        return voter.only

    @collective()
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
        data = self._cleaned(data)
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

    @collective()
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
        plan = CertificatePlan.of(
            self.transform,
            self.num_classes,
            kind,
            n0=n0,
            n=n,
            alpha=alpha,
            simultaneous=simultaneous,
            until=until,
        )
        data = self._cleaned(data)
        voter, objects = self._checked_voter(data, index, seed, block_size, dense, plan.exact)
        objects["num_features"] = voter.features[0].size(1)
        settings = self._settings(voter, checkpoint is not None)
        current_ranks().compare({**plan.settings, **settings})
        decided = plan.decided(voter.num_targets, objects)
        kept = _kept_votes(plan, voter, settings, checkpoint)
        self._announce(voter, plan, kept, num_workers, progress)
        votes = []
        with generators_put_back(voter.device), torch.no_grad():
            for name, (start, count) in plan.parts.items():
                options: dict[str, Any] = {
                    "num_workers": num_workers,
                    "checkpoint": kept.get(name),
                    "progress": progress,
                }
                if decided is not None:
                    narrowed = self._narrowed(voter, data, index)
                    votes.append(sample_until(voter, decided, count, narrowed=narrowed, **options))
                else:
                    told = "Outcomes" if plan.exact else name.replace("_", "-").capitalize()
                    votes.append(sample_votes(voter, count, start, description=told, **options))
        return plan.certificate(votes, **objects)

    def _announce(
        self,
        voter: ModelVoter,
        plan: CertificatePlan,
        kept: dict[str, VoteCheckpoint],
        num_workers: int | None,
        progress: bool,
    ) -> None:
        r"""Finds out what sampling is going to take, and says so where progress is shown."""
        self.cost = None
        if not progress or not current_ranks().is_first:
            return
        empty = Counted.none(voter.num_targets, voter.num_classes)
        num_left = sum(
            count - (kept[name].load(empty, count).num_samples if name in kept else 0)
            for name, (_, count) in plan.parts.items()
        )
        if num_left == 0:
            return
        with generators_put_back(voter.device):
            self.cost = cost_of(voter, num_left, num_workers, self._hints(voter, plan))
        tqdm.write(str(self.cost), file=sys.stderr)

    def _hints(self, voter: ModelVoter, plan: CertificatePlan) -> list[str]:
        r"""What would make sampling cheaper, besides fewer samples."""
        return plan.hints()

    def _checked_voter(
        self,
        data: Any,
        index: Index,
        seed: int,
        block_size: int | None,
        dense: bool,
        enumerate_outcomes: bool = False,
    ) -> tuple[ModelVoter, dict[str, Any]]:
        sampling = VoterOptions(
            seed=check_count("seed", seed, 0),
            block_size=None if block_size is None else check_count("block_size", block_size, 1),
            dense=dense,
            enumerate_outcomes=enumerate_outcomes,
        )
        return self._voter(data, index, sampling)

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
        self.feature_path = voter.model.source.description
        self.adjacency = None if voter.model.adjacency is None else str(voter.model.adjacency)
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

    def _settings(self, voter: ModelVoter, kept: bool) -> dict[str, Any]:
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


def _kept_votes(
    plan: CertificatePlan,
    voter: ModelVoter,
    settings: dict[str, Any],
    folder: str | os.PathLike[str] | None,
) -> dict[str, VoteCheckpoint]:
    r"""Where the votes of each part are kept, found right as far as they go before any file is
    begun; nowhere on ranks that are not the first.
    """
    if folder is None or not current_ranks().is_first:
        return {}
    empty = Counted.none(voter.num_targets, voter.num_classes)
    kept = {}
    for name, (start, count) in plan.parts.items():
        kept[name] = VoteCheckpoint(
            Path(folder, f"{name}.npz"),
            {**settings, "start": start},
            anytime=plan.until is not None,
            fixed_n=count if plan.fixes_number_of(name) else None,
        )
        kept[name].check(empty, count)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, (_, count) in plan.parts.items():
        kept[name].load(empty, count)  # begins the file, which says what number was asked for
    return kept


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
