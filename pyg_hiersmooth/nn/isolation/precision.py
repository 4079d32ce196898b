r"""Models in double precision, in which what is left of a difference is not rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.private_copy import is_compiled

SAME = 0.02
r"""How far logits of two precisions may be apart, of their size."""


def in_high_precision(
    prepared: IsolatedModel, draw: Tensor, logits: Tensor
) -> tuple[IsolatedModel, Tensor]:
    r"""A copy of a model in double precision, in single precision where it takes no double, and
    the model itself where it takes neither; with its logits for the draw.

    Args:
        prepared (IsolatedModel): The model.
        draw (torch.Tensor): A draw of features ``[N, D]``, written out.
        logits (torch.Tensor): Its logits for them.
    """
    if type(draw) is not Tensor or not logits.is_floating_point() or is_compiled(prepared.model):
        return prepared, logits
    for dtype in (torch.float64, torch.float32):
        if torch.finfo(dtype).eps >= torch.finfo(logits.dtype).eps:
            break
        try:
            twin = prepared.in_dtype(dtype)
            answer = twin.answer(draw)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception:  # a model says in any way that it does not take this precision
            continue
        if isinstance(answer, Tensor) and answer.dtype == dtype and _is_close(answer, logits):
            return twin, answer
    return prepared, logits


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    r"""Features in another precision; integers stay as they are."""
    return x.to(dtype) if x.is_floating_point() else x


def _is_close(answer: Tensor, logits: Tensor) -> bool:
    if answer.shape != logits.shape:
        return False
    scale = logits.double().abs().max().clamp(min=1e-30)
    return bool((answer.double() - logits.double()).abs().max() <= SAME * scale)
