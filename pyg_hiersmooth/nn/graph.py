from __future__ import annotations

import copy
import os
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.inputs.cleaning import Cleaning
from pyg_hiersmooth.nn.calls.inputs.graphs import as_graphs, stacked_features
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.nn.certificate_plan import Until
from pyg_hiersmooth.nn.smoothed_classifier import Index, SmoothedClassifier
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.sharded_voter import ShardedVoter, shard_voters
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


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
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        num_classes (int): Number of classes :math:`C`.
        forward (Callable, optional): ``forward(model, x, batch)``, for a model with another
            signature. It must call the model that it is given, on the features that it is given;
            :obj:`batch` is the graphs' structure alone. (default: :obj:`None`)
        keep (tuple of str, optional): Names of more attributes of the graphs that the model gets,
            with the promise that they do not depend on node features; as in
            :class:`~pyg_hiersmooth.nn.SmoothedNodeClassifier`. (default: :obj:`()`)

    Example:
        >>> smoothed = SmoothedGraphClassifier(model, transform, num_classes=2)
        >>> certificate = smoothed.certify(test_dataset)
        >>> certificate.certified_accuracy(test_dataset.y, r=1, eps=0.5)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise | Compose,
        num_classes: int,
        forward: ModelCall | None = None,
        keep: Collection[str] = (),
    ) -> None:
        super().__init__(model, transform, num_classes)
        self._call, self.keep = forward, check_keep(keep)

    def sample_votes(
        self,
        data: Any,
        num_samples: int,
        seed: int = 0,
        index: Index = None,
        progress: bool = True,
        *,
        start: int = 0,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
    ) -> Tensor:
        r"""Counts the classes that the model predicts under noise.

        Sample :math:`i` of a graph depends on :obj:`seed`, :math:`i` and :obj:`data` alone,
        whatever the batches of a loader, the targets, the number of workers or interruptions.

        Args:
            data (Data, list, Dataset or DataLoader): The graphs, with features ``x`` of shape
                ``[num_nodes, D]``. Of a loader, all graphs of its dataset, in their order there.
            num_samples (int): Number of samples, at least 1.
            seed (int): Non-negative seed. (default: :obj:`0`)
            index (torch.Tensor, optional): Mask ``[num_graphs]`` or indices ``[M]`` of the
                target graphs. Noise is drawn for all graphs: of a few targets among many graphs,
                pass only those as :obj:`data`. (default: all graphs)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            start (int): First sample, so that ranges of one run can be drawn apart: votes that
                bound a class must start after those that selected it. (default: :obj:`0`)
            num_workers (int, optional): Processes that sample on a CPU; :obj:`0` samples in this
                process. (default: one a core)
            block_size (int, optional): Copies of the graphs in one forward pass. (default: as
                many as are cheap: hundreds of a small graph)
            checkpoint (str, optional): File that keeps the votes as they come, and that an
                interrupted run with the same arguments continues from. (default: :obj:`None`)
            dense (bool): Whether to write the noisy features out even where the model would let
                the noise be drawn behind its first linear map. (default: :obj:`False`)

        Returns:
            torch.Tensor: Votes, int64 ``[M, C]``; each row sums to :obj:`num_samples`.

        Raises:
            TypeError: If :obj:`data` holds anything but homogeneous graphs.
            ValueError: If an argument is out of range, there is no graph or one without nodes or
                features, the features are not what the noise is defined on, the model fails on
                them or does not return ``[num_graphs, C]``, or the checkpoint belongs to another
                run.
        """
        return self._sample_votes(
            data,
            num_samples,
            seed,
            index,
            progress,
            start=start,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=dense,
        )

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
            data, seed, index, progress, num_workers, block_size, dense: As in
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
                ``{"r": 1, "eps": 0.5}``, or several. A target is then sampled until they
                are all answered, yes or no, and at most :obj:`n` times; one whose answer is no may
                abstain. Bounds hold at all numbers of samples at once, so the certificate holds
                for every budget, and the run may go on, from its checkpoint, with a larger
                :obj:`n` or other questions. :obj:`n0` is not taken. (default: :obj:`None`)

        Returns:
            Certificate: For the target graphs, in the order of :obj:`index`.

        Raises:
            TypeError, ValueError: As in :meth:`sample_votes`; or if an exact certificate is given
                what belongs to sampling, or a model that draws random numbers.
        """
        return self._certify(
            data,
            n0,
            n,
            alpha,
            seed,
            index,
            progress,
            kind=kind,
            simultaneous=simultaneous,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=dense,
            until=until,
        )

    def _cleaned(self, data: Any) -> list[Data]:
        graphs = as_graphs(data)
        if self.before is not None:
            clean = Cleaning(self.before, keep=self.keep, node_level=False)
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
                GraphForward(self._call, [copy.copy(g).to(self.device) for g in few], self.keep),
                x,
                sizes[shard.start : shard.stop],
                inside,
                options,
                (number,),
            )

        voter = shard_voters(sizes, targets, make_voter)
        return voter, {"index": targets, "num_entities": torch.tensor(sizes)[targets]}
