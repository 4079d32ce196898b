r"""What training minimizes, under several draws of noise at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.5
r"""The temperature that sharpens the mean prediction, the target of all draws."""


def loss_of_draws(
    draws: Sequence[Tensor], labels: Tensor, index: Tensor | None, consistency: float
) -> Tensor:
    r"""The mean cross entropy of several draws, and their inconsistency.

    Args:
        draws (list of torch.Tensor): Logits ``[N, C]`` under each draw of noise.
        labels (torch.Tensor): int64 ``[N]``; of nodes outside :obj:`index` they are not used.
        index (torch.Tensor, optional): The nodes whose labels are known, int64; all where it is
            :obj:`None`.
        consistency (float): Weight of the inconsistency, at least :obj:`0`.
    """
    known = slice(None) if index is None else index
    loss = torch.stack([F.cross_entropy(logits[known], labels[known]) for logits in draws]).mean()
    return loss if consistency == 0 else loss + consistency * inconsistency(draws)


def inconsistency(draws: Sequence[Tensor]) -> Tensor:
    r"""How far predictions under several draws are from their sharpened mean, the consistency
    regularization of `"Graph Random Neural Networks" <https://arxiv.org/abs/2005.11079>`_
    (Feng et al., NeurIPS 2020, equations 3 to 5): it needs no label, so that all nodes count.

    Args:
        draws (list of torch.Tensor): Logits ``[N, C]`` under each draw of noise.

    Returns:
        torch.Tensor: The mean squared distance to the target, at least :obj:`0`.
    """
    predictions = torch.stack([logits.softmax(-1) for logits in draws])
    sharpened = predictions.detach().mean(0) ** (1.0 / TEMPERATURE)
    target = sharpened / sharpened.sum(-1, keepdim=True)
    return (predictions - target).square().sum(-1).mean()


def weight_at(epoch: int, consistency: float, consistency_rampup: int) -> float:
    r"""The weight of the inconsistency in an epoch, which rises evenly from 0 in the first one to
    :obj:`consistency`, where it stays: as in `"Temporal Ensembling for Semi-Supervised Learning"
    <https://arxiv.org/abs/1610.02242>`_ (Laine and Aila, ICLR 2017, section 2.1), but for the
    shape of the rise. Before the model separates the classes, the easiest agreement is a single
    class.

    Args:
        epoch (int): The epoch, counted from 0.
        consistency (float): The weight at the end.
        consistency_rampup (int): Epochs that it takes to get there.
    """
    return consistency * min(epoch / consistency_rampup, 1.0) if consistency_rampup else consistency


def check_draws(num_draws: int, consistency: float, consistency_rampup: int = 0) -> None:
    r"""Checks the options of the trainers.

    Raises:
        ValueError: If they are out of range, or do not fit each other.
    """
    if num_draws < 1:
        raise ValueError(f"'num_draws' must be at least 1 (got {num_draws})")
    if not consistency >= 0:
        raise ValueError(f"'consistency' must be at least 0 (got {consistency})")
    if consistency > 0 and num_draws < 2:
        raise ValueError(
            f"'consistency' compares draws: 'num_draws' must be at least 2 (got {num_draws})"
        )
    if consistency_rampup < 0:
        raise ValueError(f"'consistency_rampup' must be at least 0 (got {consistency_rampup})")
    if consistency_rampup > 0 and consistency == 0:
        raise ValueError(
            f"'consistency_rampup' does nothing without 'consistency' (got {consistency_rampup})"
        )
