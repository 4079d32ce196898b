r"""Attacks on edges: greedily by single pairs, and by gradients through weights of edges."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor
from torch_geometric.utils import k_hop_subgraph

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.attacked_node import AttackedNode
from pyg_hiersmooth.attacks.changes import Changes
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.generators import generators_put_back, seed_generators
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms.node_pairs import NodePairs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG says that this part of it may change
    from torch_geometric.contrib.nn import GRBCDAttack, PRBCDAttack

NUM_CANDIDATES, NUM_EPOCHS = 12, 20
r"""Edges around a node that may change, and as many to others; epochs of an attack of PyG."""


def edge_attacks(node: AttackedNode) -> Iterator[Changes]:
    r"""Attempts to add or remove at most :obj:`r` edges, between a node and nodes that speak for
    another class, and around the node.

    The first attempt is greedy. Where the model takes weights of edges, the others are PyG's own
    GRBCD and PRBCD (Geisler et al. 2021) on the expected vote, one after the other.
    """
    for attempt in count():
        pairs = candidates(node, attempt)
        if pairs.size(1) == 0:
            yield Changes.of(node.graph)
        elif attempt == 0 or not node.model.takes_weights or pairs.size(1) <= node.r:
            yield toggled(node, greedily(node, pairs, attempt))
        else:
            kind = GRBCD if attempt % 2 else PRBCD
            yield toggled(node, by_gradient(node, pairs, kind, attempt))


def candidates(node: AttackedNode, attempt: int) -> Tensor:
    r"""Pairs of nodes, int64 ``[2, P]``, that the budget allows to change: edges around the node,
    and edges from others to it.
    """
    source, target = node.graph.edge_index
    near = torch.cat([source[target == node.node], source.new_tensor([node.node])])
    around = node.graph.edge_index[:, torch.isin(target, near) & (source != target)]
    others = node.donors[node.rival(attempt)]
    others = others[(others != node.node) & ~torch.isin(others, near)][:NUM_CANDIDATES]
    wired = torch.stack([others, torch.full_like(others, node.node)])
    if node.budget.get("deletions", 1) == 0:
        around = around[:, :0]
    if node.budget.get("additions", 1) == 0:
        wired = wired[:, :0]
    if undirected(node):
        around = around.sort(dim=0).values.unique(dim=1)
        wired = wired.sort(dim=0).values
    shuffled = torch.from_numpy(node.rng(attempt).permutation(around.size(1)))
    around = around[:, shuffled.to(around.device)[:NUM_CANDIDATES]]
    return torch.cat([wired, around], dim=1)


def greedily(node: AttackedNode, pairs: Tensor, attempt: int) -> Tensor:
    r"""The pairs, ``[2, r]`` at most, that lower the lead of expected votes most, one by one."""
    chosen: list[int] = []
    left, is_edge = set(range(pairs.size(1))), exists(node, pairs)
    while left := {i for i in left if fits(node, is_edge, [*chosen, i])}:
        leads = {i: expected_lead(node, pairs[:, [*chosen, i]], attempt) for i in left}
        chosen.append(min(leads, key=lambda i: leads[i]))
        left.remove(chosen[-1])
    return pairs[:, chosen]


@torch.no_grad()
def expected_lead(node: AttackedNode, pairs: Tensor, attempt: int) -> float:
    r"""How far the class that is to lose is ahead in the mean softmax over few draws."""
    votes = node.votes(toggled(node, pairs).applied(node.graph), attempt)
    draws = node.draws(attempt)
    expected = [votes.logits(block).softmax(1).sum(0) for block in votes.blocks(draws)]
    return float(node.lead(torch.stack(expected).sum(0))) / len(draws)


def by_gradient(
    node: AttackedNode, pairs: Tensor, attack: type[PRBCDAttack], attempt: int
) -> Tensor:
    r"""The pairs, ``[2, r]`` at most, that an attack of PyG chooses on the neighborhood of the node
    and the ends of all pairs.
    """
    model, graph = node.model, node.graph
    hops = model.smoothed.num_hops
    near = torch.arange(len(graph.x), device=pairs.device)
    if hops is not None:
        near = k_hop_subgraph(node.node, hops, graph.edge_index, num_nodes=len(graph.x))[0]
    nodes = torch.cat([near, pairs.view(-1)]).unique()
    place = torch.full((len(graph.x),), -1, device=nodes.device)
    place[nodes] = torch.arange(len(nodes), device=nodes.device)
    edges = place[graph.edge_index]
    vote = ExpectedVote(model, nodes, len(graph.x), node.draws(attempt), node.seed + attempt)
    labels = torch.full((len(nodes),), node.prediction, device=nodes.device)
    own = place[node.node].view(1)
    device = graph.x.device
    with generators_put_back(device):
        seed_generators(int(node.rng(attempt).integers(2**31)), device)
        _, flips = attack(vote, place[pairs], undirected(node)).attack(
            graph.x[nodes], edges[:, (edges >= 0).all(0)], labels, node.r, own
        )
    flips, times = nodes[flips].unique(dim=1, return_counts=True)
    flips, is_edge = flips[:, times % 2 == 1], exists(node, flips[:, times % 2 == 1])
    chosen: list[int] = []
    for i in range(flips.size(1)):
        if fits(node, is_edge, [*chosen, i]):
            chosen.append(i)
    return flips[:, chosen]


class ExpectedVote(torch.nn.Module):
    r"""The logarithm of the mean softmax over draws in which pairs of nodes lose their edges, as a
    function of weights of edges. Edges that noise adds are left out.

    Args:
        model (AttackedModel): The model, and its smoothing.
        nodes (torch.Tensor): The nodes of a part of a graph, int64 ``[P]``.
        num_nodes (int): Nodes of the whole graph.
        draws (range): The draws.
        seed (int): Seed of coins.
    """

    def __init__(
        self, model: AttackedModel, nodes: Tensor, num_nodes: int, draws: range, seed: int
    ) -> None:
        super().__init__()
        noise, size = model.edges, torch.tensor([num_nodes], device=nodes.device)
        self.model, self.nodes, self.draws, self.seed = model, nodes, draws, seed
        self.selection, self.p_minus = noise.selection, noise.flips[1]
        self.pairs = NodePairs(size, noise.undirected)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        r"""Log probabilities ``[P, C]``, from all draws side by side."""
        copies = len(self.draws)
        first = len(x) * torch.arange(copies, device=x.device).view(-1, 1, 1)
        edges = (edge_index + first).transpose(0, 1).reshape(2, -1)
        weight = (edge_weight * self._kept(edge_index)).view(-1)
        votes = self.model(x.repeat(copies, 1), edges, weight).softmax(-1)
        return votes.view(copies, len(x), -1).mean(0).clamp(min=1e-12).log()

    def _kept(self, edge_index: Tensor) -> Tensor:
        r"""Which pairs keep their edges in each draw, bool ``[len(draws), E]``."""
        numbers = self.pairs.number(*self.nodes[edge_index])
        if isinstance(self.selection, PartitionSelection):
            groups = self.pairs.groups(numbers, self.selection)
            masks = (divmod(draw, self.selection.num_groups) for draw in self.draws)
            own = [groups[i % len(groups)] == group for i, group in masks]
            return torch.stack(own)
        pairs, place = numbers.unique(return_inverse=True)
        streams = (RandomStream(self.seed, draw, device=numbers.device) for draw in self.draws)
        coins = [stream.bernoulli(self.p_minus, pairs.numel())[place] for stream in streams]
        return ~torch.stack(coins)


class _AmongPairs:
    r"""Makes an attack of PyG search few pairs of nodes, instead of all that there are."""

    def __init__(self, model: torch.nn.Module, pairs: Tensor, is_undirected: bool) -> None:
        options = {"epochs_resampling": NUM_EPOCHS // 2} if isinstance(self, PRBCD) else {}
        super().__init__(  # type: ignore[call-arg]
            model,
            block_size=4 * pairs.size(1),
            epochs=NUM_EPOCHS,
            is_undirected=is_undirected,
            log=False,
            **options,
        )
        self.pairs = pairs

    def _num_possible_edges(self, n: int, is_undirected: bool) -> int:
        return self.pairs.size(1)

    def _linear_to_triu_idx(self, n: int, lin_idx: Tensor) -> Tensor:
        return self.pairs[:, lin_idx]

    _linear_to_full_idx = _linear_to_triu_idx


class PRBCD(_AmongPairs, PRBCDAttack):
    r"""Projected randomized block coordinate descent, among given pairs."""

    coeffs = {**PRBCDAttack.coeffs, "max_final_samples": 5}  # noqa: RUF012


class GRBCD(_AmongPairs, GRBCDAttack):
    r"""Greedy randomized block coordinate descent, among given pairs."""


def undirected(node: AttackedNode) -> bool:
    r"""Whether both directions of an edge are one pair."""
    smoothing = node.model.smoothed.edges
    return smoothing is not None and smoothing.undirected


def fits(node: AttackedNode, is_edge: Tensor, chosen: list[int]) -> bool:
    r"""Whether some of the pairs, of which it is known whether they have an edge, are within
    :obj:`r` and the budget.
    """
    deleted = int(is_edge[chosen].sum())
    additions = node.budget.get("additions", node.r)
    deletions = node.budget.get("deletions", node.r)
    return deleted <= deletions and len(chosen) - deleted <= additions and len(chosen) <= node.r


def numbers(node: AttackedNode, pairs: Tensor) -> Tensor:
    r"""The number of each pair, int64 ``[P]``."""
    sizes = torch.tensor([len(node.graph.x)], device=pairs.device)
    return NodePairs(sizes, undirected(node)).number(*pairs)


def exists(node: AttackedNode, pairs: Tensor) -> Tensor:
    r"""Whether there is an edge at each pair, bool ``[P]``."""
    return torch.isin(numbers(node, pairs), numbers(node, node.graph.edge_index))


def toggled(node: AttackedNode, pairs: Tensor) -> Changes:
    r"""Removes the edges of pairs that have some, and adds one, in each direction of an undirected
    graph, to those that have none.
    """
    removed = torch.isin(numbers(node, node.graph.edge_index), numbers(node, pairs))
    added = pairs[:, ~exists(node, pairs)]
    if undirected(node):
        added = torch.cat([added, added.flip(0)], dim=1)
    return Changes.of(node.graph, removed=removed.nonzero().view(-1), added=added)
