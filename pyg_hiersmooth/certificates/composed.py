r"""What certificates for changed edges are made with: edges alone, or together with nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.noise.axes import Axis
from pyg_hiersmooth.noise.kinds import ADDITIONS, DELETIONS
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import Selection
from pyg_hiersmooth.words import numbered

if TYPE_CHECKING:
    from pyg_hiersmooth.transforms import HierarchicalEdgeNoise

EDGES = Axis(
    "edges",
    "Pairs of nodes with other edges",
    "Pairs of nodes whose edges change",
    reported=(1, 2, 5),
    kept=tuple(range(21)),
)


FLIPPED_EDGES = (
    replace(
        DELETIONS,
        label="Deleted edges (none added)",
        help="Total deletions of edges",
        reported=(1, 2, 5, 10),
    ),
    replace(ADDITIONS, label="Added edges (none deleted)", help="Total additions of edges"),
)

CHANGED_BESIDE = (0, 1, 2, 3)
r"""Numbers of changed nodes that are reported beside changed edges."""


class EdgeNoise(Noise):
    r"""The noise of pairs of nodes, where pairs are all that changes: :obj:`r` counts them. Flips
    of edges change as many pairs as their budget says.

    Args:
        noise (Noise): What a selected pair gets, ``AblationNoise()`` or ``SparseFlipNoise``.
        undirected (bool, optional): Whether :math:`(i, j)` and :math:`(j, i)` are one pair.
            (default: :obj:`True`)
    """

    axes = ()
    of = "edges"
    counted = "edges"

    def __init__(self, noise: Noise, undirected: bool = True) -> None:
        self.noise, self.undirected = noise, undirected
        self.axes = FLIPPED_EDGES if noise.axes else ()  # type: ignore[misc, assignment]
        self.deterministic = noise.deterministic  # type: ignore[misc]

    @property
    def budget_is_r(self) -> bool:
        return bool(self.axes)

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""Features get no noise."""
        return x.clone()

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return self.noise.worst_case_probability(p, complement, **budget)

    def reach(self, **budget: Any) -> float:
        return self.noise.reach(**budget)

    def reported_changes(self, **budget: Any) -> tuple[int, ...]:
        return (int(self.reach(**budget)),) if self.axes else super().reported_changes()

    def describe(self, **budget: Any) -> str:
        return _flipped_edges(budget) if self.axes else "r edges"

    def threat(self, entities: str = "entities") -> str:
        return f"{_changed_edges(self.noise, self.undirected)}; nodes and their features stay"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.noise}, undirected={self.undirected})"


