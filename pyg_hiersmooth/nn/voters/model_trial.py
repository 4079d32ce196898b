r"""Finds out before sampling in which way a model may be called on noisy features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.adjacency.choice import adjacency_as_given, choose_adjacency
from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward
from pyg_hiersmooth.nn.calls.indicator import LAST_IS_INDICATOR, remedy_without_indicator
from pyg_hiersmooth.nn.calls.logits import check_logits
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.isolation.determinism import check_deterministic, is_batch_invariant
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, refuse_change
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.model_state import first_difference, state_of
from pyg_hiersmooth.nn.isolation.precision import cast, in_high_precision
from pyg_hiersmooth.nn.isolation.probes import unrelated_probe
from pyg_hiersmooth.nn.isolation.problems import collecting, refuse
from pyg_hiersmooth.nn.isolation.silence import check_silence
from pyg_hiersmooth.nn.isolation.silence_of_type import check_typed_silence
from pyg_hiersmooth.nn.voters.block_size import cheapest_block_size
from pyg_hiersmooth.nn.voters.noisy_model import TRIAL, NoisyModel
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.features import DenseFeatures, ProjectedFeatures
from pyg_hiersmooth.sampling.linear_input import LinearInput, NotLinearError, not_swallowed
from pyg_hiersmooth.sampling.outcomes import NothingSelected
from pyg_hiersmooth.transforms.structure_ablation import ablated

COPIES_TO_COMPARE = 4
r"""About how many copies of a block are compared with themselves alone where structures differ."""


class ModelTrial:
    r"""Tries a model on draws that no sample gets, and settles how it is called from then on: on
    which form of the graph, with how many copies at a time, and whether noise may be drawn behind
    its first linear maps.

    Args:
        model (NoisyModel): The model, which takes what is found.
        num_classes (int): Number of classes :math:`C`.
    """

    def __init__(self, model: NoisyModel, num_classes: int) -> None:
        self.model, self.options, self.num_classes = model, model.options, num_classes
        self._high: IsolatedModel | None = None  # in a higher precision, if it takes one
        self._draws: dict[int, Tensor] = {}
        self._hidden: HiddenModel | None = None  # the precise one behind its first linear maps
        self._products: list[Tensor] = []  # of the first two draws with these maps

    @property
    def prepared(self) -> IsolatedModel:
        r"""The model as sampling calls it."""
        return self.model.whole

    @property
    def precise(self) -> IsolatedModel:
        r"""The model in the highest precision that it takes."""
        return self._high or self.model.whole

    def run(self) -> None:
        r"""Tries and settles.

        Raises:
            ValueError: If the model fails on the features, or returns no logits for the outputs.
            ImpureModelError: If it mixes the copies of a block, or is no fixed function of its
                features.
        """
        with self.model.trying():
            self._run()

    def _run(self) -> None:
        model, given = self.model, self.prepared.forward
        model.why_dense = "as asked" if self.options.dense else None
        untouched = state_of(**given.watched())
        logits = self._check_logits(self._draw(0))
        refuse_change(first_difference(untouched, state_of(**given.watched())))
        precise, answer = in_high_precision(self.prepared, self._draw(0), logits)
        if precise is not self.prepared:
            self._high, model.precision = precise, precise.precision
        self._try_projection(answer)
        try:
            self._choose_adjacency()
        except NotTaken as reason:
            model.adjacency = adjacency_as_given(self.prepared, str(reason))
        if model.adjacency is not None and not model.adjacency.as_given:
            try:
                with collecting(None):
                    self._settle()
                return
            except Exception:  # raised again, unless the plain way is free of it
                self._use(given)
                model.adjacency = adjacency_as_given(self.prepared, "what is faster was refused")
        self._settle()

    def _choose_adjacency(self) -> None:
        r"""Takes the cheapest form of the graph.

        Raises:
            NotTaken: If that is the graph as given.
        """
        model, given = self.model, self.model.given
        if self.options.dense:
            raise NotTaken("as asked")
        if model.changes_structure:
            raise NotTaken("its edges change from sample to sample")
        draws = self._products or [self._draw(number) for number in range(2)]
        if model.dense_fits:
            draws = [*draws, unrelated_probe(draws[0], 8)]
        if self._hidden is not None:  # so that no call computes the first maps anew
            draws = list(map(self._hidden.maps.stand_in, draws))
        model.adjacency, form = choose_adjacency(self.precise, draws, self._dtype)
        if isinstance(given, GraphForward):
            self._use(given.in_form_of(form, model.x.dtype), form)

    def _draw(self, number: int) -> Tensor:
        r"""A draw that no sample gets, made once if it is written out; products belong to the
        weights of one copy.
        """
        if not self.model.dense_fits:
            return self.model.trial_draw(number)
        if number not in self._draws:
            self._draws[number] = self.model.trial_draw(number)
        return self._draws[number]

    @property
    def _dtype(self) -> torch.dtype:
        return self._cast(self._draw(0)[:0]).dtype if self.model.dense_fits else self.model.x.dtype

    def _cast(self, x: Tensor) -> Tensor:
        precision = self.precise.precision
        return x if precision is None else cast(x, precision)

    def _use(self, forward: Forward, high: Forward | None = None) -> None:
        r"""Takes a way to call the model, in both precisions."""
        self.model.renew(forward)
        if self._high is not None and self._high.precision is not None:
            high = high or forward.in_dtype(self._high.precision)
            self._high = self._high.sharing(high)

    def _settle(self) -> None:
        r"""All that is found out about the model on one form of the graph."""
        model = self.model
        model.renew()
        model.block_size = self._choose_block_size(self.options.block_size)
        if isinstance(self.prepared.forward, OneByOne):
            model.adjacency = adjacency_as_given(self.prepared)
        model.renew()
        if isinstance(model.source, DenseFeatures):
            model.why_dense = model.source.reason
        given = draws = [self._draw(number) for number in range(2)]
        enter: Callable[[Tensor], Tensor] = lambda x: x  # noqa: E731
        if self._hidden is not None and isinstance(model.source, ProjectedFeatures):
            enter, maps, matrix = model.source.mapped, model.source.maps, self._hidden.maps.matrix
            if torch.equal(maps.matrix, matrix.to(maps.matrix)):  # in the same order
                draws = [maps.stand_in(products.to(model.x.dtype)) for products in self._products]
            else:
                draws = list(map(enter, given))
        signs = ((1, -1) if draws[0].is_floating_point() else (1,)) if model.dense_fits else ()
        # Of features: products that no features have may move a model that does not read these.
        probes = (enter(sign * unrelated_probe(given[0], 0)) for sign in signs)
        noisy = not (
            model.changes_structure or isinstance(model.transform.selection, NothingSelected)
        )
        check_deterministic(
            self.prepared,
            draws,
            self.options.enumerate_outcomes,
            noisy,
            probes,
        )
        check_silence_of(model, self.precise, self._draw(0))
        model.try_block()
        self.prepared.watch()

    def _try_projection(self, answer: Tensor) -> None:
        r"""Draws noise behind the first linear maps of the precise model, where its logits for the
        products are those for the features.

        Args:
            answer (torch.Tensor): Logits for the first draw, in high precision.
        """
        model, precise = self.model, self.precise
        if model.why_dense is not None or not model.dense_fits:
            return
        if isinstance(model.source, DenseFeatures):
            model.why_dense = model.source.reason
            return
        draws = [self._draw(number) for number in range(2)]
        try:
            hidden = HiddenModel.of(precise, draws[0])
            products = list(map(hidden.maps.products, draws))
            with not_swallowed():
                answers = list(map(hidden.answer, products))
        except NotLinearError as error:
            model.why_dense = f"the model: {error}"
            return
        plain = answer, precise.sharing(precise.forward).answer(draws[1])
        if all(map(logits_match, answers, plain)):
            self._hidden, self._products = hidden, products
            model.products, model.first_maps = products[0], hidden.maps.matrix
        else:
            model.why_dense = "the model's logits differ behind its first linear layer"

    def _check_logits(self, draw: Tensor) -> Tensor:
        try:
            logits = self._answer(draw)
        except Exception as error:
            hint = self.prepared.forward.hint()
            if isinstance(error, ValueError) and not hint:
                raise
            remedy = remedy_without_indicator(self.model.transform, self._answer, draw)
            indicator = LAST_IS_INDICATOR if self.model.transform.append_indicator else ""
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
            self.model.renew(OneByOne(together))
            try:
                return self.prepared.answer(draw)
            except Exception:  # the first error says more
                self.model.renew(together)
            raise

    def _choose_block_size(self, wanted: int | None) -> int:
        one_by_one = isinstance(self.prepared.forward, OneByOne)
        copies = wanted or (1 if one_by_one else cheapest_block_size(self.model.x))
        # One by one, the samples of a block would share their random numbers.
        if not (one_by_one and copies > 1) and self._is_batch_invariant(copies):
            return copies
        if wanted is not None and wanted > 1:
            refuse(
                "'block_size' must be 1 for a model that mixes all rows it is given, or draws "
                f"random numbers (got {wanted})"
            )
        if copies == 1 or not self._is_batch_invariant(1):
            if not one_by_one:
                self._use(OneByOne(self.prepared.forward))
            if not self._is_batch_invariant(1):
                refuse(
                    f"'{type(self.prepared.model).__name__}' keeps something of one object that it "
                    "uses for the next: keep nothing between calls"
                )
        return 1

    def _is_batch_invariant(self, copies: int) -> bool:
        if copies * len(self.prepared.forward.rows) == 1:
            return True
        draws = self._cast(torch.cat([self._draw(i) for i in range(copies)]))
        return is_batch_invariant(self.precise, draws, copies) and self._keeps_apart(draws, copies)

    def _keeps_apart(self, draws: Tensor, copies: int) -> bool:
        r"""Whether the model answers for copies whose structures differ as for each alone."""
        prepared, forward, of = self.precise, self.precise.forward, self.model.transform.noise.of
        if of == "features" or isinstance(forward, OneByOne):
            return True
        if isinstance(draws, LinearInput):
            return False
        selected = RandomStream(0, TRIAL, copies, device=draws.device).bernoulli(0.5, len(draws))
        noised = getattr(forward, "noised", None)
        alone = OneByOne(forward) if len(forward.rows) > 1 else forward

        def answer(model: IsolatedModel, x: Tensor, rows: Tensor, number: int) -> Tensor:
            left = x[~rows] if of == "nodes" else x
            of_type = rows if noised is None else {noised: rows}
            graph = ablated(model.forward.copies_of(number), of_type, of)
            return model.answer(left, number, seed=3, graph=graph)

        try:
            together = answer(prepared, draws, selected, copies).chunk(copies)
        except Exception:  # it fails on many at once: one by one is tried next, and tells why
            return False
        parts = list(zip(draws.chunk(copies), selected.chunk(copies), together, strict=True))
        return all(
            logits_match(logits, answer(prepared.plain(alone), x, rows, 1))
            for x, rows, logits in parts[:: max(1, copies // COPIES_TO_COMPARE)]
        )


def check_silence_of(model: NoisyModel, precise: IsolatedModel, draw: Tensor) -> None:
    r"""Checks, where messages are ablated, that silent nodes reach no others.

    Args:
        model (NoisyModel): The model.
        precise (IsolatedModel): It in the highest precision that it takes.
        draw (torch.Tensor): A draw of features.

    Raises:
        ImpureModelError: If they do.
    """
    if model.transform.noise.of == "messages":
        indicated = model.transform.append_indicator
        if isinstance(precise.forward, HeteroForward):
            check_typed_silence(precise, draw, indicated)
        else:
            check_silence(precise, draw, indicated, model.products)
