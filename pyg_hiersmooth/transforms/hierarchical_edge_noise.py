from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_hiersmooth.noise import AblationNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection, as_selection
from pyg_hiersmooth.transforms.edge_forms import (
    book,
    edge_attributes,
    edge_ends,
    edge_index_like,
    entries,
    keep_edges,
    matrix_like,
    shallow_copy,
    sizes,
)
from pyg_hiersmooth.transforms.node_pairs import NodePairs
from pyg_hiersmooth.transforms.noise_mark import is_noisy, mark_noisy


class CertifiedAs(NamedTuple):
    r"""A selection and a noise that a certificate is made with."""

    selection: Selection
    noise: Noise


@functional_transform("hierarchical_edge_noise")
class HierarchicalEdgeNoise(BaseTransform):
    r"""Adds noise to randomly selected pairs of nodes: the edges of a graph are its entities
    (functional name: :obj:`hierarchical_edge_noise`).

    * :class:`~pyg_hiersmooth.noise.AblationNoise`: a selected pair has no edge.
    * :class:`~pyg_hiersmooth.noise.SparseFlipNoise`: a selected pair with an edge loses it with
      probability :obj:`p_minus`, and one without gets one with probability :obj:`p_plus`. With
      ``p=1`` that is the sparse smoothing of adjacencies (Bojchevski, Gasteiger & Günnemann, ICML
      2020).

    Every pair draws once, whatever lies between its nodes: repeated edges, and both directions of
    an undirected graph, go and stay together. A node and itself are a pair as well: self-loops of
    the graph get noise (those that a convolution adds do not). Pairs are those within a graph of a
    batch. No indicator is shown. A draw costs :math:`O(|E| + \mathrm{flips})`, never
    :math:`O(N^2)`, and is exact. Draws follow :func:`torch.manual_seed`. The input is never
    changed.

    Edges that stay keep their order and attributes. Where edges are added, the noisy graph holds
    its edges once and sorted, so that added edges cannot be recognized. For the same reason, the
    graph must have no weights, attributes or repeated edges: an edge that is deleted and added
    again would return without its weight, and so reveal the clean graph.

    Args:
        p (float or PartitionSelection): Probability in :math:`(0, 1]` that a pair is selected; or
            a partition, whose groups of pairs are dealt by a hash of both nodes, so that an edge
            that is added has a group as well. With ablation its outcomes can be listed.
        noise (Noise): ``AblationNoise()`` or ``SparseFlipNoise(p_plus, p_minus)``.
        undirected (bool, optional): Whether :math:`(i, j)` and :math:`(j, i)` are one pair.
            (default: :obj:`True`)

    Raises:
        TypeError: If :obj:`noise` or :obj:`p` is of another kind.
        ValueError: If :obj:`p` is out of range, or, when called, if the graph does not fit.

    Example:
        >>> transform = HierarchicalEdgeNoise(1.0, SparseFlipNoise(1e-4, 0.6))
        >>> noisy = transform(data)
    """

    def __init__(
        self, p: float | PartitionSelection, noise: Noise, undirected: bool = True
    ) -> None:
        plain = isinstance(noise, AblationNoise) and noise.of == "features" and noise.token is None
        if not (plain or isinstance(noise, SparseFlipNoise)):
            got = str(noise) if isinstance(noise, Noise) else type(noise).__name__
            raise TypeError(
                "'noise' of edges must be AblationNoise() or SparseFlipNoise(p_plus, p_minus) "
                f"(got {got})"
            )
        selection = None if isinstance(p, Tensor) else as_selection(p)
        if isinstance(selection, BernoulliSelection) and not isinstance(selection.p, Tensor):
            self.p = selection.p
        elif isinstance(selection, PartitionSelection):
            self.p = 1.0
        else:
            got = "a tensor" if isinstance(p, Tensor) else str(p)
            raise TypeError(
                "'p' must be one probability for all pairs, or a PartitionSelection, as a pair "
                f"without an edge is an entity as well (got {got})"
            )
        self.selection, self.noise, self.undirected = selection, noise, bool(undirected)

    @property
    def flips(self) -> tuple[float, float]:
        r"""Probabilities that a pair gets an edge and that it loses one, of every pair, or of those
        outside the group that a partition leaves out.
        """
        if isinstance(self.noise, SparseFlipNoise):
            return self.p * self.noise.p_plus, self.p * self.noise.p_minus
        return 0.0, self.p

    @property
    def num_outcomes(self) -> int:
        r"""How many outcomes can be listed; 0 where they are drawn."""
        listed = isinstance(self.selection, PartitionSelection) and not self.noise.axes
        return self.selection.num_outcomes() or 0 if listed else 0

    @property
    def certified_as(self) -> CertifiedAs:
        r"""What a certificate for changed edges alone is made with, where additions and deletions
        of edges are told apart: with independent pairs and no indicator, noise on a selected pair
        is a flip of every pair with :attr:`flips`. A partition stays what it is.

        The entities are pairs: their number is not that of nodes.
        """
        if isinstance(self.selection, PartitionSelection):
            return CertifiedAs(self.selection, self.noise)
        return CertifiedAs(BernoulliSelection(1.0), SparseFlipNoise(*self.flips))

    def forward(self, data: Data) -> Data:
        noisy = self.prepare(data)
        drawn = noisy.draw(RandomStream.from_torch(noisy.device))
        mark_noisy(drawn)
        return drawn

    def prepare(self, data: Data) -> NoisyEdges:
        r"""Prepares many draws of the same graph.

        Raises:
            TypeError: If the graph is heterogeneous.
            ValueError: If it has no edges in a form that is known, if they do not lie within its
                graphs, if pairs are undirected and edges have one direction only, or if edges are
                added to ones that are weighted or repeated.
        """
        return NoisyEdges(self, data)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.selection}, {self.noise}, "
            f"undirected={self.undirected})"
        )


