r"""Tries an isolated model before sampling: are its logits one fixed function of the features?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch_geometric.nn import EdgePooling

from pyg_hiersmooth.nn.calls.forward import OneByOne
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, refuse_change
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.model_state import first_difference
from pyg_hiersmooth.nn.isolation.probes import shuffled_probe, unrelated_probe
from pyg_hiersmooth.nn.isolation.problems import refuse
from pyg_hiersmooth.sampling.linear_input import LinearInput

BREAK_TIES_BY_PLACE = (EdgePooling,)
r"""Modules of PyG that choose among all edges of a batch, and between equal ones by their order."""

UNITS_TO_COMPARE = 16
r"""Most units of a block that are compared with themselves alone."""


def check_deterministic(
    prepared: IsolatedModel,
    draws: list[Tensor],
    deterministic: bool = False,
    noisy: bool = True,
    probes: Iterable[Tensor] = (),
) -> None:
    r"""Checks that a model gives the same logits for the same features, whatever it computed
    before, and that the features matter.

    Args:
        prepared (IsolatedModel): The model.
        draws (list of torch.Tensor): Two draws of features ``[N, D]``.
        deterministic (bool): Whether random numbers must make no difference either.
        noisy (bool): Whether features get noise, and so must make a difference.
        probes (iterable of torch.Tensor): Other features that may make one, as two draws can be
            the same.

    Raises:
        ImpureModelError: If it keeps more than the graph determines, answers differently from call
            to call, or does not depend on its features.
    """
    one, other = draws
    name = type(prepared.model).__name__
    # Products stand in for features, and belong to the weights of one copy.
    is_mapped = isinstance(one, LinearInput)
    twin = prepared.sharing(prepared.forward) if is_mapped else prepared.fresh()
    first = prepared.answer(one, seed=1)
    second = twin.answer(other, seed=2)
    kept = prepared.state()
    refuse_change(first_difference(kept, twin.state()))
    for draw, seed, expected in ((other, 2, second), (one, 1, first)):
        logits = prepared.answer(draw, seed=seed)
        refuse_change(first_difference(kept, prepared.state()))
        if not (torch.equal(logits, expected) or logits_match(logits, expected)):
            refuse(
                f"'{name}' answers the same features differently from call to call: draw random "
                "numbers from PyTorch's global generator, which is seeded for each sample, and "
                "keep nothing between calls"
            )
    if deterministic and prepared.draws_random_numbers(one):
        refuse(
            f"'{name}' draws random numbers, so that no certificate of it is exact: switch them "
            "off in evaluation mode, or sample with BernoulliSelection"
        )
    answers: Iterable[Tensor] = _answers(prepared, draws, probes)
    if not is_mapped:  # what else a model does with other features shows in its state
        answers = list(answers)
    makes_no_difference = all(torch.equal(logits, first) for logits in answers)
    refuse_change(first_difference(kept, prepared.state()))
    if noisy and makes_no_difference:
        refuse(
            f"'{name}' does not depend on the noisy features: it, or 'forward', must use those "
            "that it is called with"
        )


def _answers(
    prepared: IsolatedModel, draws: list[Tensor], probes: Iterable[Tensor]
) -> Iterator[Tensor]:
    yield prepared.answer(draws[1], seed=1)
    for probe in probes:
        logits = prepared.answer_probe(probe, seed=1)
        if logits is not None:
            yield logits


def is_batch_invariant(prepared: IsolatedModel, block: Tensor, copies: int) -> bool:
    r"""Whether the model gives each unit of a block the logits that it gives that unit alone, with
    unrelated features everywhere else in the block, and with other random numbers.

    Args:
        prepared (IsolatedModel): The model.
        block (torch.Tensor): Features of all copies ``[copies * N, D]``.
        copies (int): Copies of the objects in the block.
    """
    rows, outputs = prepared.forward.rows * copies, prepared.forward.outputs * copies
    if len(rows) == 1:
        return True
    if not isinstance(prepared.forward, OneByOne) and any(
        isinstance(module, BREAK_TIES_BY_PLACE) for module in prepared.model.modules()
    ):
        return False
    own = block.split(rows)
    step = -(-len(rows) // UNITS_TO_COMPARE)
    alone = _alone(prepared, own, sorted({*range(0, len(rows), step), len(rows) - 1}))
    strangers, seed = [shuffled_probe(block, 7)], 3
    if not isinstance(prepared.forward, OneByOne):  # where some features are too strange
        wild = unrelated_probe(block, 7)
        strangers, seed = [*strangers, wild, -wild if wild.is_floating_point() else wild], 4
    for others, turn in itertools.product(strangers, range(2)):
        compared = {i: logits for i, logits in alone.items() if i // step % 2 == turn}
        parts = others.split(rows)
        mixed = torch.cat([own[i] if i in compared else parts[i] for i in range(len(rows))])
        try:
            together = prepared.answer(mixed, copies, seed)
        except Exception:  # it fails on many at once: one by one is tried next, and tells why
            return False
        if not isinstance(together, Tensor) or together.size(0) != sum(outputs):
            return False
        answers = together.split(outputs)
        if not all(logits_match(answers[i], logits) for i, logits in compared.items()):
            return False
    return True


def _alone(
    prepared: IsolatedModel, features: Sequence[Tensor], chosen: list[int]
) -> dict[int, Tensor]:
    r"""Logits of chosen units, each from a copy that never saw another one."""
    units = len(prepared.forward.rows)
    twins = {i: prepared.fresh(prepared.forward.unit(i)) for i in {i % units for i in chosen}}
    return {i: twins[i % units].answer(features[i], seed=3) for i in chosen}
