r"""A model prepared for sampling: private, seeded, and watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import InitVar, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.errors import ImpureModelError
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
from pyg_hiersmooth.nn.isolation.problems import refuse
from pyg_hiersmooth.sampling.generators import generator_states, seed_generators
from pyg_hiersmooth.sampling.linear_input import LinearInput


def isolate(model: torch.nn.Module, forward: Forward, x: Tensor) -> IsolatedModel:
    r"""Isolates a user's model, which is left alone.

    Args:
        model (torch.nn.Module): The user's model.
        forward (Forward): Calls it on the objects.
        x (torch.Tensor): Clean features, which nothing may hold.

    Raises:
        ValueError: If the model cannot be copied.
        ImpureModelError: If it or a function that calls it holds clean features, or the user's own
            model.
    """
    _check_weights(model)
    isolated = IsolatedModel(private_copy(model), forward, x.device)
    check_no_features(isolated.pristine, forward, x)
    _check_leads_nowhere(isolated, model)
    return isolated


@dataclass(eq=False)
class IsolatedModel:
    r"""A private copy of a model on fixed objects, whose logits are a function of the features and
    a seed; :func:`isolate` makes the first one of a model.

    PyTorch's, NumPy's and Python's global generators are seeded before each call. Convolutions of
    PyG keep the normalized adjacency of these objects' own edges, and of no others
    (:mod:`~pyg_hiersmooth.nn.isolation.adjacency_cache`). That nothing else goes from one call to
    the next is checked in :mod:`~pyg_hiersmooth.nn.isolation.determinism` before sampling, by
    :meth:`verify` during it, and by asking a pristine copy about counted samples again
    (:mod:`~pyg_hiersmooth.nn.voters.audit`).

    Args:
        pristine (torch.nn.Module): A private copy of the user's model, which is never called.
        forward (Forward): Calls a model on the objects.
        device (torch.device): Where it runs.
        precision (torch.dtype, optional): What its floats were cast to, if they were.
        keeps_adjacencies (bool): Whether convolutions normalize the graph's own edges only once.
        weights (torch.nn.Module, optional): A copy whose very parameters and buffers are shared.

    Attributes:
        model (torch.nn.Module): The copy that is called.
    """

    pristine: torch.nn.Module
    forward: Forward
    device: torch.device
    precision: torch.dtype | None = None
    keeps_adjacencies: bool = True
    weights: InitVar[torch.nn.Module | None] = None

    def __post_init__(self, weights: torch.nn.Module | None) -> None:
        self._baseline: State | None = None
        pristine = self.pristine
        self.model = deep_copy(pristine) if weights is None else same_weights(pristine, weights)
        if self.keeps_adjacencies and not is_compiled(self.model):
            keep_adjacencies(self.model, self.forward.is_own)

    def fresh(self, forward: Forward | None = None) -> IsolatedModel:
        r"""Another copy that was never called, on the same objects or others."""
        return replace(self, forward=forward or self.forward)

    def plain(self, forward: Forward) -> IsolatedModel:
        r"""As :meth:`fresh`, for a copy that normalizes its adjacency in every call."""
        return replace(self, forward=forward, keeps_adjacencies=False)

    def sharing(self, forward: Forward) -> IsolatedModel:
        r"""Another copy with the very same weights, on other objects or another form of them."""
        return replace(self, forward=forward, weights=self.model)

    def in_dtype(self, dtype: torch.dtype) -> IsolatedModel:
        r"""Another copy with weights, and floats of the objects, of another precision."""
        pristine, forward = deep_copy(self.pristine).to(dtype), self.forward.in_dtype(dtype)
        return replace(self, pristine=pristine, forward=forward, precision=dtype)

    def __call__(self, x: Tensor, copies: int = 1, seed: int = 0, graph: Any = None) -> Any:
        r"""Logits ``[copies * sum(outputs), C]`` for features ``[copies * sum(rows), D]``, on a
        noisy graph if one is given.

        Raises:
            ImpureModelError: If several units share random numbers.
        """
        seed_generators(seed, self.device)
        if copies * len(self.forward.rows) == 1 or isinstance(self.forward, OneByOne):
            return self.forward(self.model, x, copies, seed, graph)
        before = generator_states(self.device)
        logits = self.forward(self.model, x, copies, seed, graph)
        if generator_states(self.device) != before:
            raise ImpureModelError(
                f"'{type(self.model).__name__}' draws random numbers, which the samples of a block "
                "would share: pass block_size=1"
            )
        return logits

    def own(self, x: Tensor) -> Tensor:
        r"""A copy of features in the precision of the model; what stands in for them as it is."""
        if isinstance(x, LinearInput):
            return x
        dtype = self.precision if x.is_floating_point() else None
        return x.to(dtype or x.dtype, copy=True)

    def draws_random_numbers(self, x: Tensor, graph: Any = None) -> bool:
        r"""Whether a call draws from the global generators."""
        self.answer(x, seed=5, graph=graph)
        drawn = generator_states(self.device)
        seed_generators(5, self.device)
        return drawn != generator_states(self.device)

    def answer(self, x: Tensor, copies: int = 1, seed: int = 0, graph: Any = None) -> Any:
        r"""A copy of the logits of a call, for features of any precision that stay as they are: a
        model may write into what it is given, or into what it returned before.
        """
        logits = self(self.own(x), copies, seed, graph)
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
        return state_of(**self.kept())

    def watch(self) -> None:
        r"""Takes all that there is now as what must stay."""
        self._baseline = self.state()

    def verify(self) -> None:
        r"""Checks that nothing has changed since :meth:`watch`.

        Raises:
            ImpureModelError: If something has, with its name.
        """
        if self._baseline is not None:
            refuse_change(first_difference(self._baseline, self.state()))

    def held(self) -> Iterator[tuple[str, Tensor]]:
        r"""Tensors that the model, as it was given, and functions that call it hold, by name."""
        return tensors(model=self.pristine, **functions_of(self.forward))

    def kept(self) -> dict[str, Any]:
        r"""All that must not change after :meth:`watch`, by name."""
        return {"model": self.model, **self.forward.watched()}


def refuse_change(path: str | None) -> None:
    r"""Refuses with an :class:`~pyg_hiersmooth.errors.ImpureModelError` what changed between
    calls, if anything did.
    """
    if path is None:
        return
    root, _, name = path.partition(".")
    what = (
        f"'{path}' changes from call to call, so that votes would depend on one another: draw "
        "random numbers from PyTorch's global generator, and keep nothing between calls"
    )
    if root in ("graph", "copies"):
        what = (
            f"the model changes '{name}' of the graph it is called on, so that votes would depend "
            "on one another: let it change a copy"
        )
    refuse(what)


def _check_leads_nowhere(isolated: IsolatedModel, model: torch.nn.Module) -> None:
    own = tensor_addresses(model)
    for path, value in isolated.held():
        if value.layout == torch.strided and value.data_ptr() in own:
            refuse(
                f"'{path}' is the user's model, but votes come from a private copy: call the "
                "model that 'forward' is given, its first argument, and let a model's methods "
                "use 'self'"
            )


def _check_weights(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise ValueError(
                f"'model' must be initialized, but '{name}' is not: call the model once, on "
                "features of the width that the transform makes"
            )
