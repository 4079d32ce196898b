r"""Votes of a model that is called on noisy features of fixed objects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.adjacency_choice import adjacency_as_given, choose_adjacency
from pyg_hiersmooth.nn.forward import Forward, OneByOne
from pyg_hiersmooth.nn.generators import generators_put_back
from pyg_hiersmooth.nn.graph_forward import GraphForward
from pyg_hiersmooth.nn.indicator import TOLD, remedy_without_indicator
from pyg_hiersmooth.nn.model_state import first_difference, state_of
from pyg_hiersmooth.nn.prepared_model import PreparedModel, refuse_change
from pyg_hiersmooth.nn.purity import agree, check_pure, keeps_apart, unrelated
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.engine import single_thread
from pyg_hiersmooth.sampling.features import (
    DenseFeatures,
    FeatureSource,
    HiddenFeatures,
    feature_source,
)
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed
from pyg_hiersmooth.sampling.outcomes import ListedOutcomes
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

MAX_BLOCK = 512
ROWS_PER_CPU_BLOCK = 2048
MAX_GROWN_BLOCK = 32
r"""Most copies of the objects that are left, where some have left, unless there were more."""
FINGERPRINT_SAMPLES = 4
MAX_TRIAL_BYTES = 2**30
r"""Largest dense features that are written out only to try a model."""

TRIAL = 2**32
r"""Tells the streams of trials from those of samples."""


@dataclass(frozen=True)
class VoterOptions:
    r"""How votes are cast.

    Args:
        seed (int): Non-negative seed.
        block_size (int, optional): Copies of the objects in one forward pass, at most 1 for a
            model that mixes all rows it is given, such as a norm over all nodes.
        dense (bool): Whether to write noisy features out in any case.
        enumerate_outcomes (bool): Whether sample :math:`i` is the outcome :math:`i` of a selection
            that lists them.
    """

    seed: int
    block_size: int | None = None
    dense: bool = False
    enumerate_outcomes: bool = False


class ForwardVoter(Voter):
    r"""Votes of a model under hierarchical noise on its features.

    Args:
        model (torch.nn.Module): The user's model; a private copy of it votes.
        forward (Forward): Calls the model on the objects.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        x (torch.Tensor): Clean features ``[N, D]``, one row an entity.
        sizes (list of int): Entities of each object; they sum to ``N``.
        targets (torch.Tensor): The outputs that are voted on, int64 ``[M]``.
        num_classes (int): Number of classes :math:`C`.
        options (VoterOptions): How votes are cast.
        path (tuple of int): What tells its streams from those of other voters of one seed.

    Raises:
        ValueError: If the model fails on the features, returns no logits for the outputs, mixes
            the copies of a block, or is no fixed function of its features.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        forward: Forward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        num_classes: int,
        options: VoterOptions,
        path: tuple[int, ...] = (),
    ) -> None:
        self.transform, self.x, self.sizes = _listed(transform, options), x, sizes
        self.targets, self.num_targets, self.num_classes = targets, targets.numel(), num_classes
        self.options, self.path, self.device = options, path, x.device
        self._why_dense = "as asked" if options.dense else None
        self.num_outputs = sum(forward.outputs)
        if 0 in x.shape:
            raise ValueError(f"features 'x' must not be empty (got shape {list(x.shape)})")
        self.prepared = PreparedModel(model, forward, x)
        # Of several units those that are left, and their rows; noise is drawn for all.
        self._whole, self._rows = self.prepared, cast(Tensor | None, None)
        with self.trying():
            self._prepare()

    def elsewhere(
        self,
        forward: GraphForward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        targets: Tensor,
        path: tuple[int, ...],
    ) -> ForwardVoter:
        r"""The same model on another object of one unit, of at least as many rows. The model was
        tried here and is not tried again; it is watched there as well.

        Args:
            forward, transform, x, targets, path: As of the class.

        Raises:
            ValueError: If the model fails there.
        """
        other = copy.copy(self)
        other.transform = _listed(transform, self.options)
        other.x, other.sizes, other.path = x, [x.size(0)], path
        other.targets, other.num_targets = targets, targets.numel()
        other.num_outputs = sum(forward.outputs)
        if isinstance(self.prepared.forward, GraphForward):
            forward = forward.in_form_of(self.prepared.forward)
        other.prepared = other._whole = self.prepared.sharing(forward)
        if self.options.block_size is None:
            cheapest = other._cheapest_block_size()
            other.block_size = min(self.block_size, _power_of_two(cheapest))
        with other.trying():
            try:
                other._logits(range(other.block_size))
            except Exception as error:
                raise ValueError(f"the model failed: {one_line(error)}") from error
            other.prepared.watch()
        return other

    @property
    def features(self) -> list[Tensor]:
        r"""All clean features."""
        return [self.x]

    @property
    def objects(self) -> list[Tensor]:
        r"""All else that the logits depend on."""
        return self.prepared.forward.tensors()

    @property
    def asked(self) -> Tensor:
        r"""What tells the targets from others, int64 ``[M]``."""
        return self.targets

    @property
    def adjacency_name(self) -> str | None:
        r"""The form of the graph, which votes depend on by the rounding of sums."""
        return None if self.adjacency is None else self.adjacency.name

    @cached_property
    def _smooth(self) -> Callable[[RandomStream], Tensor]:
        return self.transform.prepare(self.x, self.sizes)

    @cached_property
    def source(self) -> FeatureSource:
        r"""Where noisy features come from."""
        if self._why_dense is not None:
            return DenseFeatures(self.transform, self.x, self.sizes, self._why_dense)
        return feature_source(self.transform, self.x, self.sizes, self._whole)

    def only(self, positions: Tensor) -> ForwardVoter:
        r"""As :meth:`~pyg_hiersmooth.sampling.Voter.only`. Noise is drawn for all objects, as it
        was; of several objects, the model is called on those that are left, if it is seen to
        answer for them as before.
        """
        if len(positions) == self.num_targets:
            return self
        voter = self._twin()
        voter.targets = self.targets[positions.to(self.device)]
        voter.num_targets = voter.targets.numel()
        fewer = voter._on_fewer_units()
        if fewer is None:
            return voter
        with self.trying():
            first = range(fewer.block_size)
            if not agree(fewer._target_logits(first), voter._target_logits(first)):
                return voter
            fewer.prepared.watch()
        return fewer

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("source", "_smooth")}

    def predict(self, samples: range) -> Tensor:
        predictions = []
        # Blocks start at multiples of their size, so that they are the same in every run.
        start = samples.start - samples.start % self.block_size
        for first in range(start, samples.stop, self.block_size):
            block = self._predict_block(range(first, first + self.block_size))
            predictions.append(block[max(samples.start - first, 0) : samples.stop - first])
        return torch.cat(predictions)

    def answer(self, features: Tensor, copies: int) -> Tensor:
        r"""Logits of the targets, ``[copies, M, C]``, for given features ``[copies * N, D (+ 1)]``,
        which enter the model as drawn ones do.
        """
        if isinstance(self.source, HiddenFeatures):
            features = self.source.mapped(features)
        with not_swallowed():
            logits = self.prepared.answer(features, copies)
        return logits.view(copies, self.num_outputs, -1).index_select(1, self.targets)

    def verify(self) -> None:
        self.prepared.verify()

    def fingerprint(self) -> list[float]:
        r"""A few numbers that show whether the logits of the first samples are the same."""
        with self.trying():
            logits = torch.stack(
                [self._logits(range(i, i + 1)).clone() for i in range(FINGERPRINT_SAMPLES)]
            )
            signs = torch.randn(logits[0].shape, generator=torch.Generator().manual_seed(0))
            shares = (logits.cpu().double() * signs).sum((1, 2)) / logits[0].numel() ** 0.5
        return [float(f"{value:.6g}") for value in shares.tolist()]

    @contextmanager
    def trying(self) -> Iterator[None]:
        r"""Tries a model as sampling calls it, and leaves no trace in the global generators."""
        with torch.no_grad(), single_thread(self.device), generators_put_back(self.device):
            yield

    def trial_draw(self, number: int) -> Tensor:
        r"""A draw of features that no sample gets, ``[N, D (+ 1)]``: dense, unless they are so many
        that only their products fit in memory.
        """
        stream = RandomStream(0, TRIAL, number, device=self.device)
        if not self.dense_fits and isinstance(self.source, HiddenFeatures):
            return self.source.draw([stream])
        return self._smooth(stream)

    @property
    def dense_fits(self) -> bool:
        r"""Whether a draw may be written out only to try the model."""
        return self.x.numel() * self.x.element_size() <= MAX_TRIAL_BYTES

    def _predict_block(self, samples: range) -> Tensor:
        logits = self._target_logits(samples)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")
        return logits.argmax(-1)

    def _target_logits(self, samples: range) -> Tensor:
        logits = self._logits(samples).view(len(samples), self.num_outputs, -1)
        return logits.index_select(1, self.targets)

    def _logits(self, samples: range) -> Any:
        streams = [
            RandomStream(self.options.seed, *self.path, sample, device=self.device)
            for sample in samples
        ]
        features = self.source.draw(streams, self._rows)
        try:
            with not_swallowed():
                return self.prepared(features, len(samples), streams[0].seed())
        except NotLinearError as error:
            # To draw this sample anew would favour the samples that did not get here.
            raise ValueError(
                f"the model uses its features in other ways from sample to sample ('{error}'): "
                "pass dense=True"
            ) from error

    def _twin(self) -> ForwardVoter:
        twin = ForwardVoter.__new__(ForwardVoter)
        vars(twin).update(vars(self))
        return twin

    def _on_fewer_units(self) -> ForwardVoter | None:
        r"""As this one, with the model called on those units alone that have targets;
        :obj:`None` where that are all, or it cannot be.
        """
        forward = self.prepared.forward
        outputs = torch.tensor(forward.outputs)
        unit_of = torch.arange(len(outputs)).repeat_interleave(outputs)
        units, place = unit_of[self.targets.cpu()].unique(return_inverse=True)
        if len(units) == len(outputs):
            return None
        prepared = self.prepared.sharing(forward.some(units.tolist()))
        fewer = self._twin()
        moved = _starts(outputs)[units] - _starts(outputs[units])
        fewer.targets = self.targets - moved[place].to(self.device)
        fewer.num_outputs = sum(prepared.forward.outputs)
        rows = torch.arange(sum(forward.rows)) if self._rows is None else self._rows.cpu()
        parts = rows.split(forward.rows)
        fewer._rows = torch.cat([parts[i] for i in units.tolist()]).to(self.device)
        fewer.prepared = prepared
        if self.options.block_size is None and not isinstance(forward, OneByOne):
            # More copies of what is left, but no more rows than before.
            copies = self.block_size * len(rows) // len(fewer._rows)
            fewer.block_size = max(self.block_size, min(_power_of_two(copies), MAX_GROWN_BLOCK))
        return fewer

    def _prepare(self) -> None:
        forward = self.prepared.forward
        untouched = state_of(**forward.watched())
        self._try_model(self.trial_draw(0))
        refuse_change(first_difference(untouched, state_of(**forward.watched())))
        self.adjacency = choose_adjacency(self.prepared, self._trial_draws, self.x.dtype)
        try:
            self._settle()
        except ValueError:
            if self.adjacency is None or self.adjacency.as_given:
                raise
            self.prepared.use(forward)
            self.adjacency = adjacency_as_given(self.prepared, "what is faster was refused")
            self._why_dense = "as asked" if self.options.dense else None
            self._settle()

    def _trial_draws(self) -> list[Tensor]:
        r"""Two draws, and features that have nothing to do with them where those fit in memory."""
        draws = [self.trial_draw(0), self.trial_draw(1)]
        return [*draws, unrelated(draws[0], 8)] if self.dense_fits else draws

    def _settle(self) -> None:
        r"""All that is found out about the model on one form of the graph."""
        self._renew()
        self.block_size = self._choose_block_size(self.options.block_size)
        if isinstance(self.prepared.forward, OneByOne):
            self.adjacency = adjacency_as_given(self.prepared)
        self._renew()
        self._choose_source()
        draws = [self.trial_draw(0), self.trial_draw(1)]
        check_pure(self.prepared, draws, self.options.enumerate_outcomes)
        self._logits(range(self.block_size))
        self.prepared.watch()

    def _renew(self) -> None:
        self.prepared.renew()
        vars(self).pop("source", None)  # made for the weights of one copy

    def _try_model(self, draw: Tensor) -> None:
        try:
            logits = self._answer(draw)
        except Exception as error:
            hint = self.prepared.forward.hint()
            if isinstance(error, ValueError) and not hint:
                raise
            remedy = remedy_without_indicator(self.transform, self._answer, draw)
            indicator = TOLD if self.transform.append_indicator else ""
            raise ValueError(
                f"the model failed on {self.prepared.forward.describe(draw)}{indicator}: "
                f"{one_line(error)}{remedy or hint}"
            ) from error
        expected = [self.num_outputs, self.num_classes]
        if not isinstance(logits, Tensor) or list(logits.shape) != expected:
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model must return logits of shape {expected} (got {got})")
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")

    def _answer(self, draw: Tensor) -> Any:
        try:
            return self.prepared.answer(draw)
        except Exception:  # raised again, unless the model takes the units one by one
            if len(self.prepared.forward.rows) == 1:
                raise
            together = self.prepared.forward
            self.prepared.use(OneByOne(together))
            try:
                return self.prepared.answer(draw)
            except Exception:  # the first error says more
                self.prepared.use(together)
            raise

    def _choose_block_size(self, wanted: int | None) -> int:
        one_by_one = isinstance(self.prepared.forward, OneByOne)
        cheapest = 1 if one_by_one else min(MAX_BLOCK, self._cheapest_block_size())
        copies = wanted or _power_of_two(cheapest)
        # One by one, the samples of a block would share their random numbers.
        if not (one_by_one and copies > 1) and self._keeps_apart(copies):
            return copies
        if wanted is not None and wanted > 1:
            raise ValueError(
                "'block_size' must be 1 for a model that mixes all rows it is given, or draws "
                f"random numbers (got {wanted})"
            )
        if copies == 1 or not self._keeps_apart(1):
            if not one_by_one:
                self.prepared.use(OneByOne(self.prepared.forward))
            if not self._keeps_apart(1):
                raise ValueError(
                    f"'{type(self.prepared.model).__name__}' keeps something of one object that it "
                    "uses for the next: keep nothing between calls"
                )
        return 1

    def _keeps_apart(self, copies: int) -> bool:
        if copies * len(self.prepared.forward.rows) == 1:
            return True
        draws = torch.cat([self.trial_draw(i) for i in range(copies)])
        return keeps_apart(self.prepared, draws, copies)

    def _cheapest_block_size(self) -> int:
        if self.device.type != "cuda":
            return block_size_on_cpu(self.x.size(0))
        free, _ = torch.cuda.mem_get_info(self.device)
        return free // (32 * self.x.element_size() * self.x.numel())

    def _choose_source(self) -> None:
        source = self.source
        if isinstance(source, HiddenFeatures):
            self._why_dense = self._why_not_hidden(source)
        elif isinstance(source, DenseFeatures):
            self._why_dense = source.reason
        if self._why_dense is not None:
            self._renew()

    def _why_not_hidden(self, source: HiddenFeatures) -> str | None:
        if not self.dense_fits:
            return None
        twin = self.prepared.fresh()
        for draw in (self.trial_draw(0), self.trial_draw(1)):
            try:
                with not_swallowed():
                    logits = self.prepared(source.mapped(draw), seed=4)
            except NotLinearError as error:
                return f"the model: {error}"
            if not agree(logits, twin.answer(draw, seed=4)):
                return "the model answers otherwise behind its first linear map"
        return None


def _starts(sizes: Tensor) -> Tensor:
    return sizes.cumsum(0) - sizes


def block_size_on_cpu(num_rows: int) -> int:
    r"""Copies of objects of so many rows that are cheapest together on a CPU."""
    return _power_of_two(min(MAX_BLOCK, ROWS_PER_CPU_BLOCK // num_rows))


def _listed(
    transform: HierarchicalNodeFeatureNoise, options: VoterOptions
) -> HierarchicalNodeFeatureNoise:
    if not options.enumerate_outcomes:
        return transform
    return HierarchicalNodeFeatureNoise(
        ListedOutcomes(transform.selection), transform.noise, transform.append_indicator
    )


def _power_of_two(size: int) -> int:
    r"""The largest power of two that is not larger, so that blocks of all shards fit each other."""
    return 1 << max(size, 1).bit_length() - 1
