from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Collection
from typing import Any, Literal

import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import Compose

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward, check_hetero_call, noised_type
from pyg_hiersmooth.nn.calls.inputs.cleaning import Cleaning
from pyg_hiersmooth.nn.calls.inputs.graph import as_graph
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.nn.certificate_plan import CertificatePlan, Until
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, why_not_cut
from pyg_hiersmooth.nn.neighborhoods.receptive_field import check_num_hops, receptive_field
from pyg_hiersmooth.nn.neighborhoods.trial import Cut, check_some_targets
from pyg_hiersmooth.nn.neighborhoods.voter import NeighborhoodSampling, NeighborhoodVoter
from pyg_hiersmooth.nn.smoothed_classifier import Index, SmoothedClassifier
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class SmoothedNodeClassifier(SmoothedClassifier):
    r"""A node classifier smoothed by hierarchical noise on node features (Scholten et al. 2023).

    It returns, for each node, the class that the model predicts most often when the features of
    random nodes are noisy; the entities are all nodes of the graph.

    In a :class:`~torch_geometric.data.HeteroData`, the features of *one* node type are noisy (the
    one that ``p={node_type: ...}`` of the transform names), and the certificate is about changes
    of that type's features: the entities are its nodes, whichever type is classified. It says
    nothing about the features of other types.

    Args:
        model (torch.nn.Module): Any model called as ``model(x, edge_index, ...)`` that returns
            logits ``[num_nodes, num_classes]``; ``edge_weight``, ``edge_attr``, ``adj_t`` are
            passed on where the graph has them and the model takes them. It must be built for the
            features that :obj:`transform` makes: ``D + 1`` with the indicator. Votes come from a
            private copy in evaluation mode, and must be a function of the noisy features and the
            graph (see :class:`~pyg_hiersmooth.nn.smoothed_classifier.SmoothedClassifier`).
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        num_classes (int): Number of classes :math:`C`.
        forward (Callable, optional): ``forward(model, x, data)``, for a model with another
            signature. It must call the model that it is given, on the features that it is given;
            :obj:`data` is the graph's structure alone (``edge_index``, ``edge_weight``,
            ``edge_attr``, ``edge_type``, ``adj_t``, ``batch``, ...). (default: :obj:`None`)
        keep (tuple of str, optional): Names of more attributes of the graph that the model gets,
            such as ``("pos",)``. By naming one you promise that it does not depend on node
            features: the certificate says nothing about an adversary who changes it, nor about
            one whose changes of features would change it. (default: :obj:`()`)
        node_type (str, optional): The node type that is classified, for heterogeneous graphs and
            a model called as ``model(x_dict, edge_index_dict)``, which returns logits of that
            type, or a dictionary with them. (default: :obj:`None`)
        num_hops (int, optional): Message passing steps from a feature to a prediction, at least 0,
            such as the number of layers of a GCN; :obj:`None` means unknown, and that every
            feature may reach every prediction. It is checked against the model, and lets few
            targets be sampled on their neighbourhoods. (default: what models of
            :mod:`pyg_hiersmooth.models` know of themselves, unknown for others)

    Attributes:
        neighborhoods (str or None): What the last sampling took: the number of neighbourhoods and
            of their nodes, or the whole graph, and why.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If :obj:`num_hops` is negative.

    Example:
        >>> smoothed = SmoothedNodeClassifier(model, transform, num_classes=7)
        >>> certificate = smoothed.certify(data, node_index=data.test_mask)
        >>> certificate.certified_accuracy(data.y[data.test_mask], r=1, additions=0, deletions=5)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise | Compose,
        num_classes: int,
        forward: ModelCall | None = None,
        node_type: str | None = None,
        keep: Collection[str] = (),
        num_hops: int | Literal["model"] | None = "model",
    ) -> None:
        super().__init__(model, transform, num_classes)
        hops = _known_hops(model) if num_hops == "model" else num_hops
        self.num_hops = None if hops is None else check_count("num_hops", hops)
        self._call, self.node_type, self.keep = forward, node_type, check_keep(keep)
        self.neighborhoods: str | None = None

    def forward(
        self,
        data: Any,
        num_samples: int = 1_000,
        seed: int = 0,
        node_index: Index = None,
    ) -> Tensor:
        r"""Estimated vote probabilities of the smoothed classifier, float32 ``[M, C]``; arguments
        as in :meth:`sample_votes`.
        """
        return super().forward(data, num_samples, seed, node_index)

    def predict(
        self,
        data: Data | HeteroData,
        num_samples: int = 1_000,
        seed: int = 0,
        node_index: Index = None,
    ) -> Tensor:
        r"""The classes that most samples vote for, int64 ``[M]``, without a certificate; arguments
        as in :meth:`sample_votes`. Where two are level, the first of them.
        """
        return super().predict(data, num_samples, seed, node_index)

    def sample_votes(
        self,
        data: Data | HeteroData,
        num_samples: int,
        seed: int = 0,
        node_index: Index = None,
        progress: bool = True,
        *,
        start: int = 0,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
    ) -> Tensor:
        r"""Counts the classes that the model predicts under noise.

        Sample :math:`i` depends on :obj:`seed` and :math:`i` alone, whatever the number of
        workers or interruptions.

        Args:
            data (Data or HeteroData): The graph, with features ``x`` of shape ``[num_nodes, D]``.
            num_samples (int): Number of samples, at least 1.
            seed (int): Non-negative seed. (default: :obj:`0`)
            node_index (torch.Tensor, optional): Mask ``[num_nodes]`` or indices ``[M]`` of the
                target nodes; a number stands for one node. (default: all nodes)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            start (int): First sample, so that ranges of one run can be drawn apart: votes that
                bound a class must start after those that selected it. (default: :obj:`0`)
            num_workers (int, optional): Processes that sample on a CPU; :obj:`0` samples in this
                process. (default: one a core)
            block_size (int, optional): Copies of the graph in one forward pass. (default: few on
                a CPU, as memory allows on a GPU)
            checkpoint (str, optional): File that keeps the votes as they come, and that an
                interrupted run with the same arguments continues from. (default: :obj:`None`)
            dense (bool): Whether to write the noisy features out even where the model would let
                the noise be drawn behind its first linear map. (default: :obj:`False`)

        Returns:
            torch.Tensor: Votes, int64 ``[M, C]``; each row sums to :obj:`num_samples`.

        Raises:
            ValueError: If an argument is out of range, the features are not what the noise is
                defined on, the model fails on them or does not return ``[num_nodes, C]``, or the
                checkpoint belongs to another run.
        """
        return self._sample_votes(
            data,
            num_samples,
            seed,
            node_index,
            progress,
            start=start,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=dense,
        )

    def certify(
        self,
        data: Data | HeteroData,
        n0: int | None = None,
        n: int | None = None,
        alpha: float | None = None,
        seed: int = 0,
        node_index: Index = None,
        progress: bool = True,
        *,
        kind: Kind = "multiclass",
        simultaneous: bool | None = None,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
        until: Until = None,
    ) -> Certificate:
        r"""Samples, and certifies the votes.

        Where a smoothing draws nothing, as with
        :class:`~pyg_hiersmooth.selection.PartitionSelection` and
        :class:`~pyg_hiersmooth.noise.AblationNoise`, all of its outcomes are voted on, each once,
        and the certificate is exact: it holds with certainty, and :obj:`n0`, :obj:`n`,
        :obj:`alpha`, :obj:`simultaneous` and :obj:`until` are not taken.

        Args:
            data, seed, node_index, progress, num_workers, block_size, dense: As in
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
                for every budget, and the run may go on, from its checkpoint, with a larger
                :obj:`n` or other questions. :obj:`n0` is not taken. (default: :obj:`None`)

        Returns:
            Certificate: For the target nodes, in the order of :obj:`node_index`.

        Raises:
            ValueError: As in :meth:`sample_votes`; or if an exact certificate is given what belongs
                to sampling, or a model that draws random numbers.
        """
        return self._certify(
            data,
            n0,
            n,
            alpha,
            seed,
            node_index,
            progress,
            kind=kind,
            simultaneous=simultaneous,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=dense,
            until=until,
        )

    def receptive_field(
        self, data: Data | HeteroData, node_index: Index = None
    ) -> sparse.csr_array:
        r"""The nodes whose features can reach each target: those that :obj:`num_hops` steps of
        message passing lead from, the target itself included.

        It is tried on the model: features outside of it must not change a target's logits.

        Args:
            data (Data or HeteroData): The graph; of a heterogeneous one, the nodes of the noisy
                type are meant.
            node_index (torch.Tensor, optional): The targets, as in :meth:`sample_votes`.
                (default: all nodes)

        Returns:
            scipy.sparse.csr_array: bool ``[M, N]``; all :obj:`True` where :obj:`num_hops` is
            unknown.

        Raises:
            ValueError: If features further away change logits, with the number of hops that would
                do; or as in :meth:`sample_votes`.
        """
        options = VoterOptions(seed=0, block_size=1, dense=True)
        data = self._cleaned(data)
        voter, _ = self._whole_voter(data, node_index, options)
        types: tuple[str | None, str | None] = (None, None)
        if isinstance(data, HeteroData):
            types = noised_type(self.transform, data), self.node_type
        if self.num_hops is not None:
            model = voter.model
            with model.trying():
                draw = model.trial_draw(0)
                check_num_hops(model.prepared, draw, data, voter.targets, self.num_hops, *types)
        return receptive_field(data, voter.targets, self.num_hops, *types)

    def _cleaned(self, data: Any) -> Data | HeteroData:
        graph = as_graph(data)
        noised = None
        if isinstance(graph, HeteroData):
            if self.node_type is None:
                raise ValueError("a HeteroData needs SmoothedNodeClassifier(..., node_type=...)")
            noised = noised_type(self.transform, graph)
        elif self.node_type is not None:
            raise ValueError(f"'node_type' needs a HeteroData (got {type(data).__name__})")
        if self.before is not None:
            graph = Cleaning(self.before, noised, self.keep)(graph)
        check: Callable[..., None] = check_call if noised is None else check_hetero_call
        check(self.model, graph, self.keep, self._call)
        return graph

    def _voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ModelVoter, dict[str, Any]]:
        sampling = self._neighborhood_sampling(data, options)
        if isinstance(sampling, str):
            self.neighborhoods = f"whole graph ({sampling})"
            return self._whole_voter(data, index, options)
        targets = as_target_index(index, sampling.cut.edges.num_nodes, "node")
        voter = sampling.voter(targets)
        if isinstance(voter, NeighborhoodVoter):
            self.neighborhoods = voter.description
            self.feature_path = voter.voters[0].model.source.description
            return voter, {"index": targets, "num_entities": sampling.cut.edges.num_nodes}
        self.neighborhoods = f"whole graph ({voter})"
        whole, objects = self._whole_voter(data, index, options)
        with whole.model.trying():
            check_some_targets(sampling.cut, whole)
        return whole, objects

    def _narrowed(self, voter: ModelVoter, data: Any, index: Index) -> Callable[[Tensor], Voter]:
        # Few targets may be cheaper on neighbourhoods where all are on the whole graph.
        if isinstance(voter, NeighborhoodVoter):
            return voter.only

        @functools.cache
        def sampling() -> NeighborhoodSampling | str:
            return self._neighborhood_sampling(data, voter.options)

        def narrowed(positions: Tensor) -> Voter:
            found = sampling()
            if isinstance(found, str):
                return voter.only(positions)
            targets = as_target_index(index, found.cut.edges.num_nodes, "node")
            try:
                local = found.voter(targets[positions])
            except ValueError:  # the whole graph is right for every model
                return voter.only(positions)
            return voter.only(positions) if isinstance(local, str) else local

        return narrowed

    def _hints(self, voter: ModelVoter, plan: CertificatePlan) -> list[str]:
        hints = super()._hints(voter, plan)
        if self.num_hops is None:
            hints.append("'num_hops', with few targets in a large graph")
        elif not plan.exact and not isinstance(voter, NeighborhoodVoter):
            hints.append("fewer targets in 'node_index'")
        return hints

    def _neighborhood_sampling(
        self, data: Any, options: VoterOptions
    ) -> NeighborhoodSampling | str:
        r"""What samples neighbourhoods of a graph, or why there are none."""
        if self.num_hops is None:
            return "'num_hops' is not known"
        if not isinstance(data, Data) or self.node_type is not None:
            return "not a homogeneous one"
        x = data.get("x")
        if not isinstance(x, Tensor) or x.dim() != 2 or 0 in x.shape:
            return "no features"
        graph = copy.copy(data)
        del graph.x
        graph.num_nodes = x.size(0)
        if (reason := why_not_cut(graph, self.keep)) is not None:
            return reason

        def make_voter(
            forward: GraphForward,
            transform: HierarchicalNodeFeatureNoise,
            x: Tensor,
            targets: Tensor,
            path: tuple[int, ...],
        ) -> ForwardVoter:
            return self._forward_voter(
                forward, x, [x.size(0)], targets, options, path, transform=transform
            )

        cut = Cut(
            graph,
            CSC(graph),
            self._call,
            self.keep,
            self.num_hops,
            self.device,
            x.dtype if x.is_floating_point() else self._dtype(),
        )
        return NeighborhoodSampling(cut, x, self._check_features, make_voter, self.transform)

    def _whole_voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ForwardVoter, dict[str, Any]]:
        graph = copy.copy(data).to(self.device)
        forward: Forward
        if isinstance(graph, HeteroData):
            noised = noised_type(self.transform, graph)
            store = graph[noised]
            x = self._check_features(store.x)
            forward = HeteroForward(self._call, graph, noised, str(self.node_type), self.keep)
        else:
            store = graph
            x = self._check_features(graph.get("x"))
            forward = GraphForward(self._call, [graph], self.keep, node_level=True)
        targets = as_target_index(index, sum(forward.outputs), "node")
        sizes = store.ptr.diff().tolist() if "ptr" in store else [x.size(0)]
        voter = self._forward_voter(forward, x, sizes, targets, options)
        return voter, {"index": targets, "num_entities": x.size(0)}


def _known_hops(model: torch.nn.Module) -> int | None:
    r"""What a built-in model knows of itself; others may mean something else by the name."""
    ours = any(kind.__module__.startswith("pyg_hiersmooth.models") for kind in type(model).__mro__)
    return getattr(model, "num_hops", None) if ours else None
