r"""Certified, attacked and clean accuracies side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch_geometric.data import Data

from pyg_hiersmooth.attacks.smoothed_attack import SmoothedAttack
from pyg_hiersmooth.certificates import Certificate


class Accuracies(NamedTuple):
    r"""Shares of nodes: the worst case lies between the certified and the attacked one.

    Args:
        r (int): Most entities that the adversary changes.
        certified (float): Correct, and certified.
        attacked (float): Correct, and not fallen to an attack.
        clean (float): Correct.
    """

    r: int
    certified: float
    attacked: float
    clean: float


def attacked_accuracies(
    attack: SmoothedAttack,
    data: Data,
    certificate: Certificate,
    y: ArrayLike,
    changed: Iterable[int],
    progress: bool = True,
    **budget: Any,
) -> list[Accuracies]:
    r"""Accuracies for several numbers of changed entities, the smallest first. A node that fell to
    few of them has fallen to more, and is not attacked again.

    Args:
        attack (SmoothedAttack): The attack.
        data (Data): The clean graph.
        certificate (Certificate): The certificate on it, of the nodes to attack.
        y (array_like): Their labels, integers ``[M]``.
        changed (iterable of int): The numbers of changed entities.
        progress (bool): Whether to show progress bars. (default: :obj:`True`)
        **budget: What else bounds the adversary.

    Raises:
        ContradictionError, TypeError, ValueError: As a call of :obj:`attack`.
    """
    right, rows = certificate.correct(y), []
    fallen = np.zeros(len(certificate), dtype=bool)
    for r in sorted({*changed}):
        if not fallen.all():
            left = certificate.subset(~fallen)
            fallen[~fallen] = attack(data, left, r, progress=progress, **budget).fallen
        rows.append(
            Accuracies(
                r,
                certificate.certified_accuracy(y, r, **budget),
                float((right & ~fallen).mean()),
                certificate.clean_accuracy(y),
            )
        )
    return rows