class ComposedNoise(Noise):
    r"""The noise of nodes, together with the smoothing of pairs that is drawn independently of it.

    All of :math:`e` changed pairs are selected with probability :math:`q_e`. Given that, ablation
    leaves the same of the clean graph and of the changed one, and the noise of the other smoothing,
    if it draws any, is bounded by its own worst case :math:`L`. So a set of mass :math:`t` keeps at
    least

    .. math::
        q_e \cdot L\left(\frac{t - (1 - q_e)}{q_e}\right).

    That is the worst case of this noise, and with the probability :math:`q_n` that all changed
    nodes are selected, the theorem of Scholten et al. (2023) gives
    :math:`q L((p - (1 - q)) / q)` with :math:`q = q_n q_e`.

    Changed pairs are counted as ``edges`` where they are ablated, whatever happens to them, and as
    ``additions`` and ``deletions`` of edges where they are flipped; there is no largest number of
    them, and none of nodes.

    Args:
        nodes (Noise): The noise of nodes.
        pairs (Selection): The selection of pairs.
        edges (Noise): The noise of pairs.
        undirected (bool, optional): Whether :math:`(i, j)` and :math:`(j, i)` are one pair.
            (default: :obj:`True`)

    Raises:
        NotCertifiableError: If both draw noise, or edges are added to nodes whose messages are
            ablated.
    """

    axes = ()
    of = "nodes and edges"
    counted = "nodes"

    def __init__(
        self, nodes: Noise, pairs: Selection, edges: Noise, undirected: bool = True
    ) -> None:
        if edges.axes and nodes.axes:
            raise NotCertifiableError(
                f"one of two smoothings may draw noise, the other must ablate (got {nodes} and "
                f"{edges})"
            )
        if edges.axes and nodes.of == "messages":
            raise NotCertifiableError(
                "edges that noise adds to selected nodes would carry their messages: ablate "
                f"edges, or features (got {nodes} and {edges})"
            )
        self.nodes, self.pairs, self.edges, self.undirected = nodes, pairs, edges, undirected
        of_edges = FLIPPED_EDGES if edges.axes else (EDGES,)
        self.axes = (*nodes.axes, *of_edges)  # type: ignore[misc]

    @property
    def counts_flips(self) -> bool:
        r"""Never: :obj:`r` counts nodes, and something else counts edges."""
        return False

    @property
    def unit(self) -> float:
        return self.nodes.unit

    @property
    def spares_target(self) -> bool:
        return self.nodes.spares_target

    @property
    def bears_exposures(self) -> bool:
        return False

    def reported_budgets(self) -> list[dict[str, Any]]:
        r"""Each of the budgets of nodes without changed edges and with some, and each of edges."""
        nothing = {name: 0 for name in self.budget}
        of_nodes = self.nodes.reported_budgets()
        of_edges = [budget for budget in super().reported_budgets() if self._parts(budget)[0] > 0]
        if not self.nodes.axes:
            return [nothing, *of_edges]
        beside = [nothing | nodes | {"edges": n} for nodes in of_nodes for n in (0, 2)]
        return [budget for budget in beside if any(budget.values())]

    def reported_changes(self, **budget: Any) -> tuple[int, ...]:
        return CHANGED_BESIDE

    def describe(self, **budget: Any) -> str:
        changed, _, left = self._parts(budget)
        if self.edges.axes:
            return _flipped_edges(budget)
        edges = EDGES.describe(changed) if changed else "no edges"
        return f"{self.nodes.describe(**left)}, {edges}" if any(left.values()) else edges

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""The features alone, as the noise of nodes draws them."""
        return self.nodes.sample(x, selected, stream)

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        changed, drawing, left = self._parts(budget)
        q = self.pairs.prob_all_selected(changed)
        lost = np.clip(complement * (1.0 + 1e-15) / np.maximum(q, 1e-300), 1e-300, 1.0)
        return q * drawing.worst_case_probability(1.0 - lost, lost, **left)

    def reach(self, **budget: Any) -> float:
        r"""The most *nodes* that a budget allows to change."""
        _, drawing, left = self._parts(budget)
        return np.inf if drawing is self.edges else drawing.reach(**left)

    def changes_nothing(self, r: int, **budget: Any) -> bool:
        return super().changes_nothing(r, **budget) and self._parts(budget)[0] == 0

    def threat(self, entities: str = "entities") -> str:
        nodes = self.nodes.threat(entities).removesuffix("; all else stays")
        if self.edges.axes:
            return f"{nodes}; and {_changed_edges(self.edges, self.undirected, 'any number of')}"
        return f"{nodes}; and {_changed_edges(self.edges, self.undirected, 'a limited number of')}"

    def _parts(self, budget: dict[str, Any]) -> tuple[int, Noise, dict[str, Any]]:
        r"""The number of changed pairs, and the noise that draws with what bounds it."""
        if self.edges.axes:
            return sum(budget.values()), self.edges, budget
        return budget["edges"], self.nodes, {k: v for k, v in budget.items() if k != "edges"}

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.nodes}, {self.pairs}, {self.edges}, "
            f"undirected={self.undirected})"
        )


class EdgeSmoothing:
    r"""What certificates for noise on edges are made with: a selection and a noise, as of any
    other smoothing.

    Alone, they are those of pairs, :class:`EdgeNoise`. Together with noise on nodes they are the
    selection of nodes, and a :class:`ComposedNoise`. As pairs are selected independently and no
    indicator is shown, flips of selected pairs are flips of *every* pair with :math:`p \cdot p_+`
    and :math:`p \cdot p_-`, with nothing lost to pairs that are not selected.

    Args:
        edges (HierarchicalEdgeNoise): The smoothing of pairs.
        nodes (HierarchicalNodeFeatureNoise, optional): The smoothing of nodes; without one the
            adversary changes no node. (default: :obj:`None`)

    Raises:
        ValueError: As :class:`ComposedNoise`.
    """

    def __init__(self, edges: HierarchicalEdgeNoise, nodes: Smoothing | None = None) -> None:
        pairs: Selection = edges.selection
        noise: Noise = edges.noise
        if noise.axes:
            pairs, noise = edges.certified_as
        if nodes is None:
            self.selection = pairs
            self.noise: Noise = EdgeNoise(noise, edges.undirected)
        else:
            self.selection = nodes.selection
            self.noise = ComposedNoise(nodes.noise, pairs, noise, edges.undirected)


def _flipped_edges(budget: dict[str, int]) -> str:
    r"""``"1 added edge, 5 deleted edges"``."""
    words = {"additions": "added", "deletions": "deleted"}
    told = (numbered(n, f"{words[name]} edges") for name, n in budget.items() if n > 0)
    return ", ".join(told) or "no edges"


def _changed_edges(noise: Noise, undirected: bool, many: str = "at most r") -> str:
    pairs = f"{many} pairs of nodes" if undirected else f"{many} ordered pairs of nodes"
    if noise.axes:
        return (
            f"{pairs} get or lose an edge, by a limited number of additions and deletions in total"
        )
    return f"{pairs} get other edges, added, removed or with other attributes"
