r"""The part of a graph that some targets' logits depend on, as a separate graph."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.calls.structure import STRUCTURE
from pyg_hiersmooth.nn.neighborhoods.receptive_field import sources_and_destinations
from pyg_hiersmooth.sampling.checkpoint import fingerprint

Boundary = Literal["none", "weights", "edges"]
r"""What a neighborhood holds of the edges that end at its boundary, the nodes as far away as a
model looks: nothing; one edge per node with the sum of their weights; or all of them."""

BOUNDARIES: tuple[Boundary, ...] = ("none", "weights", "edges")
r"""From the cheapest on; each is right for more models than the one before."""


class Field(NamedTuple):
    r"""The nodes within some hops of targets, in ascending order each."""

    inner: np.ndarray
    r"""Those less than all hops away, int64."""
    boundary: np.ndarray
    r"""Those exactly as many hops away, int64."""

    @property
    def nodes(self) -> np.ndarray:
        r"""All of them, int64, ascending."""
        return np.sort(np.concatenate([self.inner, self.boundary]))

    def beside(self, other: Field) -> Field:
        r"""The nodes of both."""
        inner = np.union1d(self.inner, other.inner)
        return Field(inner, np.setdiff1d(np.union1d(self.boundary, other.boundary), inner))


class CSC:
    r"""The edges of a graph by the node that they end at, for questions that cost what is asked
    about and not the whole graph.

    Args:
        graph (Data): The graph, with one of ``edge_index`` and a sparse ``adj_t``.
    """

    def __init__(self, graph: Data) -> None:
        self.value: Tensor | None = None  # what an ``adj_t`` holds, of each edge
        if "adj_t" in graph:
            source, destination = sources_and_destinations(graph.adj_t)
            self.value = _values(graph.adj_t)
        else:
            source, destination = graph.edge_index.as_subclass(Tensor).cpu().numpy()
        self.source, self.destination = source, destination
        self.num_nodes, self.num_edges = int(graph.num_nodes or 0), len(source)
        each = np.arange(self.num_edges)
        by_end = sparse.csr_array(
            (np.ones(self.num_edges, dtype=bool), (destination, each)),
            (self.num_nodes, self.num_edges),
        )
        self.start, self._edges = by_end.indptr.astype(np.int64), by_end.indices

    @cached_property
    def digest(self) -> str:
        r"""What tells the graph from others."""
        ends = map(torch.from_numpy, (self.source, self.destination))
        return f"{self.num_nodes} {fingerprint(*ends)}"

    @property
    def size(self) -> int:
        r"""Nodes and edges."""
        return self.num_nodes + self.num_edges

    def degree(self, nodes: np.ndarray) -> np.ndarray:
        r"""How many edges end at each node, int64."""
        return self.start[nodes + 1] - self.start[nodes]

    def ending_at(self, nodes: np.ndarray, sends: np.ndarray | None = None) -> np.ndarray:
        r"""The edges that end at the nodes, node after node, int64; of these, those that begin at
        nodes which send, bool ``[N]``, if that is given.
        """
        edges = self._edges[ranges(self.start[nodes], self.degree(nodes))].astype(np.int64)
        return edges if sends is None else edges[sends[self.source[edges]]]

    def field(self, targets: np.ndarray, hops: int, sends: np.ndarray | None = None) -> Field:
        r"""The nodes from which a number of steps along the edges leads to the targets, where all
        nodes of a path but the target send.
        """
        inner, boundary = np.empty(0, dtype=np.int64), np.unique(targets)
        for _ in range(hops):
            inner = np.union1d(inner, boundary)
            boundary = np.setdiff1d(self.source[self.ending_at(boundary, sends)], inner)
        return Field(inner, boundary)

    def field_size(self, targets: np.ndarray, hops: int) -> int:
        r"""The nodes of a field and all edges that end at them, in number."""
        nodes = self.field(targets, hops).nodes
        return len(nodes) + int(self.degree(nodes).sum())


class Neighborhood:
    r"""All nodes within :obj:`hops` of the targets, as a separate graph.

    A model that takes :obj:`hops` steps against the edges reads the features of these nodes, and
    all edges that do not end at the boundary. Of edges that end there, it can read only their
    number and their weights, as GCN does, which divides messages from a node by the node's own
    degree. So they are kept as :obj:`boundary` says. Those from outside start at *ghost nodes*,
    whose features make no difference.

    Args:
        graph (Data): The whole graph; see :func:`check_cut`.
        edges (CSC): Its edges.
        targets (numpy.ndarray): int64 ``[K]``.
        hops (int): Message passing steps from a feature to a prediction.
        boundary (str): What is kept of the edges that end at the boundary.
        keep (tuple of str): Attributes besides the structure.
        dtype (torch.dtype): Of weights that are added where the graph has none.
        sends (numpy.ndarray, optional): Which nodes send messages, bool ``[N]``, where not all do:
            the graph is then what is left of it without all other messages.
        beside (Field, optional): Nodes that are there as well, in the same way.

    Attributes:
        nodes (torch.Tensor): The nodes, int64 ``[n]``, ascending.
        targets (torch.Tensor): Where the targets are among them, int64 ``[K]``.
        num_ghosts (int): Nodes of :attr:`graph` after those.
        graph (Data): Its structure, with edges in the order of the whole graph.
    """

    def __init__(
        self,
        graph: Data,
        edges: CSC,
        targets: np.ndarray,
        hops: int,
        boundary: Boundary = "edges",
        keep: Collection[str] = (),
        dtype: torch.dtype = torch.float32,
        sends: np.ndarray | None = None,
        beside: Field | None = None,
    ) -> None:
        field = edges.field(targets, hops, sends)
        field = field if beside is None else field.beside(beside)
        nodes = field.nodes
        self.nodes = torch.from_numpy(nodes)
        self.targets = torch.from_numpy(np.searchsorted(nodes, targets))
        kept = edges.ending_at(nodes if boundary == "edges" else field.inner, sends)
        kept = _ascending(kept, edges.num_edges)
        weight = None
        if boundary == "weights":
            kept, weight = _with_weights(graph, edges, kept, field.boundary, dtype)
        source, destination = edges.source[kept], edges.destination[kept]
        place = _places(nodes, source, edges.num_nodes).clip(max=len(nodes) - 1)
        outside = nodes[place] != source
        if weight is not None:
            outside |= np.isin(destination, field.boundary) & (source != destination)
            place[outside] = len(nodes)
        else:
            place[outside] = len(nodes) + _distinct(source[outside], destination[outside])
        self.num_ghosts = int(place.max(initial=len(nodes) - 1)) + 1 - len(nodes)
        ends = np.stack([place, _places(nodes, destination, edges.num_nodes)])
        if "adj_t" in graph and weight is None and edges.value is not None:
            weight = edges.value[torch.from_numpy(kept)]
        self.graph = self._cut(
            graph, torch.from_numpy(kept), torch.from_numpy(ends).long(), weight, keep
        )

    @property
    def size(self) -> int:
        r"""Nodes and edges."""
        return int(self.graph.num_nodes or 0) + int(self.graph.num_edges)

    def extended(self, rows: Tensor, ghost: Tensor) -> Tensor:
        r"""Rows of the nodes, and one row for each of the ghost nodes: ``[n + S, D]``."""
        if self.num_ghosts == 0:
            return rows
        return torch.cat([rows, *[ghost] * self.num_ghosts])

    def _cut(
        self, graph: Data, edges: Tensor, ends: Tensor, weight: Tensor | None, keep: Collection[str]
    ) -> Data:
        size = len(self.nodes) + self.num_ghosts
        cut = Data(num_nodes=size)
        for name in sorted(STRUCTURE.union(keep) - {"num_nodes"}):
            if name not in graph:
                continue
            value = graph[name]
            if name == "edge_index":
                cut.edge_index = ends
            elif name == "adj_t":
                cut.adj_t = _adjacency(value, ends, weight, size)
            elif name == "edge_weight" and weight is not None:
                continue
            elif graph.is_edge_attr(name):
                cut[name] = value[edges]
            elif graph.is_node_attr(name):
                own = value[self.nodes]
                cut[name] = self.extended(own, own[:1])
            else:
                cut[name] = value
        if weight is not None and "adj_t" not in graph:
            cut.edge_weight = weight
        return cut


def check_cut(graph: Data, keep: Collection[str]) -> None:
    r"""Raises :class:`NotTaken` if no neighborhood can be cut out of a graph."""
    if ("edge_index" in graph) == ("adj_t" in graph):
        raise NotTaken("the graph must have one of 'edge_index' and 'adj_t'")
    for name in ("batch", "ptr", "adj"):
        if name in graph:
            raise NotTaken(f"the graph has '{name}'")
    for name in STRUCTURE.union(keep):
        if name in graph and name not in ("edge_index", "adj_t", "num_nodes"):
            per_part = graph.is_edge_attr(name) or graph.is_node_attr(name)
            if per_part and not isinstance(graph[name], Tensor):
                raise NotTaken(f"'{name}' is no tensor")
            if "adj_t" in graph and graph.is_edge_attr(name):
                raise NotTaken(f"the graph has 'adj_t' and '{name}'")


def telling_nodes(edges: CSC, count: int) -> np.ndarray:
    r"""About so many nodes, int64, ascending, on which a model shows how it takes edges: some with
    self-loops, with edges that occur more than once and without in-edges, and others far apart in
    their order.
    """
    place = np.sort(edges.destination * edges.num_nodes + edges.source)
    kinds = (
        edges.destination[edges.source == edges.destination],
        place[1:][place[1:] == place[:-1]] // edges.num_nodes,
        np.flatnonzero(edges.start[1:] == edges.start[:-1]),
        np.arange(edges.num_nodes),
    )
    chosen = [
        kind[np.linspace(0, len(kind) - 1, count // 4).astype(np.int64)]
        for kind in kinds
        if len(kind)
    ]
    return np.unique(np.concatenate(chosen))


def rows_of(x: Tensor, rows: Tensor) -> Tensor:
    r"""Some rows of features, without a look at the others: dense, or COO from a sparse layout.

    Args:
        x (torch.Tensor): ``[N, D]``, dense, COO or CSR.
        rows (torch.Tensor): int64 ``[K]``, on the CPU.
    """
    if x.layout != torch.sparse_csr:
        return x.index_select(0, rows.to(x.device))
    start, end = x.crow_indices()[rows], x.crow_indices()[rows + 1]
    count = end - start
    place = torch.from_numpy(ranges(start.cpu().numpy(), count.cpu().numpy())).to(x.device)
    row = torch.arange(len(rows), device=x.device).repeat_interleave(count)
    index = torch.stack([row, x.col_indices()[place].long()])
    return torch.sparse_coo_tensor(
        index, x.values()[place], (len(rows), x.size(1)), check_invariants=False
    ).coalesce()


def ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    r"""``start[0], ..., start[0] + count[0] - 1, start[1], ...``, int64."""
    shift = np.repeat(start - (count.cumsum() - count), count)
    return shift + np.arange(len(shift))


def _with_weights(
    graph: Data, edges: CSC, kept: np.ndarray, boundary: np.ndarray, dtype: torch.dtype
) -> tuple[np.ndarray, Tensor]:
    r"""Appends loops at the boundary, and one edge per node there that stands for all others that
    end at it; with the weights of all edges.
    """
    given = _weights(graph, edges, dtype)
    ending = edges.ending_at(boundary)
    is_loop = edges.source[ending] == edges.destination[ending]
    loops, others = ending[is_loop], ending[~is_loop]
    _, first, owner = np.unique(edges.destination[others], return_index=True, return_inverse=True)
    summed = given.new_zeros(len(first)).index_add_(
        0, torch.from_numpy(owner), given[torch.from_numpy(others)]
    )
    kept = np.sort(np.concatenate([kept, loops]))
    weight = torch.cat([given[torch.from_numpy(kept)], summed])
    return np.concatenate([kept, others[first]]), weight


def _weights(graph: Data, edges: CSC, dtype: torch.dtype) -> Tensor:
    value = edges.value if "adj_t" in graph else graph.get("edge_weight")
    if value is None:
        return torch.ones(1, dtype=dtype).expand(edges.num_edges)
    if value.dim() != 1 or not value.is_floating_point():
        raise ValueError("weights of edges must be a vector of floats to be summed up")
    return value.cpu()


def _values(adj_t: Any) -> Tensor | None:
    r"""What a sparse adjacency holds of its edges, in the order of its rows, if anything."""
    if isinstance(adj_t, Tensor):
        return adj_t.to_sparse_coo().coalesce().values().cpu()
    value: Tensor | None = adj_t.storage.value()  # of a SparseTensor
    return None if value is None else value.cpu()


def _ascending(numbers: np.ndarray, most: int) -> np.ndarray:
    r"""Distinct numbers below another one, sorted."""
    if len(numbers) < most // 16:
        return np.sort(numbers)
    there = np.zeros(most, dtype=bool)
    there[numbers] = True
    return np.flatnonzero(there)


def _places(nodes: np.ndarray, sought: np.ndarray, num_nodes: int) -> np.ndarray:
    r"""Where some of all nodes are among others, which are ascending, int64; anywhere, if they are
    not.
    """
    if len(sought) < num_nodes:
        return np.searchsorted(nodes, sought)
    place = np.zeros(num_nodes, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    return place[sought]


def _distinct(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    r"""A number for each edge, from 0 on, so that those of one destination differ where their
    sources do.
    """
    order = np.argsort(destination * (source.max(initial=0) + 1) + source, kind="stable")
    of, to = source[order], destination[order]
    starts = np.diff(to, prepend=-1) != 0
    steps = (starts | (np.diff(of, prepend=-1) != 0)).cumsum()
    first = np.repeat(steps[starts], np.diff(np.append(starts.nonzero()[0], len(to))))
    numbers = np.empty(len(of), dtype=np.int64)
    numbers[order] = steps - first
    return numbers


def _adjacency(adj_t: Any, ends: Tensor, weight: Tensor | None, size: int) -> Any:
    source, destination = ends
    if isinstance(adj_t, Tensor) and weight is not None:
        coo = torch.sparse_coo_tensor(torch.stack([destination, source]), weight, (size, size))
        return coo.to_sparse_csr() if adj_t.layout == torch.sparse_csr else coo.coalesce()
    return type(adj_t)(row=destination, col=source, value=weight, sparse_sizes=(size, size))
