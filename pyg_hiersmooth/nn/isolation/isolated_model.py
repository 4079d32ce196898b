r"""A model prepared for sampling: private, seeded, and watched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.isolation.adjacency_cache import keep_adjacencies
from pyg_hiersmooth.nn.isolation.held_features import check_no_features, functions_of, tensors
from pyg_hiersmooth.nn.isolation.model_state import State, first_difference, state_of
from pyg_hiersmooth.nn.isolation.private_copy import (
    deep_copy,
    is_compiled,
    private_copy,
    same_weights,
    tensor_addresses,
)
from pyg_hiersmooth.sampling.generators import generator_states, seed_generators
from pyg_hiersmooth.sampling.linear_input import LinearInput


class IsolatedModel:
    r"""A private copy of a model on fixed objects, whose logits are a function of the features and
    a seed.

    PyTorch's, NumPy's and Python's global generators are seeded before each call. Convolutions of
    PyG keep the normalized adjacency of these objects' own edges, and of no others
    (:mod:`~pyg_hiersmooth.nn.isolation.adjacency_cache`). That nothing else goes from one call to
    the next is checked in :mod:`~pyg_hiersmooth.nn.isolation.determinism` before sampling, by
    :meth:`verify` during it, and by asking a pristine copy about counted samples again
    (:mod:`~pyg_hiersmooth.nn.voters.audit`).

    Args:
        model (torch.nn.Module): The user's model, which is left alone.
        forward (Forward): Calls it on the objects.
        x (torch.Tensor): Clean features, which nothing may hold.

    Raises:
        ValueError: If the model cannot be copied, or it or a function that calls it holds clean
            features, or the user's own model.

    Attributes:
        precision (torch.dtype, optional): What its floats were cast to, if they were.
    """

    def __init__(self, model: torch.nn.Module, forward: Forward, x: Tensor) -> None:
        _check_weights(model)
        self._pristine = private_copy(model)
        self.forward, self.device = forward, x.device
        check_no_features(self._pristine, forward, x)
        self._check_leads_nowhere(model)
        self._baseline: State | None = None
        self.precision: torch.dtype | None = None
        self._keeps_adjacencies = True
        self.renew()

    def renew(self) -> None:
        r"""Starts over with a fresh copy, as if the model had never been called."""
        self._start(deep_copy(self._pristine))

    def fresh(self, forward: Forward | None = None) -> IsolatedModel:
        r"""Another copy that was never called, on the same objects or others."""
        twin = self._twin(forward or self.forward)
        twin.renew()
        return twin

    def plain(self, forward: Forward) -> IsolatedModel:
        r"""As :meth:`fresh`, for a copy that normalizes its adjacency in every call."""
        twin = self._twin(forward)
        twin._keeps_adjacencies = False
        twin.renew()
        return twin

    def sharing(self, forward: Forward) -> IsolatedModel:
        r"""Another copy with the very same weights, on other objects or another form of them."""
        twin = self._twin(forward)
        twin._start(same_weights(self._pristine, self.model))
        return twin

    def in_dtype(self, dtype: torch.dtype) -> IsolatedModel:
        r"""Another copy with weights, and floats of the objects, of another precision."""
        twin = self._twin(self.forward.in_dtype(dtype))
        twin._pristine, twin.precision = deep_copy(self._pristine).to(dtype), dtype
        twin.renew()
        return twin

    def use(self, forward: Forward) -> None:
        r"""Takes another way to call the model on the same objects, with a fresh copy."""
        self.forward = forward
        self.renew()

    def __call__(self, x: Tensor, copies: int = 1, seed: int = 0, graph: Any = None) -> Any:
        r"""Logits ``[copies * sum(outputs), C]`` for features ``[copies * sum(rows), D]``, on a
        noisy graph if one is given.

        Raises:
            ValueError: If several units share random numbers.
        """
        seed_generators(seed, self.device)
        if copies * len(self.forward.rows) == 1 or isinstance(self.forward, OneByOne):
            return self.forward(self.model, x, copies, seed, graph)
        before = generator_states(self.device)
        logits = self.forward(self.model, x, copies, seed, graph)
        if generator_states(self.device) != before:
            raise ValueError(
                f"'{type(self.model).__name__}' draws random numbers, which the samples of a block "
                "would share: pass block_size=1"
            )
        return logits

    def draws_random_numbers(self, x: Tensor) -> bool:
        r"""Whether a call draws from the global generators."""
        self.answer(x, seed=5)
        drawn = generator_states(self.device)
        seed_generators(5, self.device)
        return drawn != generator_states(self.device)

    def answer(self, x: Tensor, copies: int = 1, seed: int = 0, graph: Any = None) -> Any:
        r"""Logits of their own memory, as those of a call, for features that stay as they are: a
        model may write into what it is given, or into what it returned before.
        """
        logits = self(x if isinstance(x, LinearInput) else x.clone(), copies, seed, graph)
        return logits.clone() if isinstance(logits, Tensor) else logits

    def answer_probe(self, x: Tensor, seed: int = 0) -> Any:
        r"""As :meth:`answer`, for probes; :obj:`None` where the model does not
        take them: one that looks words up does not take numbers of any size.
        """
        try:
            return self.answer(x, seed=seed)
        except (MemoryError, torch.cuda.OutOfMemoryError):  # which says nothing about the features
            raise
        except Exception:  # a user's model says so in any way, and real features have been tried
            return None

    def state(self) -> State:
        r"""What the model keeps now."""
        return state_of(model=self.model, **self.forward.watched())

    def watch(self) -> None:
        r"""Takes all that there is now as what must stay."""
        self._baseline = self._whole_state()

    def verify(self) -> None:
        r"""Checks that nothing has changed since :meth:`watch`.

        Raises:
            ValueError: If something has, with its name.
        """
        if self._baseline is not None:
            refuse_change(first_difference(self._baseline, self._whole_state()))

    def held(self) -> Iterator[tuple[str, Tensor]]:
        r"""Tensors that the model, as it was given, and functions that call it hold, by name."""
        return tensors(model=self._pristine, **functions_of(self.forward))

    def kept(self) -> dict[str, Any]:
        r"""All that must not change after :meth:`watch`, by name."""
        return {"model": self.model, **self.forward.watched()}

    def _check_leads_nowhere(self, model: torch.nn.Module) -> None:
        own = tensor_addresses(model)
        for path, value in self.held():
            if value.layout == torch.strided and value.data_ptr() in own:
                raise ValueError(
                    f"'{path}' is the user's model, but votes come from a private copy: call the "
                    "model that 'forward' is given, its first argument, and let a model's methods "
                    "use 'self'"
                )

    def _twin(self, forward: Forward) -> IsolatedModel:
        twin = copy.copy(self)
        twin.forward, twin._baseline = forward, None
        return twin

    def _start(self, model: torch.nn.Module) -> None:
        if self._keeps_adjacencies and not is_compiled(model):
            keep_adjacencies(model, self.forward.is_own)
        self.model = model

    def _whole_state(self) -> State:
        return state_of(**self.kept())


def refuse_change(path: str | None) -> None:
    r"""Raises a :class:`ValueError` about what changed between calls, if anything did."""
    if path is None:
        return
    root, _, name = path.partition(".")
    if root in ("graph", "copies"):
        raise ValueError(
            f"the model changes '{name}' of the graph it is called on, so that votes would depend "
            "on one another: let it change a copy"
        )
    raise ValueError(
        f"'{path}' changes from call to call, so that votes would depend on one another: draw "
        "random numbers from PyTorch's global generator, and keep nothing between calls"
    )


def _check_weights(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise ValueError(
                f"'model' must be initialized, but '{name}' is not: call the model once, on "
                "features of the width that the transform makes"
            )
