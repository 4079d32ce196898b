r"""What the smoothed classifiers for nodes, graphs and images share."""

from __future__ import annotations

import copy
import json
import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.transforms import Compose

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.errors import NotCertifiableError, Problem
from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.certificate_plan import CertificatePlan, Until
from pyg_hiersmooth.nn.isolation.model_state import state_of
from pyg_hiersmooth.nn.isolation.problems import collecting, problem_of
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.sampling import Voter, audited_samples, sample_votes
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, digest, fingerprint
from pyg_hiersmooth.sampling.cost import Cost, cost_of, tell
from pyg_hiersmooth.sampling.engine import FIRST_AUDITED, single_thread
from pyg_hiersmooth.sampling.generators import generators_put_back
from pyg_hiersmooth.sampling.outcomes import NothingSelected
from pyg_hiersmooth.sampling.ranks import collective, current_ranks
from pyg_hiersmooth.sampling.rounds import sample_until
from pyg_hiersmooth.sampling.workers import workers_kept
from pyg_hiersmooth.serialization import to_dict
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

Index = ArrayLike | Tensor | None
Transform: TypeAlias = HierarchicalNodeFeatureNoise | HierarchicalEdgeNoise | Compose

NOISES = (HierarchicalNodeFeatureNoise, HierarchicalEdgeNoise)

CLEAN = HierarchicalNodeFeatureNoise(NothingSelected(), AblationNoise(), append_indicator=False)
r"""No noise on nodes."""


