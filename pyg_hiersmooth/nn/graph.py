from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.inputs.cleaning import Cleaning
from pyg_hiersmooth.nn.calls.inputs.graphs import as_graphs, stacked_features
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.nn.smoothed_classifier import Index, SmoothedClassifier, Transform
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.sharded_voter import ShardedVoter, shard_voters
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions


class SmoothedGraphClassifier(SmoothedClassifier):
    r"""A graph classifier smoothed by hierarchical noise on node features (Scholten et al. 2023).

    It returns, for each graph, the class that the model predicts most often when the features of
    random nodes are noisy; the entities are the nodes of that graph.

    Choose the noise for what the features are. Flips turn a one-hot row, such as the node labels
    of a :class:`~torch_geometric.datasets.TUDataset`, into one with no label or several; there,
    :class:`~pyg_hiersmooth.noise.AblationNoise` and :class:`~pyg_hiersmooth.noise.GaussianNoise`
    are in place.

    Graphs are classified in batches. Where the model turns out to mix the graphs of a batch, it
    gets one at a time.

    Args:
        model (torch.nn.Module): Any model called as ``model(x, edge_index, ...)`` that returns
            logits ``[num_graphs, num_classes]``; ``batch``, ``edge_weight``, ``edge_attr`` and
            ``adj_t`` are passed on where the graphs have them and the model takes them. It must
            be built for the features that :obj:`transform` makes: ``D + 1`` with the indicator.
            Votes come from a private copy in evaluation mode, and must be a function of the noisy
            features and the graph (see
            :class:`~pyg_hiersmooth.nn.smoothed_classifier.SmoothedClassifier`).
        transform (HierarchicalNodeFeatureNoise, HierarchicalEdgeNoise or Compose): The smoothing:
            of nodes, of edges (a :class:`~pyg_hiersmooth.transforms.HierarchicalEdgeNoise`), or of
            both, one after the other in a ``Compose``.
        num_classes (int): Number of classes :math:`C`.
        forward (Callable, optional): ``forward(model, x, batch)``, for a model with another
            signature. It must call the model that it is given, on the features that it is given;
            :obj:`batch` is the graphs' structure alone. (default: :obj:`None`)
        keep (tuple of str, optional): Names of more attributes of the graphs that the model gets,
            with the promise that they depend neither on node features nor, where edges change, on
            edges; as in :class:`~pyg_hiersmooth.nn.SmoothedNodeClassifier`. (default: :obj:`()`)

    Example:
        >>> smoothed = SmoothedGraphClassifier(model, transform, num_classes=2)
        >>> certificate = smoothed.certify(test_dataset)
        >>> certificate.certified_accuracy(test_dataset.y, r=1, eps=0.5)
    """

    noun = "graph"
    not_ablated: ClassVar[dict[str, str]] = {
        "messages": "pooling reads silent nodes; remove them, of='nodes'"
    }

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Transform,
        num_classes: int,
        forward: ModelCall | None = None,
        keep: Collection[str] = (),
    ) -> None:
        super().__init__(model, transform, num_classes)
        self._call, self.keep = forward, check_keep(keep)

    def _cleaned(self, data: Any) -> list[Data]:
        graphs = as_graphs(data)
        if self.before is not None:
            clean = Cleaning(
                self.before,
                keep=self.keep,
                node_level=False,
                edges_change=self.edges_change,
                unbounded=self.features_are_unbounded,
            )
            graphs = as_graphs([clean(graph) for graph in graphs])
        check_call(self.model, Batch.from_data_list(graphs[:1]), self.keep, self._call)
        return graphs

    def _voter(
        self, data: list[Data], index: Index, options: VoterOptions
    ) -> tuple[ShardedVoter, dict[str, Any]]:
        graphs = data
        sizes = [graph.x.size(0) for graph in graphs]
        targets = as_target_index(index, len(graphs), "graph")

        def make_voter(shard: range, inside: Tensor, number: int) -> ForwardVoter:
            few = graphs[shard.start : shard.stop]
            x = self._check_features(stacked_features(few))
            return self._forward_voter(
                GraphForward(
                    self._call,
                    [copy.copy(graph).to(self.device) for graph in few],
                    self.keep,
                    num_classes=self.num_classes,
                ),
                x,
                sizes[shard.start : shard.stop],
                inside,
                options,
                (number,),
            )

        voter = shard_voters(sizes, targets, make_voter)
        return voter, {"index": targets, "num_entities": torch.tensor(sizes)[targets]}
