r"""The theorem for changed edges, alone or together with changed nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_hiersmooth.certificates import robustness
from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.noise import AblationNoise, Noise
from pyg_hiersmooth.selection import Selection

if TYPE_CHECKING:
    from pyg_hiersmooth.transforms import HierarchicalEdgeNoise


class ComposedSmoothing:
    r"""A smoothing of nodes and a smoothing of pairs of nodes, drawn independently of each other.

    With probability :math:`q = q_\mathrm{nodes}(r) \cdot q_\mathrm{edges}(e)` all of :math:`r`
    changed nodes and all of :math:`e` changed pairs are selected. Given that, ablation leaves the
    same of the clean graph and of the changed one, and the noise of the other smoothing, if it
    draws any, is at the mercy of its own worst case :math:`L`: the theorem of Scholten et al.
    (2023) with this :math:`q` and this :math:`L`. Where both draw, neither :math:`L` alone bounds
    the worst case, and that is refused.

    Changed pairs are counted as ``edges``, whatever happens to them (edges added, removed, given
    another weight), or as ``additions`` and ``deletions``, pairs that get their first edge and
    pairs that lose all of theirs. Pairs are selected independently and no indicator is shown, so
    ablation with probability :math:`p` is a flip of every pair with :math:`p_+ = 0` and
    :math:`p_- = p`, and flips of selected pairs are flips of every pair with :math:`p \cdot p_+`
    and :math:`p \cdot p_-`: their :math:`L` is that of the flips, and
    :math:`q_\mathrm{edges} = 1`. Under a partition, :math:`q_\mathrm{edges}` counts groups.

    There is no largest number of changed pairs, and none of nodes where the adversary may add some,
    as under ablated messages: :math:`q` falls with every further one.

    Args:
        edges (HierarchicalEdgeNoise): The smoothing of pairs.
        nodes (HierarchicalNodeFeatureNoise, optional): The smoothing of nodes; without one the
            adversary changes no node. (default: :obj:`None`)

    Raises:
        ValueError: If both draw noise, or edges are added to nodes whose messages are ablated.
    """

    def __init__(self, edges: HierarchicalEdgeNoise, nodes: Smoothing | None = None) -> None:
        self.edges, self.nodes = edges, nodes
        self.nodes_draw = nodes is not None and bool(nodes.noise.axes)
        if nodes is not None and edges.noise.axes:
            if self.nodes_draw:
                raise ValueError(
                    "one of two smoothings may draw noise, the other must ablate (got "
                    f"{nodes.noise} and {edges.noise})"
                )
            if nodes.noise.of == "messages":
                raise ValueError(
                    "edges that noise adds to selected nodes would carry their messages: ablate "
                    f"edges, or features (got {nodes.noise} and {edges.noise})"
                )

    def is_robust(
        self,
        p_lower: np.ndarray,
        p_upper: np.ndarray,
        r: int = 0,
        edges: int | None = None,
        num_nodes: int | np.ndarray | None = None,
        **budget: Any,
    ) -> np.ndarray:
        r"""Whether the predicted class beats every other class in the whole ball.

        Args:
            p_lower (numpy.ndarray): Lower bound of the predicted class, float64 ``[M]``.
            p_upper (numpy.ndarray): Upper bound of every other class, float64 ``[M]``.
            r (int, optional): Most changed nodes. (default: :obj:`0`)
            edges (int, optional): Most changed pairs. (default: :obj:`None`)
            num_nodes (int or numpy.ndarray, optional): Nodes of the graph or of each.
                (default: :obj:`None`)
            **budget: What bounds the noise of the nodes, if that draws; else, in place of
                :obj:`edges`, the ``additions`` and ``deletions`` of edges.

        Raises:
            TypeError: If a budget belongs to neither noise, is missing, or counts pairs twice.
            ValueError: If a number is negative, or nodes change where none is smoothed.
        """
        r = self._check_nodes(r)
        counted = 0 if edges is None else check_count("edges", edges)
        noise: Noise = AblationNoise()
        pairs: Selection = self.edges.selection
        if self.nodes_draw and self.nodes is not None:
            noise = self.nodes.noise
            budget = noise.check_budget(**budget)
            r = int(min(r, noise.reach(**budget)))
        elif budget or self.edges.noise.axes:
            if edges is not None:
                raise TypeError(
                    "changed pairs are counted as 'edges', or as 'additions' and 'deletions' "
                    f"(got edges={edges} as well)"
                )
            pairs, noise = self.edges.certified_as
            budget = noise.check_budget(**budget)
            counted = sum(budget.values())
        q = pairs.prob_all_selected(counted) * self._nodes_selected(r, num_nodes)
        if r == counted == 0:
            return p_lower - p_upper > 2.0 * robustness.MARGIN
        return robustness.is_robust(noise, p_lower, p_upper, q, **budget)

    def num_exposing(
        self, r: int, edges: int, num_nodes: int | np.ndarray | None = None, shared: bool = False
    ) -> np.ndarray:
        r"""The most of all listed outcomes that expose one of :obj:`r` nodes or one of
        :obj:`edges` pairs, int64: the class that is ahead stays there if it leads by more than
        twice as many votes.

        Args:
            r (int): Most changed nodes.
            edges (int): Most changed pairs.
            num_nodes (int or numpy.ndarray, optional): Nodes of the graph or of each.
                (default: :obj:`None`)
            shared (bool, optional): Whether outcome :math:`i` of the nodes comes with outcome
                :math:`i` of the pairs, so that the exposing ones add up, instead of with each of
                them. (default: :obj:`False`)

        Raises:
            ValueError: If outcomes are drawn and not listed, or cannot be shared.
        """
        r, edges = self._check_nodes(r), check_count("edges", edges)
        pairs, all_pairs = self._listed(self.edges, edges, None)
        if self.nodes is None:
            return pairs
        nodes, all_nodes = self._listed(self.nodes, r, self._clipped_at(num_nodes))
        if not shared:
            return all_nodes * all_pairs - (all_nodes - nodes) * (all_pairs - pairs)
        if all_nodes != all_pairs:
            raise ValueError(
                "outcomes are shared only if there are as many of nodes as of pairs "
                f"(got {all_nodes} and {all_pairs})"
            )
        return np.minimum(nodes + pairs, all_nodes)

    @staticmethod
    def _listed(
        smoothing: Smoothing, changed: int, num_entities: int | np.ndarray | None
    ) -> tuple[np.ndarray, int]:
        outcomes = smoothing.selection.num_outcomes(num_entities)
        if outcomes is None or not smoothing.noise.deterministic or smoothing.noise.axes:
            raise ValueError(
                "outcomes are listed for a partition and ablation only "
                f"(got {smoothing.selection} and {smoothing.noise})"
            )
        return smoothing.selection.num_exposing(changed, num_entities), outcomes

    def _nodes_selected(self, r: int, num_nodes: int | np.ndarray | None) -> np.ndarray:
        if self.nodes is None:
            return np.asarray(1.0)
        return self.nodes.selection.prob_all_selected(r, self._clipped_at(num_nodes))

    def _clipped_at(self, num_nodes: int | np.ndarray | None) -> int | np.ndarray | None:
        r"""How many nodes can change at most; :obj:`None` where nodes may be added."""
        fixed = self.nodes is None or self.nodes.noise.of == "features"
        return num_nodes if fixed else None

    def _check_nodes(self, r: int) -> int:
        r = check_count("r", r)
        if self.nodes is None and r > 0:
            raise ValueError(
                f"'r' counts changed nodes, and only pairs are smoothed: use 'edges' (got r={r})"
            )
        return r
