from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.noise.base import Draw, Noise
from pyg_hiersmooth.noise.kinds import ABLATION
from pyg_hiersmooth.random import RandomStream


class AblationNoise(Noise):
    r"""Selected rows are replaced by a token (Levine & Feizi 2020; Scholten et al. 2022).

    Clean and perturbed noise coincide, :math:`L(t) = t`: the certificate holds for *any* change
    of :math:`r` entities, and takes no budget besides.

    Args:
        token (torch.Tensor, optional): The token ``[D]``; :obj:`None` means a row of zeros.
            (default: :obj:`None`)

    Raises:
        ValueError: If :obj:`token` is not one finite row.
    """

    name, axes, parameters, deterministic = ABLATION
    differentiable_when_projected = True

    def __init__(self, token: Tensor | None = None) -> None:
        if token is not None:
            token = torch.as_tensor(token).detach().clone()
            if token.dim() != 1 or not bool(torch.isfinite(token).all()):
                raise ValueError(
                    f"'token' must be one row of finite features (got shape {list(token.shape)})"
                )
        self.token = token

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        return torch.where(selected.view(-1, 1), self._replacement(x), x)

    def sample_projected(self, x: Tensor, weight: Tensor) -> Draw:
        clean = x @ weight
        ablated = self._replacement(x) @ weight

        def draw(selected: Tensor, stream: RandomStream) -> Tensor:
            return torch.where(selected.view(-1, 1), ablated, clean)

        return draw

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return np.asarray(p)

    def _replacement(self, x: Tensor) -> Tensor:
        if self.token is None:
            return torch.zeros(x.size(1), dtype=x.dtype, device=x.device)
        if self.token.numel() != x.size(1):
            raise ValueError(
                f"'token' must have the {x.size(1)} features of 'x' (got {self.token.numel()})"
            )
        return self.token.to(x.device, x.dtype)

    def __repr__(self) -> str:
        token = "" if self.token is None else f"token=[{self.token.numel()}]"
        return f"{self.__class__.__name__}({token})"
