from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.noise.base import Draw, Noise
from pyg_hiersmooth.noise.kinds import ABLATION
from pyg_hiersmooth.random import RandomStream

ABLATED = ("features", "messages", "nodes")
r"""What can be ablated of a selected entity."""

THREATS = {
    "messages": (
        "at most r changes in any mix: other nodes taken over, edges changed, or nodes added at "
        "the end; a target that is itself taken over is not covered"
    ),
    "nodes": (
        "at most r changes in any mix: nodes of a graph taken over with all their edges, added at "
        "the end or cut off, or edges changed"
    ),
}
r"""The adversaries of ablated messages and of ablated nodes."""

TO_ALL = (
    "at most r changes in any mix: nodes taken over, edges changed, or nodes added at the end; one "
    "attack on all targets, of which those taken over count as fallen"
)
r"""The adversary of ablated messages who has all targets in mind."""


class AblationNoise(Noise):
    r"""Selected entities lose what an adversary could change of them.

    What that is decides who the adversary is:

    * ``of="features"``: the row becomes a token (Levine & Feizi 2020; Scholten et al. 2022). The
      graph is fixed.
    * ``of="messages"``: all edges that leave a selected node are removed, also explicit self-loops;
      features stay as they are. The prediction of a node then stands against other nodes that are
      taken over with their features *and* edges, provided that in the model, nodes influence each
      other only along edges, from source to target.
    * ``of="nodes"``: selected nodes are removed, with their rows and with all edges at them. This
      is the form for models that pool over all nodes of a graph.

    Clean and perturbed noise coincide, :math:`L(t) = t`: the certificate holds for *any* such
    change of :math:`r` entities, and takes no budget besides.

    Args:
        token (torch.Tensor, optional): The token ``[D]`` of ablated features; :obj:`None` means a
            row of zeros. (default: :obj:`None`)
        of (str, optional): What is ablated, ``"features"``, ``"messages"`` or ``"nodes"``.
            (default: :obj:`"features"`)

    Raises:
        ValueError: If :obj:`token` is not one finite row, or is given where features stay, or if
            :obj:`of` is none of the three.
    """

    name, axes, parameters, deterministic = ABLATION
    differentiable_when_projected = True

    def __init__(self, token: Tensor | None = None, of: str = "features") -> None:
        if of not in ABLATED:
            raise ValueError(f"'of' must be one of {', '.join(map(repr, ABLATED))} (got {of!r})")
        if token is not None and of != "features":
            raise ValueError(f"'token' replaces ablated features (got one with of={of!r})")
        self.of = of
        if token is not None:
            token = torch.as_tensor(token).detach().clone()
            if token.dim() != 1 or not bool(torch.isfinite(token).all()):
                raise ValueError(
                    f"'token' must be one row of finite features (got shape {list(token.shape)})"
                )
        self.token = token

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        if self.of != "features":
            return x.clone()
        return torch.where(selected.view(-1, 1), self._replacement(x), x)

    def sample_projected(self, x: Tensor, weight: Tensor) -> Draw:
        clean = x @ weight
        if self.of != "features":
            return lambda selected, stream: clean.clone()
        ablated = self._replacement(x) @ weight

        def draw(selected: Tensor, stream: RandomStream) -> Tensor:
            return torch.where(selected.view(-1, 1), ablated, clean)

        return draw

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return np.asarray(p)

    def threat(self, entities: str = "entities") -> str:
        return THREATS.get(self.of) or super().threat(entities)

    def threat_to_all(self, entities: str = "entities") -> str:
        return TO_ALL if self.of == "messages" else super().threat_to_all(entities)

    def _replacement(self, x: Tensor) -> Tensor:
        if self.token is None:
            return torch.zeros(x.size(1), dtype=x.dtype, device=x.device)
        if self.token.numel() != x.size(1):
            raise ValueError(
                f"'token' must have the {x.size(1)} features of 'x' (got {self.token.numel()})"
            )
        token = self.token.to(x.device, x.dtype)
        if not torch.equal(token.to(self.token), self.token) and not x.is_floating_point():
            raise ValueError(
                f"'token' must hold values that {x.dtype} features can (got {self.token.dtype} "
                "with others): pass features as floats, x.float()"
            )
        return token

    def __repr__(self) -> str:
        token = "" if self.token is None else f"token=[{self.token.numel()}]"
        of = "" if self.of == "features" else f"of={self.of!r}"
        return f"{self.__class__.__name__}({token or of})"
