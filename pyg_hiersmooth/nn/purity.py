r"""Tries a prepared model before sampling: are its logits one fixed function of the features?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pyg_hiersmooth.nn.model_state import first_difference
from pyg_hiersmooth.nn.prepared_model import PreparedModel, refuse_change
from pyg_hiersmooth.random import RandomStream

UNITS_TO_COMPARE = 16
r"""Most units of a block that are compared with themselves alone."""


def check_pure(prepared: PreparedModel, draws: list[Tensor]) -> None:
    r"""Checks that a model answers the same features in the same way, whatever came before, and
    that they make a difference.

    Args:
        prepared (PreparedModel): The model.
        draws (list of torch.Tensor): Two draws of features ``[N, D]``.

    Raises:
        ValueError: If it keeps more than the graph determines, answers differently from call to
            call, or does not depend on its features.
    """
    one, other = draws
    twin = prepared.fresh()
    first = prepared(one, seed=1)
    second = twin(other, seed=2)
    kept = prepared.state()
    refuse_change(first_difference(kept, twin.state()))
    again = [prepared(other, seed=2), prepared(one, seed=1)]
    refuse_change(first_difference(kept, prepared.state()))
    if not (agree(again[0], second) and agree(again[1], first)):
        raise ValueError(
            f"'{type(prepared.model).__name__}' answers the same features differently from call to "
            "call: draw random numbers from PyTorch's global generator, which is seeded for each "
            "sample, and keep nothing between calls"
        )
    if all(torch.equal(logits, first) for logits in _answers(prepared, draws)):
        raise ValueError(
            f"the logits of '{type(prepared.model).__name__}' do not depend on the noisy features: "
            "its 'forward' must use those that it is called with"
        )


def _answers(prepared: PreparedModel, draws: list[Tensor]) -> Iterator[Tensor]:
    yield prepared(draws[1], seed=1)
    for seed in range(2):
        try:
            yield prepared(unrelated(draws[0], seed), seed=1)
        except Exception:  # features that the model does not take
            continue


def unrelated(x: Tensor, seed: int) -> Tensor:
    r"""Features of the shape and dtype of :obj:`x` that have nothing to do with it: numbers of
    any size, or, where they are integers, those of other rows.
    """
    stream = RandomStream(seed, 2**20, device=x.device)
    if not x.is_floating_point():
        return shuffled(x, seed)
    scale = 3.0 * float(x.float().abs().max()) + 1.0
    return (stream.normal(*x.shape) * scale).to(x.dtype)


def shuffled(x: Tensor, seed: int) -> Tensor:
    r"""The rows of :obj:`x` in a random order: features that any model takes."""
    return x[RandomStream(seed, 2**20, device=x.device).subset(x.size(0), x.size(0))]


def keeps_apart(
    prepared: PreparedModel,
    draws: list[Tensor],
    copies: int,
    strangers: Callable[[Tensor, int], Tensor] = unrelated,
) -> bool:
    r"""Whether the model answers for each unit of a block as it does for that unit alone, with
    unrelated features everywhere else in the block.

    Args:
        prepared (PreparedModel): The model.
        draws (list of torch.Tensor): Draws of features ``[N, D]``, which take turns.
        copies (int): Copies of the objects in the block.
        strangers (Callable): Makes features for the rest of the block.
    """
    rows = prepared.forward.rows * copies
    outputs = prepared.forward.outputs * copies
    if len(rows) == 1:
        return True
    block = torch.cat([draws[i % len(draws)] for i in range(copies)])
    others = strangers(block, 7).split(rows)
    own = block.split(rows)
    step = -(-len(rows) // UNITS_TO_COMPARE)
    alone = _alone(prepared, own, sorted({*range(0, len(rows), step), len(rows) - 1}))
    for turn in range(2):
        compared = {i: logits for i, logits in alone.items() if i // step % 2 == turn}
        mixed = [own[i] if i in compared else others[i] for i in range(len(rows))]
        try:
            together = prepared(torch.cat(mixed), copies, seed=3)
        except Exception:  # one by one is right for any model, and says why another one fails
            return False
        if not isinstance(together, Tensor) or together.size(0) != sum(outputs):
            return False
        parts = together.split(outputs)
        if not all(agree(parts[i], logits) for i, logits in compared.items()):
            return False
    return True


def _alone(
    prepared: PreparedModel, features: Sequence[Tensor], chosen: list[int]
) -> dict[int, Tensor]:
    r"""Logits of chosen units, each from a copy that never saw another one."""
    units = len(prepared.forward.rows)
    twins = {i % units: prepared.fresh(prepared.forward.unit(i % units)) for i in chosen}
    return {i: twins[i % units](features[i], seed=3) for i in chosen}


def agree(some: Tensor, others: Tensor) -> bool:
    r"""Whether logits are the same, but for the order of sums."""
    if some.shape != others.shape:
        return False
    epsilon = torch.finfo(others.dtype).eps if others.is_floating_point() else 0.0
    scale = others.abs().amax(-1, keepdim=True)
    return bool(((some - others).abs() <= min(100.0 * epsilon, 1e-2) * (scale + 1.0)).all())
