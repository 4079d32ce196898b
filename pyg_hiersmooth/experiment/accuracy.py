r"""Certified accuracy against one adversary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CertifiedAccuracy:
    r"""Certified accuracy against one adversary.

    Attributes:
        r (int): Most entities that the adversary changes.
        budget (dict): By how much in total.
        accuracy (float): Share of objects that are correct and robust.
        changes (str): The budget in words.
    """

    r: int
    budget: dict[str, Any]
    accuracy: float
    changes: str

    def attack(self, where: str, ablated: str = "features") -> str:
        r"""The adversary in words, who changes what is at :obj:`where`; see
        :class:`~pyg_hiersmooth.experiment.Summary` for :obj:`ablated`.
        """
        if ablated == "edges":
            one = "one pair of nodes"
            return (
                f"any change of the edges of {one}" if self.changes == "r edges" else self.changes
            )
        if ablated == "nodes and edges":
            return f"any change of {where} and of edges (r = {self.r}, {self.changes})"
        if ablated != "features":
            where = where.replace("one ", "one other ") if ablated == "messages" else where
            return f"any change of the features and edges of {where}"
        if self.changes == "anything":
            return f"any change of the features of {where}"
        changes = f"change by {self.changes}" if "=" in self.changes else self.changes
        return f"any {changes} in the features of {where}"


@dataclass(frozen=True)
class CollectiveAccuracy(CertifiedAccuracy):
    r"""Certified accuracy under a single attack on all objects.

    Attributes:
        one_by_one (float): The share under a separate attack on each object.
    """

    one_by_one: float