class NoisyEdges:
    r"""A graph whose edges are drawn many times: each draw is a new graph, with the same
    nodes and features.

    Args:
        transform (HierarchicalEdgeNoise): The smoothing.
        data (Data or Batch): The graph.
    """

    def __init__(self, transform: HierarchicalEdgeNoise, data: Data) -> None:
        if not isinstance(data, Data):
            raise TypeError(
                f"{type(transform).__name__} takes homogeneous graphs, as pairs of nodes of "
                f"different types are no entities of one kind (got {type(data).__name__})"
            )
        ends = edge_ends(data._store)
        if not ends:
            raise ValueError(
                "noise on edges needs them in 'edge_index' or 'adj_t' (got a graph with neither)"
            )
        self.device = next(iter(ends.values()))[0].device
        self._data = data
        self._p_plus, self._p_minus = transform.flips
        ptr = data.ptr if "ptr" in data else None
        num_nodes = ptr.diff() if ptr is not None else torch.tensor([data.num_nodes])
        self._pairs = NodePairs(num_nodes.to(self.device), transform.undirected)
        if transform.undirected and not is_noisy(data):  # which may have lost one direction
            self._check_symmetric(ends)
        if self._p_plus > 0.0:
            self._check_additions(ends)
        numbers = [self._pairs.number(*each) for each in ends.values()]
        self._existing, places = torch.cat(numbers).unique(return_inverse=True)
        parts = places.split([number.numel() for number in numbers])
        self._places = dict(zip(ends, parts, strict=True))
        self._partition: PartitionSelection | None = None
        if isinstance(transform.selection, PartitionSelection):
            self._partition = transform.selection
            self._groups = self._pairs.groups(self._existing, self._partition)

    def draw(self, stream: RandomStream) -> Data:
        r"""One draw, from a stream on the device of the edges."""
        if self._partition is None:
            return self._drawn(stream, lambda numbers: torch.ones_like(numbers, dtype=torch.bool))
        index = int(stream.subset(self._partition.num_masks, 1))
        return self._drawn(stream, partial(self._selected, self._partition, index))

    def outcome(self, index: int) -> Data:
        r"""One of the outcomes of a partition under ablation, in the order of its masks.

        Raises:
            ValueError: If there is no such outcome, or they are drawn, not enumerated.
        """
        if self._partition is None or (self._p_plus, self._p_minus) != (0.0, 1.0):
            raise ValueError(
                "noise on edges lists its outcomes for ablation under a partition only"
            )
        num_masks = self._partition.num_masks
        if not (0 <= index < num_masks and index % 1 == 0):
            raise ValueError(f"'index' must be an integer in [0, {num_masks}) (got {index})")
        return self._without(self._selected(self._partition, int(index), self._existing))

    def _drawn(self, stream: RandomStream, selects: Callable[[Tensor], Tensor]) -> Data:
        removed = stream.bernoulli(self._p_minus, self._existing.numel()) & selects(self._existing)
        if self._p_plus == 0.0:
            return self._without(removed)
        added = stream.successes(len(self._pairs), self._p_plus).long()
        added = added[~torch.isin(added, self._existing, assume_unique=True)]
        added = added[selects(added)]
        return self._with(torch.cat([self._existing[~removed], added]))

    def _selected(self, partition: PartitionSelection, index: int, numbers: Tensor) -> Tensor:
        r"""Which pairs an outcome of the partition selects."""
        number, group = divmod(index, partition.num_groups)
        known = numbers is self._existing
        groups = self._groups if known else self._pairs.groups(numbers, partition)
        return groups[number] != group

    def _without(self, removed: Tensor) -> Data:
        r"""The graph without the edges of some existing pairs, in its own order."""
        out = shallow_copy(self._data)
        kept = {form: ~removed[places] for form, places in self._places.items()}
        keep_edges(out, out._store, kept)
        return out

    def _with(self, numbers: Tensor) -> Data:
        r"""The graph with an edge at each of these pairs and nowhere else, sorted."""
        source, target = self._pairs.nodes(numbers)
        if self._pairs.undirected:
            apart = source != target
            ends = source, target
            source = torch.cat([ends[0], ends[1][apart]])
            target = torch.cat([ends[1], ends[0][apart]])
        out = shallow_copy(self._data)
        if "adj_t" in self._places:
            old = out.adj_t
            by_source = isinstance(old, Tensor) and old.layout == torch.sparse_csc
            source, target = self._sorted(source, target, by_source)
            value = entries(old)[2]
            value = None if value is None else value.new_ones(source.numel())
            out.adj_t = matrix_like(old, target, source, value, sizes(old))
            return out
        old = out.edge_index
        by_target = isinstance(old, EdgeIndex) and old.is_sorted_by_col
        source, target = self._sorted(source, target, not by_target)
        out.edge_index = edge_index_like(old, torch.stack([source, target]).to(old.dtype))
        slices = book(out, "_slice_dict", out._store)
        if "edge_index" in slices:
            first = torch.searchsorted(
                (source if not by_target else target), self._pairs.first_node
            )
            slices["edge_index"] = first.to(slices["edge_index"].device)
        return out

    def _sorted(self, source: Tensor, target: Tensor, by_source: bool) -> tuple[Tensor, Tensor]:
        major, minor = (source, target) if by_source else (target, source)
        order = (major * self._pairs.first_node[-1] + minor).argsort()
        return source[order], target[order]

    def _check_additions(self, ends: dict[str, tuple[Tensor, Tensor]]) -> None:
        named = edge_attributes(self._data._store)
        if "adj_t" in ends:
            value = entries(self._data.adj_t)[2]
            if value is not None and bool((value != 1).any()):
                named.append("adj_t")
        if named:
            raise ValueError(
                f"edges with '{named[0]}' cannot be added: an edge that noise adds has none, and "
                "certificates for flips know pairs with an edge and without one only; drop it, or "
                "use p_plus=0"
            )
        if len(ends) > 1:
            raise ValueError(
                "edges can be added to 'edge_index' or to 'adj_t' (got a graph with both): drop one"
            )
        ((source, target),) = ends.values()
        numbers = NodePairs(self._pairs.num_nodes, undirected=False).number(source, target)
        if numbers.unique().numel() < numbers.numel():
            raise ValueError(
                "edges can be added where there are none twice (got repeated edges): use "
                "torch_geometric.utils.coalesce first"
            )

    def _check_symmetric(self, ends: dict[str, tuple[Tensor, Tensor]]) -> None:
        directed = NodePairs(self._pairs.num_nodes, undirected=False)
        for source, target in ends.values():
            there, back = directed.number(source, target), directed.number(target, source)
            if not torch.equal(there.unique(), back.unique()):
                raise ValueError(
                    "'undirected=True' is for graphs whose edges have both directions (got edges "
                    "with one): use ToUndirected first, or undirected=False"
                )
