from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Literal

import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.messages_of_type import MessagesOfType, TypedSmoothing
from pyg_hiersmooth.certificates.reach import Reach
from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward, check_hetero_call, noised_type
from pyg_hiersmooth.nn.calls.inputs.cleaning import Cleaning
from pyg_hiersmooth.nn.calls.inputs.graph import as_graph
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.nn.certificate_plan import CertificatePlan
from pyg_hiersmooth.nn.isolation.problems import collecting
from pyg_hiersmooth.nn.neighborhoods.exposure import exposure
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, check_cut
from pyg_hiersmooth.nn.neighborhoods.receptive_field import (
    check_num_hops,
    edges_of,
    receptive_field,
)
from pyg_hiersmooth.nn.neighborhoods.remaining import RemainingVoter, remaining_voter
from pyg_hiersmooth.nn.neighborhoods.trial import MAX_WHOLE, Cut
from pyg_hiersmooth.nn.neighborhoods.voter import NeighborhoodSampling, NeighborhoodVoter
from pyg_hiersmooth.nn.smoothed_classifier import Index, SmoothedClassifier, Transform
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.checkpoint import fingerprint
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class SmoothedNodeClassifier(SmoothedClassifier):
    r"""A node classifier smoothed by hierarchical noise on node features (Scholten et al. 2023).

    It returns, for each node, the class that the model predicts most often when the features of
    random nodes are noisy; the entities are all nodes of the graph.

    In a :class:`~torch_geometric.data.HeteroData`, the features of *one* node type are noisy (the
    one that ``p={node_type: ...}`` of the transform names), and the certificate is about changes
    of that type's features: the entities are its nodes, whichever type is classified. It says
    nothing about the features of other types. With ablated messages, it is about nodes of that type
    that are taken over with all edges at them, and about no edges between other nodes.

    Args:
        model (torch.nn.Module): Any model called as ``model(x, edge_index, ...)`` that returns
            logits ``[num_nodes, num_classes]``; ``edge_weight``, ``edge_attr``, ``adj_t`` are
            passed on where the graph has them and the model takes them. It must be built for the
            features that :obj:`transform` makes: ``D + 1`` with the indicator. Votes come from a
            private copy in evaluation mode, and must be a function of the noisy features and the
            graph (see :class:`~pyg_hiersmooth.nn.smoothed_classifier.SmoothedClassifier`).
        transform (HierarchicalNodeFeatureNoise, HierarchicalEdgeNoise or Compose): The smoothing:
            of nodes, of edges (a :class:`~pyg_hiersmooth.transforms.HierarchicalEdgeNoise`), or of
            both, one after the other in a ``Compose``.
        num_classes (int): Number of classes :math:`C`.
        forward (Callable, optional): ``forward(model, x, data)``, for a model with another
            signature. It must call the model that it is given, on the features that it is given;
            :obj:`data` is the graph's structure alone (``edge_index``, ``edge_weight``,
            ``edge_attr``, ``edge_type``, ``adj_t``, ``batch``, ...). (default: :obj:`None`)
        keep (tuple of str, optional): Names of more attributes of the graph that the model gets,
            such as ``("pos",)``. By naming one you promise that it depends neither on node
            features nor, where edges change, on edges: the certificate says nothing about an
            adversary who changes it, nor about one whose changes would change it.
            (default: :obj:`()`)
        node_type (str, optional): The node type that is classified, for heterogeneous graphs and
            a model called as ``model(x_dict, edge_index_dict)``, which returns logits of that
            type, or a dictionary with them. (default: :obj:`None`)
        num_hops (int, optional): Message passing steps from a feature to a prediction, at least 0,
            such as the number of layers of a GCN; :obj:`None` means unknown, and that every
            feature may reach every prediction. It is checked against the model, and lets few
            targets be sampled on their neighborhoods. (default: what models of
            :mod:`pyg_hiersmooth.models` know of themselves, unknown for others)

    Attributes:
        neighborhoods (str or None): What the last sampling took: the number of neighborhoods and
            of their nodes, about how many nodes ablated messages leave around the targets, or the
            whole graph, and why.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If :obj:`num_hops` is negative, or messages of a heterogeneous graph are ablated
            and :obj:`transform` does not name their node type.

    Example:
        >>> smoothed = SmoothedNodeClassifier(model, transform, num_classes=7)
        >>> certificate = smoothed.certify(data, node_index=data.test_mask)
        >>> certificate.certified_accuracy(data.y[data.test_mask], r=1, additions=0, deletions=5)
    """

    noun = "node"
    not_ablated: ClassVar[dict[str, str]] = {
        "nodes": "targets would be removed as well; ablate their messages, of='messages'"
    }

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Transform,
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
        if node_type is not None and self.edges is None and self.edges_change:
            self.smoothing = _messages_of_type(self.transform, node_type)

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
            ValueError: If edges get noise; if features further away change logits, with the number
                of hops that would do; or as in :meth:`sample_votes`.
        """
        if self.edges is not None:
            raise ValueError(
                "'receptive_field' is about features on a fixed graph, and edges get noise here "
                f"(got {self.edges})"
            )
        options = VoterOptions(seed=0, block_size=1, dense=True)
        data = self._cleaned(data)
        voter, _ = self._whole_voter(data, node_index, options)
        types: tuple[str | None, str | None] = (None, None)
        if isinstance(data, HeteroData):
            types = noised_type(self.transform, data), self.node_type
        self._check_hops(voter, data)
        return receptive_field(data, voter.targets, self.num_hops, *types)

    def exposure(self, data: Data, node_index: Index = None) -> Reach:
        r"""Through how much of the selection each node reaches each target where selected nodes are
        silent: the outcomes in which a path of at most :obj:`num_hops` sending nodes leads from it
        to the target, or the probability of that.

        Certificates of ablated messages take it for the weaker adversary who changes features and
        no edges: ``certificate.is_robust(r, exposure=...)`` and
        :class:`~pyg_hiersmooth.certificates.CollectiveCertificate`. The number of hops is tried on
        the model, as in :meth:`receptive_field`.

        Args:
            data (Data): The graph.
            node_index (torch.Tensor, optional): The targets, as in :meth:`sample_votes`.
                (default: all nodes)

        Returns:
            Reach: ``[M, N]``, int32 for a
            :class:`~pyg_hiersmooth.selection.PartitionSelection`, float64 for independent nodes
            (Scholten et al. 2022).

        Raises:
            ValueError: If the noise does not ablate messages; if features further away change
                logits, with the number of hops that would do; or as in :meth:`sample_votes`.
        """
        if self.smoothing.noise.of != "messages":
            raise ValueError(
                f"an exposure is about AblationNoise(of='messages') (got {self.smoothing.noise})"
            )
        data = self._cleaned(data)
        if isinstance(data, HeteroData):
            raise ValueError("an exposure is about homogeneous graphs (got HeteroData)")
        voter, _ = self._whole_voter(data, node_index, VoterOptions(seed=0, block_size=1))
        self._check_hops(voter, data)
        targets = voter.targets.cpu().numpy()
        selection, num_nodes = self.transform.selection, int(data.num_nodes or 0)
        return exposure(edges_of(data), selection, targets, num_nodes, self.num_hops)

    def _cleaned(self, data: Any) -> Data | HeteroData:
        graph = as_graph(data)
        noised = None
        if isinstance(graph, HeteroData):
            if self.edges is not None:
                raise NotCertifiableError(
                    f"{self.smoothing.noise} is certified for homogeneous graphs (got HeteroData)"
                )
            if self.edges_change and self.before is not None:
                raise ValueError(
                    "what comes before ablated messages is not tried on a HeteroData: apply it to "
                    f"the data yourself (got {self.before})"
                )
            if self.node_type is None:
                raise ValueError("a HeteroData needs SmoothedNodeClassifier(..., node_type=...)")
            noised = noised_type(self.transform, graph)
        elif self.node_type is not None:
            raise ValueError(f"'node_type' needs a HeteroData (got {type(data).__name__})")
        if self.before is not None:
            clean = Cleaning(
                self.before,
                noised,
                self.keep,
                edges_change=self.edges_change,
                unbounded=self.features_are_unbounded,
            )
            graph = clean(graph)
        check: Callable[..., None] = check_call if noised is None else check_hetero_call
        check(self.model, graph, self.keep, self._call)
        return graph

    def _voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ModelVoter, dict[str, Any]]:
        try:
            sampling = self._neighborhood_sampling(data, options)
        except NotTaken as reason:
            self.neighborhoods = f"whole graph ({reason})"
            return self._whole_voter(data, index, options)
        if self.edges_change:
            whole, objects = self._whole_voter(data, index, options)
            return self._on_what_remains(whole, sampling), objects
        num_nodes = sampling.cut.edges.num_nodes
        targets = as_target_index(index, num_nodes, "node")
        try:
            with collecting(None):
                voter = sampling.voter(targets)
        except NotTaken as reason:
            self.neighborhoods = f"whole graph ({reason})"
            whole, objects = self._whole_voter(data, index, options)
            self._check_hops(whole, data, sampling if sampling.is_large else None, quick=True)
            return whole, objects
        self.neighborhoods = voter.description
        self.feature_path = voter.voters[0].model.source.description
        return voter, {"index": targets, "num_entities": num_nodes}

    def _on_what_remains(self, whole: ForwardVoter, sampling: NeighborhoodSampling) -> ForwardVoter:
        r"""With ablated messages, a voter on what is left around the targets, where that pays."""
        try:
            with collecting(None):
                voter = remaining_voter(whole, sampling.cut)
        except NotTaken as reason:
            self.neighborhoods = f"whole graph ({reason})"
            return whole
        self.neighborhoods, self.feature_path = voter.description, "dense features (few are left)"
        return voter

    def _check_hops(
        self,
        whole: ForwardVoter,
        data: Any,
        parts: NeighborhoodSampling | None = None,
        quick: bool = False,
    ) -> None:
        r"""Tries :attr:`num_hops` on the whole graph, where features fit in memory, or on parts."""
        types: tuple[str | None, str | None] = (None, None)
        if isinstance(data, HeteroData):
            types = noised_type(self.transform, data), self.node_type
        model = whole.model
        if self.num_hops is None or (quick and not model.dense_fits):
            return
        tried = self.num_hops, fingerprint(whole.targets)
        if quick and tried in model.hops_tried:
            return
        with model.trying():
            if quick and model.draws_random_numbers():
                return
            if parts is not None:
                parts.check_hops(whole, whole.targets.cpu())
                model.hops_tried.add(tried)
                return
            prepared = model.precise()
            asked = data, whole.targets, self.num_hops, *types, quick
            try:
                check_num_hops(prepared, model.precise_draw(known=True), *asked)
            except NotLinearError:  # it takes its features in other ways now and then
                check_num_hops(prepared, model.precise_draw(known=False), *asked)
        model.hops_tried.add(tried)

    def _narrowed(self, voter: ModelVoter, data: Any, index: Index) -> Callable[[Tensor], Voter]:
        # Few targets may be cheaper on neighborhoods where all are on the whole graph.
        if isinstance(voter, NeighborhoodVoter | RemainingVoter):
            return voter.only

        @functools.cache
        def sampling() -> NeighborhoodSampling:
            return self._neighborhood_sampling(data, voter.options)

        def narrowed(positions: Tensor) -> Voter:
            try:
                found = sampling()
                if isinstance(voter, ForwardVoter) and self.edges_change:
                    return remaining_voter(voter.only(positions), found.cut)
                targets = as_target_index(index, found.cut.edges.num_nodes, "node")
                return found.voter(targets[positions])
            except (NotTaken, ValueError):  # the whole graph is right for every model
                return voter.only(positions)

        return narrowed

    def _hints(self, voter: ModelVoter, plan: CertificatePlan) -> list[str]:
        hints = super()._hints(voter, plan)
        if self.num_hops is None:
            hints.append("'num_hops', with few targets in a large graph")
        elif not plan.exact and not isinstance(voter, NeighborhoodVoter | RemainingVoter):
            hints.append("fewer targets in 'node_index'")
        return hints

    def _neighborhood_sampling(self, data: Any, options: VoterOptions) -> NeighborhoodSampling:
        r"""What samples neighborhoods of a graph.

        Raises:
            NotTaken: If there are none.
        """
        if self.num_hops is None:
            raise NotTaken("'num_hops' is not known")
        return self._in_parts(data, options, self.num_hops)

    def _in_parts(self, data: Any, options: VoterOptions, num_hops: int) -> NeighborhoodSampling:
        if self.edges is not None:
            raise NotTaken("pairs of nodes get noise")
        if not isinstance(data, Data) or self.node_type is not None:
            raise NotTaken("not a homogeneous one")
        x = data.get("x")
        if not isinstance(x, Tensor) or x.dim() != 2 or 0 in x.shape:
            raise NotTaken("no features")
        graph = copy.copy(data)
        del graph.x
        graph.num_nodes = x.size(0)
        check_cut(graph, self.keep)

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
            num_hops,
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
        sizes = [x.size(0)]
        if "ptr" in store and self.transform.noise.fixes_graph:  # else nodes are added at its end
            sizes = store.ptr.diff().tolist()
        tried = functools.partial(self._tried_on_a_part, data, forward, x, targets, options)
        voter = self._forward_voter(forward, x, sizes, targets, options, tried=tried)
        objects: dict[str, Any] = {"index": targets, "num_entities": x.size(0)}
        if isinstance(graph, HeteroData):
            objects["entities"] = f"nodes of type {noised!r}"
        return voter, objects

    def _tried_on_a_part(
        self, data: Any, forward: Forward, x: Tensor, targets: Tensor, options: VoterOptions
    ) -> ForwardVoter | None:
        r"""Votes on a graph that is too large for a model to be tried on all of it, where a part
        does.
        """
        size = x.size(0) + int(getattr(data, "num_edges", 0) or 0)
        if size <= MAX_WHOLE or options.dense or options.block_size not in (None, 1):
            return None
        if not isinstance(forward, GraphForward):
            return None
        try:
            part = self._in_parts(data, options, 1).tried_on_a_part()
            return part.on_larger(forward, self.transform, x, targets.to(self.device), ())
        except (NotTaken, ValueError):  # which shows again on the whole graph, if it is there
            return None


def _messages_of_type(transform: HierarchicalNodeFeatureNoise, target_type: str) -> TypedSmoothing:
    r"""What certificates for ablated messages of one node type are made with."""
    if transform.by_type is None:
        raise ValueError(
            "ablated messages of a HeteroData are those of the node type that 'transform' names, "
            f"p={{node_type: ...}} (got {transform})"
        )
    noised = next(iter(transform.by_type))
    return TypedSmoothing(transform.selection, MessagesOfType(noised, target_type))


def _known_hops(model: torch.nn.Module) -> int | None:
    r"""What a built-in model knows of itself; others may mean something else by the name."""
    ours = any(kind.__module__.startswith("pyg_hiersmooth.models") for kind in type(model).__mro__)
    return getattr(model, "num_hops", None) if ours else None
