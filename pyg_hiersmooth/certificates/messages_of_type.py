r"""What certificates for ablated messages of one node type are made with."""

from __future__ import annotations

from dataclasses import dataclass

from pyg_hiersmooth.noise import AblationNoise, Noise
from pyg_hiersmooth.selection import Selection

OUTSIDE = "a target that is itself taken over is not covered"


class MessagesOfType(AblationNoise):
    r"""Ablated messages of one node type of a heterogeneous graph.

    If all taken-over nodes are selected, none of them sends along any edge type. Edges out of them
    are gone, in the clean graph and in the changed one, and edges into them lead to nodes from
    which no path leads to a target. So the certificate is that of ablated messages, about nodes of
    this type and the edges that have one of them, not the target, at an end. Edges between other
    nodes are in nobody's hands: no selected node would hide them.

    Args:
        node_type (str): The node type.
        target_type (str): The node type that is classified.
    """

    def __init__(self, node_type: str, target_type: str) -> None:
        super().__init__(of="messages")
        self.node_type, self.target_type = node_type, target_type

    @property
    def bears_exposures(self) -> bool:
        return False

    def threat(self, entities: str = "entities") -> str:
        others = "other " if self.node_type == self.target_type else ""
        told = (
            f"at most r {others}nodes of type {self.node_type!r} are taken over, with their "
            "features and all edges at them, nodes of this type added at the end among them; all "
            "other nodes, and edges between them, stay"
        )
        return f"{told}; {OUTSIDE}" if others else told

    def threat_to_all(self, entities: str = "entities") -> str:
        told = self.threat().removesuffix(f"; {OUTSIDE}")
        return f"{told}; one attack on all targets, of which those taken over count as fallen"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.node_type!r}, target_type={self.target_type!r})"


@dataclass
class TypedSmoothing:
    r"""A selection of the nodes of one type, and what is ablated of them."""

    selection: Selection
    noise: Noise
