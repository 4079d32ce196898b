r"""Finds out before sampling in which way a model may be called on noisy features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.adjacency.choice import adjacency_as_given, choose_adjacency
from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.indicator import TOLD, remedy_without_indicator
from pyg_hiersmooth.nn.calls.logits import check_logits
from pyg_hiersmooth.nn.isolation.determinism import check_deterministic, is_batch_invariant
from pyg_hiersmooth.nn.isolation.isolated_model import refuse_change
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.model_state import first_difference, state_of
from pyg_hiersmooth.nn.isolation.precision import cast, in_high_precision
from pyg_hiersmooth.nn.isolation.probes import unrelated_probe
from pyg_hiersmooth.nn.isolation.silence import check_silence
from pyg_hiersmooth.nn.voters.block_size import cheapest_block_size
from pyg_hiersmooth.nn.voters.noisy_model import NoisyModel
from pyg_hiersmooth.sampling.features import DenseFeatures, ProjectedFeatures, feature_source
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed
from pyg_hiersmooth.sampling.outcomes import NothingSelected


class ModelTrial:
    r"""Tries a model on draws that no sample gets, and settles how it is called from then on: on
    which form of the graph, with how many copies at a time, and whether noise may be drawn behind
    its first linear maps.

    Args:
        model (NoisyModel): The model, which takes what is found.
        num_classes (int): Number of classes :math:`C`.
    """

    def __init__(self, model: NoisyModel, num_classes: int) -> None:
        self.model, self.prepared, self.num_classes = model, model.prepared, num_classes
        self.precise = model.prepared
        self.options = model.options

    def run(self) -> None:
        r"""Tries and settles.

        Raises:
            ValueError: If the model fails on the features, returns no logits for the outputs, mixes
                the copies of a block, or is no fixed function of its features.
        """
        with self.model.trying():
            self._run()

    def _run(self) -> None:
        model, given = self.model, self.prepared.forward
        untouched = state_of(**given.watched())
        draw = model.trial_draw(0)
        logits = self._check_logits(draw)
        refuse_change(first_difference(untouched, state_of(**given.watched())))
        self.precise = in_high_precision(self.prepared, draw, logits)
        if self.precise is not self.prepared:
            model.precision = self.precise.precision
        if self.options.dense or model.changes_structure:
            why = "as asked" if self.options.dense else "its edges change from sample to sample"
            model.adjacency = adjacency_as_given(self.prepared, why)
        else:
            model.adjacency = choose_adjacency(self.precise, self._draws, self._cast(draw).dtype)
        form = self.precise.forward
        if form is not given and isinstance(form, GraphForward) and isinstance(given, GraphForward):
            self.prepared.use(given.in_form_of(form, model.x.dtype))
        try:
            self._settle()
        except Exception:  # raised again, unless the plain way is free of it
            if model.adjacency is None or model.adjacency.as_given:
                raise
            self._use(given)
            model.adjacency = adjacency_as_given(self.prepared, "what is faster was refused")
            model.why_dense = "as asked" if self.options.dense else None
            self._settle()

    def _use(self, forward: Forward) -> None:
        r"""Takes a way to call the model, in both precisions."""
        if self.precise.precision is not None:
            self.precise.use(forward.in_dtype(self.precise.precision))
        self.prepared.use(forward)

    def _cast(self, x: Tensor) -> Tensor:
        precision = self.precise.precision
        return x if precision is None else cast(x, precision)

    def _draws(self) -> list[Tensor]:
        r"""Two draws, and features that have nothing to do with them where those fit in memory."""
        draws = self._two_draws()
        return [*draws, unrelated_probe(draws[0], 8)] if self.model.dense_fits else draws

    def _two_draws(self) -> list[Tensor]:
        return [self._cast(self.model.trial_draw(number)) for number in range(2)]

    def _settle(self) -> None:
        r"""All that is found out about the model on one form of the graph."""
        model = self.model
        model.renew()
        model.block_size = self._choose_block_size(self.options.block_size)
        if isinstance(self.prepared.forward, OneByOne):
            model.adjacency = adjacency_as_given(self.prepared)
        model.renew()
        self._choose_source()
        draws = [model.trial_draw(number) for number in range(2)]
        noisy = not isinstance(model.transform.selection, NothingSelected)
        check_deterministic(self.prepared, draws, self.options.enumerate_outcomes, noisy)
        if model.transform.noise.of == "messages":
            draw = self._cast(model.trial_draw(0))
            check_silence(self.precise, draw, model.transform.append_indicator)
        model.logits(range(model.block_size))
        self.prepared.watch()

    def _check_logits(self, draw: Tensor) -> Tensor:
        try:
            logits = self._answer(draw)
        except Exception as error:
            hint = self.prepared.forward.hint()
            if isinstance(error, ValueError) and not hint:
                raise
            remedy = remedy_without_indicator(self.model.transform, self._answer, draw)
            indicator = TOLD if self.model.transform.append_indicator else ""
            raise ValueError(
                f"the model failed on {self.prepared.forward.describe(draw)}{indicator}: "
                f"{one_line(error)}{remedy or hint}"
            ) from error
        check_logits(logits, self.model.num_outputs, self.num_classes)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")
        return logits

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
        copies = wanted or (1 if one_by_one else cheapest_block_size(self.model.x))
        # One by one, the samples of a block would share their random numbers.
        if not (one_by_one and copies > 1) and self._is_batch_invariant(copies):
            return copies
        if wanted is not None and wanted > 1:
            raise ValueError(
                "'block_size' must be 1 for a model that mixes all rows it is given, or draws "
                f"random numbers (got {wanted})"
            )
        if copies == 1 or not self._is_batch_invariant(1):
            if not one_by_one:
                self._use(OneByOne(self.prepared.forward))
            if not self._is_batch_invariant(1):
                raise ValueError(
                    f"'{type(self.prepared.model).__name__}' keeps something of one object that it "
                    "uses for the next: keep nothing between calls"
                )
        return 1

    def _is_batch_invariant(self, copies: int) -> bool:
        if copies * len(self.prepared.forward.rows) == 1:
            return True
        draws = torch.cat([self.model.trial_draw(i) for i in range(copies)])
        return is_batch_invariant(self.precise, self._cast(draws), copies)

    def _choose_source(self) -> None:
        source = self.model.source
        if isinstance(source, ProjectedFeatures):
            self.model.why_dense = self._why_not_projected(source)
        elif isinstance(source, DenseFeatures):
            self.model.why_dense = source.reason
        if self.model.why_dense is not None:
            self.model.renew()

    def _why_not_projected(self, source: ProjectedFeatures) -> str | None:
        model, precise = self.model, self.precise
        if not model.dense_fits:
            return None
        if precise is not self.prepared:
            found = feature_source(model.transform, self._cast(model.x), model.sizes, precise)
            if not isinstance(found, ProjectedFeatures):
                return found.description
            source = found
        twin = precise.fresh()
        for draw in self._two_draws():
            try:
                with not_swallowed():
                    logits = precise(source.mapped(draw), seed=4)
            except NotLinearError as error:
                return f"the model: {error}"
            if not logits_match(logits, twin.answer(draw, seed=4)):
                return "the model answers otherwise behind its first linear map"
        return None
