r"""Attacks of nodes that are taken over, with all their edges, or added."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch

from pyg_hiersmooth.attacks.attacked_node import AttackedNode
from pyg_hiersmooth.attacks.changes import Changes


def takeovers(node: AttackedNode) -> Iterator[Changes]:
    r"""Attempts in which :obj:`r` other nodes lose all their edges and send to the node alone,
    from features that speak for another class.

    Old nodes and new ones take turns. Of old ones, those are chosen that are worth most; new ones
    of one block of a partition are never united by it.
    """
    num_nodes = len(node.graph.x)
    source, target = node.graph.edge_index
    for attempt in count():
        if node.only_new or attempt % 2 == 1:
            taken = torch.arange(num_nodes, num_nodes + node.r, device=source.device)
        else:
            others = torch.from_numpy(node.rng(attempt).permutation(num_nodes)).to(source.device)
            taken = node.chosen(others[others != node.node], num_nodes, attempt)
        yield Changes.of(
            node.graph,
            taken,
            node.payload(attempt).repeat(len(taken), 1),
            (torch.isin(source, taken) | torch.isin(target, taken)).nonzero().view(-1),
            torch.stack([taken, torch.full_like(taken, node.node)]),
        )
