r"""Attacks on features: of a few nodes, by gradients through few draws."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor

from pyg_hiersmooth.attacks.attacked_node import AttackedNode
from pyg_hiersmooth.attacks.changes import Changes

SHRINKING = 0.99
r"""What is left of a step that is too long."""


def feature_attacks(node: AttackedNode) -> Iterator[Changes]:
    r"""Attempts to change features of at most :obj:`r` nodes among those that reach a node, itself
    among them.

    Where any features are allowed, the nodes that the lead depends on most get features that speak
    for another class. Otherwise the budget is spent where the gradient of the lead, over few draws,
    is largest: on flips, or on a distance.
    """
    noise = node.model.smoothed.transform.noise
    for attempt in count():
        reach, gradient = lead_gradient(node, attempt)
        x = node.graph.x[reach]
        if not noise.axes:
            influence = gradient.norm(dim=1)
            if attempt > 0:
                luck = torch.from_numpy(node.rng(attempt).exponential(size=len(reach)))
                influence *= luck.to(influence)
            order = reach[influence.topk(min(4 * node.r, len(reach))).indices]
            chosen = node.chosen(order, len(node.graph.x), attempt)
            yield Changes.of(node.graph, chosen, node.payload(attempt).repeat(len(chosen), 1))
            continue
        if noise.norm is None:
            attacked = flipped(x, gradient, node.r, **node.budget)
        else:
            attacked = moved(x, gradient, node.r, noise.norm, **node.budget)
        rows = (attacked != x).any(1).nonzero().view(-1)
        yield Changes.of(node.graph, reach[rows], attacked[rows])


def lead_gradient(node: AttackedNode, attempt: int) -> tuple[Tensor, Tensor]:
    r"""Nodes that reach the node, int64 ``[P]``, and how its lead moves with their features,
    ``[P, D]``: summed over the draws that vote for the class that is to lose.
    """
    votes = node.votes(node.graph, attempt)
    x = node.graph.x[votes.reach].requires_grad_()
    for block in votes.blocks(node.draws(attempt)):
        lead = node.lead(votes.logits(block, x)).clamp(min=0.0).sum()
        if lead.requires_grad:
            lead.backward()
    return votes.reach, torch.zeros_like(x) if x.grad is None else x.grad


def flipped(x: Tensor, gradient: Tensor, r: int, additions: int, deletions: int) -> Tensor:
    r"""Binary features ``[P, D]`` of which at most so many zeros and ones are flipped, in at most
    :obj:`r` rows: those whose flips lower the lead most.
    """
    gain = gradient * (2.0 * x - 1.0)
    parts = (
        (torch.where(x == 0, gain, 0.0).clamp(min=0.0), additions),
        (torch.where(x == 1, gain, 0.0).clamp(min=0.0), deletions),
    )
    best = torch.zeros_like(x[:, 0])
    for part, most in parts:
        best += part.topk(min(most, x.size(1)), dim=1).values.sum(1)
    rows = torch.zeros_like(best).scatter(0, best.topk(min(r, len(best))).indices, 1.0)
    attacked = x.clone().view(-1)
    for part, most in parts:
        top = (part * rows.view(-1, 1)).view(-1).topk(min(most, part.numel()))
        flips = top.indices[top.values > 0]
        attacked[flips] = 1.0 - attacked[flips]
    return attacked.view_as(x)


def moved(x: Tensor, gradient: Tensor, r: int, norm: str, eps: float) -> Tensor:
    r"""Features ``[P, D]`` within a distance of others over all rows, of which at most :obj:`r`
    differ: against the direction in which the lead grows most, which is the gradient itself in the
    l2 norm, and one coordinate in the l1 norm.
    """
    step = torch.zeros_like(gradient)
    if norm == "l1":
        top = gradient.abs().argmax()
        step.view(-1)[top] = gradient.view(-1)[top].sign()
    else:
        rows = gradient.norm(dim=1).topk(min(r, len(gradient))).indices
        step[rows] = gradient[rows]
    step = step / step.norm().clamp(min=1e-30) * eps
    order = {"l1": 1.0, "l2": 2.0}[norm]
    while torch.linalg.vector_norm((x - step).double() - x.double(), order) > eps:
        step = SHRINKING * step  # rounding took it too far
    return x - step
