r"""Where the nodes of a graph are drawn."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, eigsh

NUM_STEPS = 50
GRAVITY = 0.05
r"""Pull to the middle, which keeps what is not connected from drifting away."""

BLOCK = 1_000
r"""Nodes whose distances to all others are held at once."""


def layout(num_nodes: int, edges: np.ndarray) -> np.ndarray:
    r"""Positions of nodes, neighbors close to each other and others apart.

    A spectral start, then forces as in Fruchterman & Reingold 1991 (*Graph Drawing by
    Force-directed Placement*): neighbors attract each other by their squared distance, all nodes
    repel each other by the inverse of theirs, and steps get shorter. Takes time and memory of
    :obj:`num_nodes` squared, a second for 3,000 nodes.

    Args:
        num_nodes (int): Number of nodes :math:`N`.
        edges (numpy.ndarray): Each edge once, or in both directions, int64 ``[2, E]``.

    Returns:
        numpy.ndarray: float64 ``[N, 2]``, the same for the same graph.
    """
    adjacency = _adjacency(num_nodes, edges)
    position = _spectral(adjacency) * np.sqrt(num_nodes)  # ideal edges have the length 1
    for step in np.linspace(0.1 * np.sqrt(num_nodes), 0.0, NUM_STEPS, endpoint=False):
        force = _repulsion(position) - _attraction(position, adjacency) - GRAVITY * position
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-9)
        position = position + force / length * np.minimum(length, step)
    return position.astype(np.float64)


def _adjacency(num_nodes: int, edges: np.ndarray) -> csr_array:
    row, col = edges[:, edges[0] != edges[1]]
    one_way = coo_array((np.ones(len(row)), (row, col)), shape=(num_nodes, num_nodes)).tocsr()
    both = (one_way + one_way.T).tocsr()
    both.data[:] = 1.0
    return both


def _spectral(adjacency: csr_array) -> np.ndarray:
    r"""Coordinates of a unit box from eigenvectors of the normalized adjacency, of which each pair
    of nodes has one more edge of little weight: without it, each component has its own.
    """
    num_nodes = adjacency.shape[0]
    if num_nodes < 4:
        return np.eye(num_nodes, 2)
    degree = np.asarray(adjacency.sum(1)) + 1.0
    scale = 1.0 / np.sqrt(degree)
    normalized = diags_array(scale) @ adjacency @ diags_array(scale)

    def times(v: np.ndarray) -> np.ndarray:
        v = v.ravel()
        return normalized @ v + scale * (scale @ v) / num_nodes

    operator = LinearOperator((num_nodes, num_nodes), matvec=times, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(num_nodes)
    _, vectors = eigsh(operator, k=3, which="LA", v0=start, tol=1e-3)
    position = vectors[:, 1::-1] * scale[:, None]
    ranks = position.argsort(0).argsort(0) / num_nodes - 0.5  # few nodes are far from all others
    return ranks + 1e-3 * np.random.default_rng(0).standard_normal((num_nodes, 2))


def _repulsion(position: np.ndarray) -> np.ndarray:
    r"""For each node, the sum of directions to it from all others by the inverse distance."""
    position = position.astype(np.float32)
    squared = (position**2).sum(1)
    ends = np.concatenate([position, np.ones((len(position), 1), np.float32)], 1)
    force = np.empty_like(position)
    for first in range(0, len(position), BLOCK):
        here = position[first : first + BLOCK]
        weight = here @ (-2.0 * position.T)
        weight += squared
        weight += squared[first : first + BLOCK, None]
        np.maximum(weight, 1e-2, out=weight)
        np.reciprocal(weight, out=weight)
        total = weight @ ends
        force[first : first + BLOCK] = here * total[:, 2:] - total[:, :2]
    return force


def _attraction(position: np.ndarray, adjacency: csr_array) -> np.ndarray:
    r"""For each node, the sum of directions to it from its neighbors by their distance."""
    edges = adjacency.tocoo()
    apart = position[edges.row] - position[edges.col]
    pull = apart * np.linalg.norm(apart, axis=1, keepdims=True)
    return np.stack(
        [np.bincount(edges.row, pull[:, k], minlength=len(position)) for k in (0, 1)], axis=1
    )
