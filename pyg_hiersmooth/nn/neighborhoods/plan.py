r"""Which targets are sampled together on one neighborhood, and whether that is worth it."""

from __future__ import annotations

import math

import numpy as np
import torch

from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Boundary, Field
from pyg_hiersmooth.nn.voters.block_size import block_size_on_cpu
from pyg_hiersmooth.sampling.checkpoint import fingerprint

COST_PER_CALL = 1_700
r"""What calling a model costs, in nodes and edges of a small graph."""

COST_PER_SAMPLE = 300
r"""What seeding and drawing one sample costs besides, in the same unit."""

CACHED, UNCACHED, FACTOR = 25_000, 250_000, 4.0
r"""Up to :obj:`CACHED` nodes and edges each costs the same, from :obj:`UNCACHED` on
:obj:`FACTOR` times as much (GCN and GAT with 64 hidden channels, one core)."""

MAX_COST_SHARE = 0.5
r"""Of the cost of the whole graph, what neighborhoods must stay below: they take more trying, and
votes then depend on which targets are asked about."""

MOST_SEARCH = 8
r"""Nodes and edges that are looked at to group targets, in whole graphs."""

COST_PER_LOOKUP = 200
r"""What looking at one target costs besides."""

MOST_KEPT, MOST_TO_DIGEST = 32, 2**20
r"""Plans that are kept for the next call, by all that they depend on; of graphs of at most so many
nodes and edges."""

_FOUND: dict[tuple[str, str, int, Boundary], list[np.ndarray] | None] = {}


def cost(num_nodes: int, size: int) -> float:
    r"""What a sample costs on a graph of so many nodes, and so many nodes and edges together.

    The unit and the constants are fixed, for votes depend on the grouping.
    """
    copies = block_size_on_cpu(num_nodes)
    total = float(copies * size)
    beyond = math.log(max(total, CACHED) / CACHED) / math.log(UNCACHED / CACHED)
    return (
        COST_PER_CALL + total * (1.0 + (FACTOR - 1.0) * min(beyond, 1.0))
    ) / copies + COST_PER_SAMPLE


def plan(edges: CSC, targets: np.ndarray, hops: int, boundary: Boundary) -> list[np.ndarray] | None:
    r"""Groups targets so that sampling each group on its own neighborhood is cheapest.

    Those are grouped that share the node of most in-edges among those that they look through, as
    long as a neighborhood of more targets is cheaper than one more neighborhood. The plan
    depends on the graph and the targets alone.

    Args:
        edges (CSC): The edges of the graph.
        targets (numpy.ndarray): Distinct targets, int64 ``[M]``, ascending.
        hops (int): Message passing steps from a feature to a prediction.
        boundary (str): What a neighborhood holds of the edges that end at its boundary.

    Returns:
        The targets of each neighborhood, ascending, or :obj:`None` where the whole graph is
        cheaper.
    """
    if edges.size > MOST_TO_DIGEST:
        return _plan(edges, targets, hops, boundary)
    asked = edges.digest, fingerprint(torch.from_numpy(targets)), hops, boundary
    if asked not in _FOUND:
        if len(_FOUND) >= MOST_KEPT:
            _FOUND.clear()
        _FOUND[asked] = _plan(edges, targets, hops, boundary)
    return _FOUND[asked]


def _plan(
    edges: CSC, targets: np.ndarray, hops: int, boundary: Boundary
) -> list[np.ndarray] | None:
    field = edges.field(targets, hops)
    together = _size(edges, field, boundary)
    plans = [([targets], cost(len(field.inner) + len(field.boundary), together))]
    fields = _fields(edges, targets, hops)
    if fields is not None:
        plans.append(_grouped(edges, targets, fields, boundary))
    best, least = min(plans, key=lambda each: each[1])
    return best if least < MAX_COST_SHARE * cost(edges.num_nodes, edges.size) else None


def _fields(edges: CSC, targets: np.ndarray, hops: int) -> list[Field] | None:
    r"""The field of each target, unless finding them takes too long."""
    fields, left = [], MOST_SEARCH * edges.size + COST_PER_LOOKUP * 1_000
    for target in targets:
        field = edges.field(np.array([target]), hops)
        left -= COST_PER_LOOKUP + len(field.boundary) + _size(edges, field, "none")
        if left < 0:
            return None
        fields.append(field)
    return fields


def _grouped(
    edges: CSC, targets: np.ndarray, fields: list[Field], boundary: Boundary
) -> tuple[list[np.ndarray], float]:
    r"""Adds one target after the other to a group, or starts the next one with it."""
    hubs = [
        field.inner[edges.degree(field.inner).argmax()] if len(field.inner) > 0 else target
        for field, target in zip(fields, targets, strict=True)
    ]
    groups: list[list[int]] = []
    total = paid = 0.0
    members = _Members(edges, boundary)
    for place in np.lexsort((targets, np.array(hubs))).tolist():
        alone = _size(edges, fields[place], boundary)
        count = len(fields[place].inner) + len(fields[place].boundary)
        more_nodes, more = members.more(fields[place])
        joined = cost(members.num_nodes + more_nodes, members.size + more)
        if groups and joined <= paid + cost(count, alone):
            groups[-1].append(place)
            paid = joined
        else:
            total += paid
            groups.append([place])
            members.clear()
            paid = cost(count, alone)
        members.add(fields[place])
    return [targets[np.sort(group)] for group in groups], total + paid


class _Members:
    r"""The nodes of a neighborhood that grows target by target, and what they cost."""

    def __init__(self, edges: CSC, boundary: Boundary) -> None:
        self.edges, self.boundary = edges, boundary
        self._level = np.zeros(edges.num_nodes, dtype=np.int8)  # 1 at the boundary, 2 inside
        self._fields: list[Field] = []
        self.num_nodes = self.size = 0

    def clear(self) -> None:
        for field in self._fields:
            self._level[field.inner] = self._level[field.boundary] = 0
        self._fields.clear()
        self.num_nodes = self.size = 0

    def more(self, field: Field) -> tuple[int, int]:
        r"""How many nodes, and nodes and edges, a field adds."""
        inner = field.inner[self._level[field.inner] < 2]
        known = int((self._level[inner] == 1).sum())
        boundary = field.boundary[self._level[field.boundary] == 0]
        nodes = len(inner) - known + len(boundary)
        size = _size(self.edges, Field(inner, boundary), self.boundary)
        if self.boundary == "edges":  # whose edges are in already
            size -= int(self.edges.degree(inner[self._level[inner] == 1]).sum())
        elif self.boundary == "weights":
            size -= known
        return nodes, size - known

    def add(self, field: Field) -> None:
        nodes, size = self.more(field)
        self.num_nodes, self.size = self.num_nodes + nodes, self.size + size
        self._level[field.boundary] = np.maximum(self._level[field.boundary], 1)
        self._level[field.inner] = 2
        self._fields.append(field)


def _size(edges: CSC, field: Field, boundary: Boundary) -> int:
    r"""Nodes and edges of a neighborhood, but for ghost nodes."""
    size = len(field.inner) + len(field.boundary) + int(edges.degree(field.inner).sum())
    if boundary == "edges":
        return size + int(edges.degree(field.boundary).sum())
    return size + len(field.boundary) * (boundary == "weights")