class SmoothedClassifier(torch.nn.Module, ABC):
    r"""Base of the smoothed classifiers: a model, its smoothing, and the votes it casts.

    Votes come from a private copy of the model, in evaluation mode, and every vote is one fixed
    function of the features drawn for it and of the objects' structure: PyTorch's, NumPy's and
    Python's global generators are seeded for each sample, and a model that keeps something
    between calls, has generators of its own, or does not depend on the noisy features is refused.
    The user's model and data are never changed.

    Args:
        model (torch.nn.Module): The model.
        transform (HierarchicalNodeFeatureNoise, HierarchicalEdgeNoise or Compose): The smoothing,
            of nodes or of edges, perhaps at the end of PyG's ``Compose``, or both there, first of
            nodes: what comes before the noise is done to the clean data, once.
        num_classes (int): Number of classes :math:`C`.

    Attributes:
        transform (HierarchicalNodeFeatureNoise): The noise of nodes; where only edges get noise,
            one that selects none.
        edges (HierarchicalEdgeNoise or None): The noise of edges.
        smoothing (Smoothing): The selection and the noise that certificates are made with.
        feature_path (str or None): How the features entered the model at the last sampling,
            and why.
        adjacency (str or None): The form of the graph that the model was called on at the last
            sampling, and why: an adjacency matrix where that is faster and the model answers the
            same on it, normalized once where convolutions of PyG can keep what they make of it.
            :obj:`None` where there is no graph.
        cost (Cost or None): The expected cost of the last certificate: forward passes, and about
            how many seconds. It is estimated and printed where progress is shown, :obj:`None`
            otherwise.
    """

    noun: ClassVar[str]
    r"""What is classified: ``node``, ``graph`` or ``image``."""

    not_ablated: ClassVar[dict[str, str]] = {}
    r"""What cannot be ablated here, and why."""

    is_always_dense: ClassVar[bool] = False
    r"""Whether noisy features are always written out."""

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Transform,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.before, nodes, self.edges = _taken_apart(transform)
        for of, noise in ((nodes and nodes.noise.of, nodes), ("edges", self.edges)):
            if noise is not None and (why := self.not_ablated.get(str(of))) is not None:
                raise NotCertifiableError(f"'transform' cannot have {noise.noise} here: {why}")
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"'model' must be a torch.nn.Module (got {type(model).__name__})")
        self.model = model
        self.transform = CLEAN if nodes is None else nodes
        self.smoothing: Smoothing = self.transform
        if self.edges is not None:
            self.smoothing = EdgeSmoothing(self.edges, nodes)
        self.num_classes = check_count("num_classes", num_classes, 2)
        self.feature_path: str | None = None
        self.adjacency: str | None = None
        self.cost: Cost | None = None
        # What was tried last, by the paths of its streams, with all that it was tried with.
        self._prepared: dict[tuple[int, ...], tuple[Any, ForwardVoter]] = {}

    @property
    def edges_change(self) -> bool:
        r"""Whether certificates are about changes of edges, too."""
        return self.edges is not None or not self.transform.noise.fixes_graph

    @property
    def features_are_unbounded(self) -> bool:
        r"""Whether certificates are about changes of features to anything."""
        return self.transform is not CLEAN and not self.transform.noise.axes

    @property
    def device(self) -> torch.device:
        r"""Where the model's parameters are."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def extra_repr(self) -> str:
        noises = (self.transform if self.transform is not CLEAN else None, self.edges)
        told = ", ".join(str(noise) for noise in noises if noise is not None)
        return f"{told}, num_classes={self.num_classes}"

    def forward(
        self,
        data: Any,
        num_samples: int = 1_000,
        seed: int = 0,
        index: Index = None,
        *,
        node_index: Index = None,
    ) -> Tensor:
        r"""Estimated vote probabilities of the smoothed classifier, float32 ``[M, C]``; arguments
        as in :meth:`sample_votes`.
        """
        targets = self._index(index, node_index)
        return self.sample_votes(data, num_samples, seed, targets, False) / num_samples

    def predict(
        self,
        data: Any,
        num_samples: int = 1_000,
        seed: int = 0,
        index: Index = None,
        *,
        node_index: Index = None,
    ) -> Tensor:
        r"""The classes that most samples vote for, int64 ``[M]``, without a certificate; arguments
        as in :meth:`sample_votes`. Of two with equal votes, the first.
        """
        targets = self._index(index, node_index)
        return self.sample_votes(data, num_samples, seed, targets, False).argmax(-1)

    @collective()
    def sample_votes(
        self,
        data: Any,
        num_samples: int,
        seed: int = 0,
        index: Index = None,
        progress: bool = True,
        *,
        node_index: Index = None,
        start: int = 0,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
        audit: float | None = None,
        approve: float | Sequence[float] | None = None,
    ) -> Tensor:
        r"""Counts the classes that the model predicts under noise.

        Sample :math:`i` depends on :obj:`data`, :obj:`seed` and :math:`i` alone, whatever the
        number of workers or interruptions.

        Args:
            data: What is classified. A graph whose nodes are (``Data`` or ``HeteroData``); graphs
                (``Data``, a list, a ``Dataset`` or a ``DataLoader``, of which all of its dataset,
                in the order there); or images ``[B, C, H, W]`` (a tensor, or a list, dataset or
                loader of images ``[C, H, W]``, alone or the first of each item).
            num_samples (int): Number of samples, at least 1.
            seed (int): Non-negative seed. (default: :obj:`0`)
            index (torch.Tensor, optional): Mask or indices ``[M]`` of the targets; a number stands
                for one. Noise is drawn for all graphs or images: of few targets among many, pass
                only those as :obj:`data`. (default: all)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            node_index (torch.Tensor, optional): Another name of :obj:`index` for nodes.
            start (int): First sample, so that ranges of one run can be drawn apart: votes that
                bound a class must start after those that selected it. (default: :obj:`0`)
            num_workers (int, optional): Processes that sample on a CPU; :obj:`0` samples in this
                process. (default: one per core)
            block_size (int, optional): Copies of the objects in one forward pass. (default: few on
                a CPU, hundreds of a small object, as memory allows on a GPU)
            checkpoint (str, optional): File that keeps the votes as they come, and that an
                interrupted run with the same arguments continues from. (default: :obj:`None`)
            dense (bool): Whether to call the model the plain way: on written-out features and on
                the graph as given, instead of drawing noise behind its first linear map and on
                an adjacency matrix. (default: :obj:`False`)
            audit (float, optional): Share of the samples in :math:`(0, 1]` that a pristine copy of
                the model is asked about again, without any shortcut; another vote refuses the run.
                (default: 8 of the first 32 samples and one in 2,000 of the rest)
            approve (float or list of float, optional): Softmax probability in [0, 1] from which on
                a sample *approves* a class, or several such levels: counts approvals instead of
                votes. (default: :obj:`None`)

        Returns:
            torch.Tensor: Votes, int64 ``[M, C]``; each row sums to :obj:`num_samples`. With
            :obj:`approve`, the number of samples that approve each class, int64 ``[M, C]``, or
            ``[len(approve), M, C]`` for several levels.

        Raises:
            TypeError: If :obj:`data` is of another kind.
            ValueError: If an argument is out of range, the features are not what the noise is
                defined on, the model fails on them or does not return one row of :math:`C` logits
                per object, or the checkpoint belongs to another run.
            ImpureModelError: If votes are not one fixed function of the noisy features and the
                structure; or if messages are ablated, and silent nodes reach others.
            NotCertifiableError: If what comes before the noise, or the kind of graph, lets no
                certificate hold.
            AuditError: If an audited sample votes differently.
        """
        num_samples = check_count("num_samples", num_samples, 1)
        start = check_count("start", start, 0)
        data = self._cleaned(data)
        options = self._options(seed, block_size, dense, approve=_check_levels(approve))
        voter = self._voter(data, self._index(index, node_index), options)[0]
        settings = self._settings(voter, checkpoint is not None)
        current_ranks().compare(settings)
        kept = None
        if checkpoint is not None:
            kept = VoteCheckpoint(checkpoint, {**settings, "start": start})
        with generators_put_back(voter.device), torch.no_grad():
            counts = sample_votes(
                voter,
                num_samples,
                start,
                num_workers=num_workers,
                checkpoint=kept,
                progress=progress,
                audited=audited_samples(
                    options.seed, range(start, start + num_samples), _check_share(audit)
                ),
            )
        found = voter.tally.read(counts)
        if approve is None:
            return found.votes
        return found.approvals if isinstance(approve, Sequence) else found.approvals[0]

    @collective()
    def certify(
        self,
        data: Any,
        n0: int | None = None,
        n: int | None = None,
        alpha: float | None = None,
        seed: int = 0,
        index: Index = None,
        progress: bool = True,
        *,
        node_index: Index = None,
        kind: Kind = "multiclass",
        simultaneous: bool | None = None,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
        until: Until = None,
        audit: float | None = None,
        approve: float | None = None,
    ) -> Certificate:
        r"""Samples, and certifies the votes.

        Where a smoothing draws nothing, as with
        :class:`~pyg_hiersmooth.selection.PartitionSelection` and
        :class:`~pyg_hiersmooth.noise.AblationNoise`, all of its outcomes are voted on, each once,
        and the certificate is exact: it holds with certainty, and :obj:`n0`, :obj:`n`,
        :obj:`alpha`, :obj:`simultaneous` and :obj:`until` are not taken.

        Args:
            data, seed, index, progress, node_index, num_workers, block_size, dense: As in
                :meth:`sample_votes`.
            n0 (int): Samples ``0, ..., n0 - 1``, which select the class. (default: :obj:`1_000`)
            n (int): Samples ``n0, ..., n0 + n - 1``, which bound it. (default: :obj:`10_000`)
            alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
            kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
            simultaneous (bool): Whether the statements hold for all targets at once.
                (default: :obj:`False`)
            checkpoint (str, optional): Folder that keeps ``pre_votes.npz`` and ``votes.npz`` as
                they come; with :obj:`until`, the latter alone. (default: :obj:`None`)
            until (dict or list of dict, optional): A question in the words of
                :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`, such as
                ``{"r": 1, "deletions": 5}``, or several. A target is then sampled until they
                are all answered, yes or no, and at most :obj:`n` times; one whose answer is no may
                abstain. Bounds hold at all numbers of samples at once, so the certificate holds
                for every budget, and the run may continue, from its checkpoint, with a larger
                :obj:`n` or other questions. :obj:`n0` is not taken. (default: :obj:`None`)
            audit (float, optional): As in :meth:`sample_votes`; of an exact certificate, one in
                ten of the outcomes and at least 8 are computed a second time by default.
            approve (float, optional): Softmax probability in [0, 1] from which on a sample approves
                a class; the certificate then keeps ``approvals`` as well, for
                :class:`~pyg_hiersmooth.certificates.PredictionSets`. (default: :obj:`None`)

        Returns:
            Certificate: For the targets, in the order of :obj:`index`.

        Raises:
            TypeError, ValueError: As in :meth:`sample_votes`; or if an exact certificate is given
                what belongs to sampling.
            ImpureModelError: As in :meth:`sample_votes`; or if the model draws random numbers, and
                the certificate is to be exact.
            NotCertifiableError: As in :meth:`sample_votes`; or if the selection does not bear the
                nodes that an adversary may add.
        """
        plan = CertificatePlan.of(
            self.smoothing,
            self.num_classes,
            kind,
            n0=n0,
            n=n,
            alpha=alpha,
            simultaneous=simultaneous,
            until=until,
        )
        share, targets = _check_share(audit), self._index(index, node_index)
        data = self._cleaned(data)
        options = self._options(seed, block_size, dense, plan.exact, _check_level(approve))
        voter, objects = self._voter_and_objects(data, targets, options)
        settings = self._settings(voter, checkpoint is not None)
        current_ranks().compare({**plan.settings, **settings})
        decided = plan.decided(voter.num_targets, objects)
        kept = _kept_votes(plan, voter, settings, checkpoint)
        self._announce(voter, plan, kept, num_workers, progress)
        votes = []
        with generators_put_back(voter.device), torch.no_grad(), workers_kept():
            for name, (start, count) in plan.parts.items():
                shared: dict[str, Any] = {
                    "num_workers": num_workers,
                    "checkpoint": kept.get(name),
                    "progress": progress,
                    "audited": plan.audited(options.seed, name, share),
                }
                if decided is not None:
                    narrowed = self._narrowed(voter, data, targets)
                    votes.append(sample_until(voter, decided, count, narrowed=narrowed, **shared))
                else:
                    told = "Outcomes" if plan.exact else name.replace("_", "-").capitalize()
                    votes.append(sample_votes(voter, count, start, description=told, **shared))
        counts = [voter.tally.read(each) for each in votes]
        return plan.certificate([each.votes for each in counts], counts[-1], approve, **objects)

    def validate(
        self,
        data: Any,
        index: Index = None,
        *,
        node_index: Index = None,
        block_size: int | None = None,
        dense: bool = False,
    ) -> list[Problem]:
        r"""Tries the model as :meth:`certify` does, and lists all that it would refuse, where
        :meth:`certify` stops at the first. Where the trials find nothing, the votes of a few
        samples are audited.

        Args:
            data, index, node_index, block_size, dense: As in :meth:`sample_votes`.

        Returns:
            list of Problem: What was found, each once; empty where all is in order.

        Example:
            >>> for problem in smoothed.validate(data):
            ...     print(problem)
        """
        problems: list[Problem] = []
        trial = copy.copy(self)  # nothing counts as tried that only a validation tried
        try:
            with collecting(problems), generators_put_back(self.device), torch.no_grad():
                cleaned, targets = trial._cleaned(data), self._index(index, node_index)
                plan = CertificatePlan.default(self.smoothing, self.num_classes)
                options = self._options(0, block_size, dense, plan.exact)
                voter, objects = trial._voter_and_objects(cleaned, targets, options)
                plan.decided(voter.num_targets, objects)
                if not problems:
                    samples = range(min(FIRST_AUDITED, plan.n))
                    with single_thread(voter.device):
                        voter.count(samples, audited_samples(0, samples))
        except (MemoryError, torch.cuda.OutOfMemoryError):  # which says nothing about the model
            raise
        except Exception as error:  # a user's model fails in any way
            problems.append(problem_of(error))
        return list(dict.fromkeys(problems))

    def _voter_and_objects(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ModelVoter, dict[str, Any]]:
        r"""What casts the votes, and all that a certificate keeps of the objects."""
        voter, objects = self._voter(data, index, options)
        objects["num_features"] = voter.features[0].size(1)
        if self.smoothing.noise.changes_pairs:
            objects["num_entities"] = None  # not nodes alone, and nobody counts all pairs
        return voter, objects

    def _cleaned(self, data: Any) -> Any:
        r"""The data that the noise is added to: checked, and with what comes before the noise done.

        Raises:
            TypeError, ValueError: If they are not in order.
            NotCertifiableError: If what comes before the noise is not a function of each row alone.
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
        empty = Counted.none(voter.num_targets, voter.tally.width)
        num_left = sum(
            count - (kept[name].load(empty, count).num_samples if name in kept else 0)
            for name, (_, count) in plan.parts.items()
        )
        if num_left == 0:
            return
        with generators_put_back(voter.device):
            self.cost = cost_of(voter, num_left, num_workers, self._hints(voter, plan))
        tell(self.cost)

    def _hints(self, voter: ModelVoter, plan: CertificatePlan) -> list[str]:
        r"""What would make sampling cheaper, besides fewer samples."""
        return plan.hints()

    def _options(
        self,
        seed: int,
        block_size: int | None,
        dense: bool,
        enumerate_outcomes: bool = False,
        approve: tuple[float, ...] = (),
    ) -> VoterOptions:
        outcomes = self.smoothing.selection.num_outcomes() if enumerate_outcomes else 0
        return VoterOptions(
            seed=check_count("seed", seed, 0),
            block_size=None if block_size is None else check_count("block_size", block_size, 1),
            dense=dense or self.is_always_dense,
            enumerate_outcomes=enumerate_outcomes,
            approve=approve,
            num_outcomes=outcomes or 0,
            edges=self.edges,
        )

    def _index(self, index: Index, node_index: Index) -> Index:
        r"""The targets, by either of their names."""
        if node_index is None:
            return index
        if self.noun != "node":
            raise TypeError(f"'node_index' is about nodes: name {self.noun}s with 'index'")
        if index is not None:
            raise TypeError("'node_index' and 'index' are the same: pass one of them")
        return node_index

    def _forward_voter(
        self,
        forward: Forward,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        options: VoterOptions,
        path: tuple[int, ...] = (),
        transform: HierarchicalNodeFeatureNoise | None = None,
        tried: Callable[[], ForwardVoter | None] = lambda: None,
    ) -> ForwardVoter:
        r"""That of what was tried before, or what :obj:`tried` finds, or of a new trial."""
        transform, targets = transform or self.transform, targets.to(self.device)
        key = self._key(forward, x, sizes, options, transform)
        kept = self._prepared.get(path)
        if kept is not None and kept[0] == key and kept[1].is_unchanged(x):
            voter = kept[1].again(options, targets)
        else:
            voter = tried() or ForwardVoter.tried(
                self.model, forward, transform, x, sizes, targets, self.num_classes, options, path
            )
            self._prepared[path] = key, voter
        self.feature_path = voter.model.source.description
        self.adjacency = None if voter.model.adjacency is None else str(voter.model.adjacency)
        return voter

    def _key(
        self,
        forward: Forward,
        x: Tensor,
        sizes: list[int],
        options: VoterOptions,
        transform: HierarchicalNodeFeatureNoise,
    ) -> tuple[Any, ...]:
        r"""All by its content that a voter was tried with, but for its targets and its seed."""
        return (
            state_of(model=self.model, **forward.watched()),
            fingerprint(x, *forward.tensors()),
            tuple(sizes),
            options.tried,
            _content(transform, options.edges),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_prepared": {}}

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
        smoothing = to_dict(self.smoothing.selection), to_dict(self.smoothing.noise)
        drawn = self.transform if self.edges is None else (self.transform, self.edges)
        return {
            "transform": str(drawn),
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
            "num_classes": self.num_classes,
            "approve": voter.options.approve,
            # Show what has no tensors, such as another way to call the model.
            "trial logits": voter.fingerprint(),
        }


def _content(*smoothing: Any) -> Any:
    r"""A digest of a smoothing; of one that cannot be pickled, something unlike any other."""
    try:
        return digest(pickle.dumps(smoothing))
    except Exception:  # pickling runs code of any class
        return object()


def _check_levels(approve: float | Sequence[float] | None) -> tuple[float, ...]:
    if not isinstance(approve, Sequence) or isinstance(approve, str):
        return _check_level(approve)
    if not approve:
        raise ValueError("'approve' must hold at least one probability in [0, 1] (got none)")
    return tuple(level for each in approve for level in _check_level(each, required=True))


def _check_level(approve: float | None, required: bool = False) -> tuple[float, ...]:
    if approve is None and not required:
        return ()
    if not isinstance(approve, Real) or not 0.0 <= approve <= 1.0:
        raise ValueError(f"'approve' must be a probability in [0, 1] (got {approve})")
    return (float(approve),)


def _check_share(audit: float | None) -> float | None:
    if audit is not None and not 0.0 < audit <= 1.0:
        raise ValueError(f"'audit' must be a share of the samples in (0, 1] (got {audit})")
    return audit


def _kept_votes(
    plan: CertificatePlan,
    voter: ModelVoter,
    settings: dict[str, Any],
    folder: str | os.PathLike[str] | None,
) -> dict[str, VoteCheckpoint]:
    r"""The checkpoints of the votes of each part, all checked before any file is created; none on
    ranks other than the first.
    """
    if folder is None or not current_ranks().is_first:
        return {}
    empty = Counted.none(voter.num_targets, voter.tally.width)
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
    transform: Transform,
) -> tuple[Compose | None, HierarchicalNodeFeatureNoise | None, HierarchicalEdgeNoise | None]:
    r"""What is done to clean data, and the noises that come last: of nodes, and of edges."""
    before = list(transform.transforms) if isinstance(transform, Compose) else [transform]
    edges = before.pop() if before and isinstance(before[-1], HierarchicalEdgeNoise) else None
    nodes = (
        before.pop() if before and isinstance(before[-1], HierarchicalNodeFeatureNoise) else None
    )
    noises = [each for each in before if isinstance(each, NOISES)]
    if noises:
        last = edges or nodes or before[-1]
        raise ValueError(
            "'transform' must end with the noise, first of nodes and then of edges, since what "
            "comes after it would change the noisy features and the indicator "
            f"(got {last} after {noises[0]})"
        )
    if nodes is None and edges is None:
        last = before[-1] if before else None
        raise TypeError(
            "'transform' must be a HierarchicalNodeFeatureNoise or a HierarchicalEdgeNoise, or end "
            f"with them (got {type(last).__name__})"
        )
    return (Compose(before) if before else None), nodes, edges
