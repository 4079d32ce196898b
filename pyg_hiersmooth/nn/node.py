from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.nn.model_call import Forward, call_model, check_logits
from pyg_hiersmooth.nn.smoothed_classifier import SmoothedClassifier, check_count, evaluating
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint, fingerprint
from pyg_hiersmooth.sampling.features import FeatureSource, feature_source
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

MAX_BLOCK = 64
ROWS_PER_CPU_BLOCK = 2048


class SmoothedNodeClassifier(SmoothedClassifier):
    r"""A node classifier smoothed by hierarchical noise on node features (Scholten et al. 2023).

    It returns, for each node, the class that the model predicts most often when the features of
    random nodes are noisy; the entities are all nodes of the graph.

    Args:
        model (torch.nn.Module): Any model called as ``model(x, edge_index, ...)`` that returns
            logits ``[num_nodes, num_classes]``; ``edge_weight``, ``edge_attr``, ``adj_t`` are
            passed on where the graph has them and the model takes them. It must be built for the
            features that :obj:`transform` makes: ``D + 1`` with the indicator. It runs in
            evaluation mode.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        num_classes (int): Number of classes :math:`C`.
        forward (Callable, optional): ``forward(model, x, data)``, for a model with another
            signature. (default: :obj:`None`)

    Example:
        >>> smoothed = SmoothedNodeClassifier(model, transform, num_classes=7)
        >>> certificate = smoothed.certify(data, node_index=data.test_mask)
        >>> certificate.certified_accuracy(data.y[data.test_mask], r=1, additions=0, deletions=5)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise,
        num_classes: int,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(model, transform, num_classes)
        self._call = forward or call_model

    def forward(
        self,
        data: Data,
        num_samples: int = 1_000,
        seed: int = 0,
        node_index: ArrayLike | Tensor | None = None,
    ) -> Tensor:
        r"""Estimated vote probabilities of the smoothed classifier, float32 ``[M, C]``; arguments
        as in :meth:`sample_votes`.
        """
        return self.sample_votes(data, num_samples, seed, node_index, False) / num_samples

    def sample_votes(
        self,
        data: Data,
        num_samples: int,
        seed: int = 0,
        node_index: ArrayLike | Tensor | None = None,
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
            data (Data): The graph, with features ``x`` of shape ``[num_nodes, D]``.
            num_samples (int): Number of samples, at least 1.
            seed (int): Non-negative seed. (default: :obj:`0`)
            node_index (torch.Tensor, optional): Mask ``[num_nodes]`` or indices ``[M]`` of the
                target nodes. (default: all nodes)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            start (int): First sample, so that ranges of one run can be drawn apart.
                (default: :obj:`0`)
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
        voter = self._voter(data, seed, node_index, block_size, dense)
        kept = None
        if checkpoint is not None:
            kept = VoteCheckpoint(checkpoint, {**self._settings(voter, seed), "start": start})
        return self._sample(voter, num_samples, start, num_workers, kept, progress)

    def certify(
        self,
        data: Data,
        n0: int = 1_000,
        n: int = 10_000,
        alpha: float = 0.01,
        seed: int = 0,
        node_index: ArrayLike | Tensor | None = None,
        progress: bool = True,
        *,
        kind: str = "multiclass",
        simultaneous: bool = False,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dense: bool = False,
    ) -> Certificate:
        r"""Samples, and certifies the votes.

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
                they come. (default: :obj:`None`)

        Returns:
            Certificate: For the target nodes, in the order of :obj:`node_index`.

        Raises:
            ValueError: As in :meth:`sample_votes`.
        """
        voter = self._voter(data, seed, node_index, block_size, dense)
        return self._certify(
            voter,
            n0,
            n,
            alpha,
            kind,
            simultaneous,
            num_workers,
            checkpoint,
            self._settings(voter, seed) if checkpoint is not None else {},
            progress,
            index=voter.node_index.cpu(),
            num_entities=voter.num_nodes,
            num_features=voter.x.size(1),
        )

    def _voter(
        self,
        data: Data,
        seed: int,
        node_index: ArrayLike | Tensor | None,
        block_size: int | None,
        dense: bool,
    ) -> NodeVoter:
        if data.get("x") is None:
            raise ValueError("data has no node features 'x'")
        check_count("seed", seed, 0)
        self.transform.check_features(data.x)
        if block_size is not None:
            check_count("block_size", block_size, 1)
        targets = as_node_index(node_index, data.x.size(0)).to(self.device)
        voter = NodeVoter(
            self.model,
            self.transform,
            self.num_classes,
            self._call,
            copy.copy(data).to(self.device),
            targets,
            seed,
            block_size,
            dense,
        )
        with evaluating(self.model), torch.no_grad():
            voter.prepare()
        self.feature_path = voter.source.description
        return voter

    def _settings(self, voter: NodeVoter, seed: int) -> dict[str, Any]:
        return {
            **self._model_settings(),
            "seed": seed,
            "device": voter.device.type,
            "dense": voter.dense,
            "features": fingerprint(voter.x),
            "graph": fingerprint(*_tensors(voter.graph)),
            "target nodes": fingerprint(voter.node_index),
        }


class NodeVoter(Voter):
    r"""Votes on the target nodes of one graph."""

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise,
        num_classes: int,
        call: Forward,
        data: Data,
        node_index: Tensor,
        seed: int,
        block_size: int | None,
        dense: bool,
    ) -> None:
        self.model, self.transform, self.call = model, transform, call
        self.node_index, self.seed, self.dense = node_index, seed, dense
        self.num_classes, self.num_targets = num_classes, node_index.numel()
        self.device = node_index.device
        self.x = data.x
        if self.x.layout != torch.strided and not isinstance(transform.noise, SparseFlipNoise):
            self.x = self.x.to_dense()
        self.num_nodes = self.x.size(0)
        self.graph = copy.copy(data)
        del self.graph.x
        self.graph.num_nodes = self.num_nodes
        self.block_size = block_size or 0

    @cached_property
    def source(self) -> FeatureSource:
        r"""Where noisy features come from."""

        def run(x: Tensor) -> Tensor:
            return self.call(self.model, x, self.graph)

        return feature_source(self.transform, self.x, self._sizes(), run, self.dense)

    @cached_property
    def copies(self) -> Data:
        r"""A block of copies of the graph."""
        return Batch.from_data_list([self.graph] * self.block_size)

    @cached_property
    def _fallback(self) -> FeatureSource:
        return feature_source(self.transform, self.x, self._sizes(), call_model, dense=True)

    def __getstate__(self) -> dict[str, Any]:
        prepared = ("source", "copies", "_fallback")
        return {name: value for name, value in vars(self).items() if name not in prepared}

    def prepare(self) -> None:
        r"""Tries the model once, and settles how many copies of the graph go into one forward.

        Raises:
            ValueError: If the model fails on the features, or returns no logits for the nodes.
        """
        num_columns = self.x.size(1) + int(self.transform.append_indicator)
        try:
            logits = self._logits(range(1), self.graph)
        except (RuntimeError, IndexError, TypeError, AssertionError) as error:
            indicator = " (the last is the indicator)" if self.transform.append_indicator else ""
            raise ValueError(
                f"the model failed on features of shape [{self.num_nodes}, {num_columns}]"
                f"{indicator}: {error}"
            ) from error
        check_logits(logits, self.num_nodes, self.num_classes, "num_nodes")
        if self.block_size == 0:
            self.block_size = self._choose_block_size()
            if self.block_size > 1 and not self._copies_are_independent():
                self.block_size = 1
                del self.copies

    def predict(self, samples: range) -> Tensor:
        predictions = []
        # Blocks start at multiples of their size, so that they are the same in every run.
        for first in range(
            samples.start - samples.start % self.block_size, samples.stop, self.block_size
        ):
            block = self._predict_block(range(first, first + self.block_size))
            predictions.append(block[max(samples.start - first, 0) : samples.stop - first])
        return torch.cat(predictions)

    def _predict_block(self, samples: range) -> Tensor:
        logits = self._logits(samples, self.copies if self.block_size > 1 else self.graph)
        targets = logits.view(len(samples), self.num_nodes, -1)[:, self.node_index]
        if not bool(torch.isfinite(targets).all()):
            raise ValueError("the model returned logits that are NaN or infinite")
        return targets.argmax(-1)

    def _logits(self, samples: range, graph: Data) -> Tensor:
        try:
            return self.call(self.model, self.source.draw(self._streams(samples)), graph)
        except NotLinearError:
            return self.call(self.model, self._fallback.draw(self._streams(samples)), graph)

    def _streams(self, samples: range) -> list[RandomStream]:
        return [RandomStream(self.seed, sample, device=self.device) for sample in samples]

    def _sizes(self) -> list[int] | None:
        return self.graph.ptr.diff().tolist() if "ptr" in self.graph else None

    def _choose_block_size(self) -> int:
        if self.device.type == "cpu":
            return max(1, min(MAX_BLOCK, ROWS_PER_CPU_BLOCK // self.num_nodes))
        free, _ = torch.cuda.mem_get_info(self.device)
        bytes_per_copy = 8 * self.x.element_size() * self.num_nodes * (self.x.size(1) + 1)
        return max(1, min(MAX_BLOCK, free // (4 * bytes_per_copy)))

    def _copies_are_independent(self) -> bool:
        # A model that mixes all rows it is given (a norm over all nodes, say) takes one at a time.
        samples = range(self.block_size)
        together = self._logits(samples, self.copies)
        apart = torch.cat([self._logits(range(i, i + 1), self.graph) for i in samples])
        return together.shape == apart.shape and torch.allclose(
            together, apart, rtol=1e-3, atol=1e-4 * float(apart.abs().max())
        )


def as_node_index(node_index: ArrayLike | Tensor | None, num_nodes: int) -> Tensor:
    r"""Target nodes as an index tensor, int64 ``[M]``.

    Args:
        node_index (torch.Tensor, optional): Mask ``[num_nodes]`` or indices ``[M]``;
            :obj:`None` means all nodes.
        num_nodes (int): Number of nodes.

    Raises:
        ValueError: If there are no targets, or one is not a node.
    """
    if node_index is None:
        return torch.arange(num_nodes)
    index = torch.as_tensor(node_index).cpu()
    if index.dtype == torch.bool:
        if tuple(index.shape) != (num_nodes,):
            raise ValueError(
                f"'node_index' as a mask must have the shape [{num_nodes}] "
                f"(got {list(index.shape)})"
            )
        index = index.nonzero().view(-1)
    elif index.is_floating_point() and index.numel() > 0:
        raise ValueError(f"'node_index' must be a mask or integers (got {index.dtype})")
    if index.dim() != 1 or index.numel() == 0:
        raise ValueError(
            f"'node_index' must name at least one node (got shape {list(index.shape)})"
        )
    index = index.long()
    if int(index.min()) < 0 or int(index.max()) >= num_nodes:
        raise ValueError(
            f"'node_index' must lie between 0 and {num_nodes - 1} "
            f"(got {int(index.min())} to {int(index.max())})"
        )
    return index


def _tensors(graph: Data) -> Iterator[Tensor]:
    for _, value in sorted(graph.to_dict().items()):
        if isinstance(value, Tensor):
            yield value
        elif hasattr(value, "coo"):
            yield from (part for part in value.coo() if part is not None)
