r"""Which targets are sampled together on one neighbourhood, and whether that is worth it."""

from __future__ import annotations

import math

import numpy as np

from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Boundary, Field
from pyg_hiersmooth.nn.voters.block_size import block_size_on_cpu

CALL = 1_700
r"""What calling a model costs, in nodes and edges of a small graph."""

SAMPLE = 300
r"""What seeding and drawing one sample costs besides, in the same unit."""

CACHED, UNCACHED, FACTOR = 25_000, 250_000, 4.0
r"""Up to :obj:`CACHED` nodes and edges each costs the same, from :obj:`UNCACHED` on
:obj:`FACTOR` times as much (GCN and GAT with 64 hidden channels, one core)."""

WORTHWHILE = 0.5
r"""Of the cost of the whole graph, what neighbourhoods must stay below: they take more trying, and
votes then depend on which targets are asked about."""

MOST_SEARCH = 8
r"""Nodes and edges that are looked at to group targets, in whole graphs."""

LOOK = 200
r"""What looking at one target costs besides."""


def cost(num_nodes: int, size: int) -> float:
    r"""What a sample costs on a graph of so many nodes, and so many nodes and edges together.

    The unit and the constants are fixed, for votes depend on the grouping.
    """
    copies = block_size_on_cpu(num_nodes)
    total = float(copies * size)
    beyond = math.log(max(total, CACHED) / CACHED) / math.log(UNCACHED / CACHED)
    return (CALL + total * (1.0 + (FACTOR - 1.0) * min(beyond, 1.0))) / copies + SAMPLE


def plan(edges: CSC, targets: np.ndarray, hops: int, rim: Boundary) -> list[np.ndarray] | None:
    r"""Groups targets so that sampling each group on its own neighbourhood is cheapest.

    Those are grouped that share the node of most in-edges among those that they look through, as
    long as a neighbourhood of more targets is cheaper than one more neighbourhood. The plan
    depends on the graph and the targets alone.

    Args:
        edges (CSC): The edges of the graph.
        targets (numpy.ndarray): Distinct targets, int64 ``[M]``, ascending.
        hops (int): Message passing steps from a feature to a prediction.
        rim (str): What a neighbourhood holds of the edges that end at its rim.

    Returns:
        The targets of each neighbourhood, ascending, or :obj:`None` where the whole graph is
        cheaper.
    """
    field = edges.field(targets, hops)
    together = _size(edges, field, rim)
    plans = [([targets], cost(len(field.inner) + len(field.rim), together))]
    fields = _fields(edges, targets, hops)
    if fields is not None:
        plans.append(_grouped(edges, targets, fields, rim))
    best, least = min(plans, key=lambda each: each[1])
    return best if least < WORTHWHILE * cost(edges.num_nodes, edges.size) else None


def _fields(edges: CSC, targets: np.ndarray, hops: int) -> list[Field] | None:
    r"""The field of each target, unless finding them takes too long."""
    fields, left = [], MOST_SEARCH * edges.size + LOOK * 1_000
    for target in targets:
        field = edges.field(np.array([target]), hops)
        left -= LOOK + len(field.rim) + _size(edges, field, "none")
        if left < 0:
            return None
        fields.append(field)
    return fields


def _grouped(
    edges: CSC, targets: np.ndarray, fields: list[Field], rim: Boundary
) -> tuple[list[np.ndarray], float]:
    r"""Adds one target after the other to a group, or starts the next one with it."""
    hubs = [
        field.inner[edges.degree(field.inner).argmax()] if len(field.inner) > 0 else target
        for field, target in zip(fields, targets, strict=True)
    ]
    groups: list[list[int]] = []
    total = paid = 0.0
    members = _Members(edges, rim)
    for place in np.lexsort((targets, np.array(hubs))).tolist():
        alone = _size(edges, fields[place], rim)
        count = len(fields[place].inner) + len(fields[place].rim)
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
    r"""The nodes of a neighbourhood that grows target by target, and what they cost."""

    def __init__(self, edges: CSC, rim: Boundary) -> None:
        self.edges, self.rim = edges, rim
        self._level = np.zeros(edges.num_nodes, dtype=np.int8)  # 1 at the rim, 2 inside
        self._fields: list[Field] = []
        self.num_nodes = self.size = 0

    def clear(self) -> None:
        for field in self._fields:
            self._level[field.inner] = self._level[field.rim] = 0
        self._fields.clear()
        self.num_nodes = self.size = 0

    def more(self, field: Field) -> tuple[int, int]:
        r"""How many nodes, and nodes and edges, a field adds."""
        inner = field.inner[self._level[field.inner] < 2]
        known = int((self._level[inner] == 1).sum())
        rim = field.rim[self._level[field.rim] == 0]
        nodes = len(inner) - known + len(rim)
        size = _size(self.edges, Field(inner, rim), self.rim)
        if self.rim == "edges":  # whose edges are in already
            size -= int(self.edges.degree(inner[self._level[inner] == 1]).sum())
        elif self.rim == "weights":
            size -= known
        return nodes, size - known

    def add(self, field: Field) -> None:
        nodes, size = self.more(field)
        self.num_nodes, self.size = self.num_nodes + nodes, self.size + size
        self._level[field.rim] = np.maximum(self._level[field.rim], 1)
        self._level[field.inner] = 2
        self._fields.append(field)


def _size(edges: CSC, field: Field, rim: Boundary) -> int:
    r"""Nodes and edges of a neighbourhood, but for stand-ins."""
    size = len(field.inner) + len(field.rim) + int(edges.degree(field.inner).sum())
    if rim == "edges":
        return size + int(edges.degree(field.rim).sum())
    return size + len(field.rim) * (rim == "weights")
