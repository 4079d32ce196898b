r"""A model that is called on noisy features of fixed objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn.adjacency.choice import Adjacency
from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward, side_by_side
from pyg_hiersmooth.nn.isolation.hidden_model import known_draw
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.precision import cast
from pyg_hiersmooth.nn.voters.audit import Sample, check_ballots
from pyg_hiersmooth.nn.voters.block_size import grown_block_size
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.engine import single_thread
from pyg_hiersmooth.sampling.features import (
    DenseFeatures,
    FeatureSource,
    ProjectedFeatures,
    feature_source,
)
from pyg_hiersmooth.sampling.generators import generators_put_back
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed
from pyg_hiersmooth.sampling.tally import Ballots, Tally
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise
from pyg_hiersmooth.transforms.hierarchical_edge_noise import NoisyEdges
from pyg_hiersmooth.transforms.structure_ablation import ablated

MAX_TRIAL_BYTES = 2**30
r"""Largest dense features that are written out only to try a model."""

TRIAL = 2**32
r"""Tells the streams of trials from those of samples."""


EDGES = 2**16
r"""Tells the stream of a sample's edges from that of its features."""

AUDITED = 2**20
r"""Tells draws of nodes around an audited neighborhood from those of trials."""


class Part(NamedTuple):
    r"""Some of several units, on which alone a model is called; noise is drawn for all."""

    prepared: IsolatedModel
    r"""The model on these units."""
    rows: Tensor
    r"""Their rows among those of all, int64."""


@dataclass(eq=False)
class NoisyModel:
    r"""Logits of an isolated model on features under hierarchical noise, stream by stream.

    In which way it is called, :mod:`~pyg_hiersmooth.nn.voters.model_trial` finds out.

    Args:
        whole (IsolatedModel): The model on the objects, in the form that it is called on.
        given (Forward): Calls a model on the objects as given.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        x (torch.Tensor): Clean features ``[N, D]``, one row an entity.
        sizes (list of int): Entities of each object; they sum to ``N``.
        options (VoterOptions): What samples are drawn.
        block_size (int): Copies of the objects in one call.
        adjacency (Adjacency, optional): The form of the graph; :obj:`None` without one.
        why_dense (str, optional): Why noisy features are written out, if they have to be.
        precision (torch.dtype, optional): A higher precision that the model takes as well.
        part (Part, optional): The units that are left, where some have left.
        products (torch.Tensor, optional): Those of the first trial draw with the first linear maps
            in the highest precision that the model takes, where it was seen to answer for them as
            for the draw, ``[N, H]``.
        first_maps (torch.Tensor, optional): The matrix of these maps, ``[D (+ 1), H]``.

    Attributes:
        hops_tried (set): Numbers of hops that were found right, with a digest of their targets.
    """

    whole: IsolatedModel
    given: Forward
    transform: HierarchicalNodeFeatureNoise
    x: Tensor
    sizes: list[int]
    options: VoterOptions
    block_size: int = 1
    adjacency: Adjacency | None = None
    why_dense: str | None = None
    precision: torch.dtype | None = None
    part: Part | None = None
    products: Tensor | None = None
    first_maps: Tensor | None = None
    hops_tried: set[tuple[int, str]] = field(default_factory=set, init=False)

    @property
    def prepared(self) -> IsolatedModel:
        r"""The model on the units that are left."""
        return self.whole if self.part is None else self.part.prepared

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def num_outputs(self) -> int:
        r"""Rows of logits of one copy of the objects."""
        return sum(self.prepared.forward.outputs)

    @cached_property
    def _one_at_a_time(self) -> Forward:
        r"""Calls a model without any shortcut: on the objects as given, one at a time."""
        return OneByOne(self.given) if len(self.given.rows) > 1 else self.given

    def audit(
        self,
        stream: RandomStream,
        ballots: Ballots,
        targets: Tensor,
        tally: Tally,
        shortcuts: Sequence[str] | None = None,
    ) -> None:
        r"""Checks the ballots of a sample on some outputs against those of a pristine copy; names
        :attr:`shortcuts` if they differ, or those that were taken instead.

        Raises:
            AuditError: If one is another.
        """
        selected, features = self._written_out(stream)
        plain = self.whole.plain(self._one_at_a_time)
        graph = self._structure(plain.forward, [selected], [stream])
        if self.transform.noise.of == "nodes":
            features = features[~selected]
        sample = Sample(stream.path[-1], stream.seed(), features, graph)
        ways = self.shortcuts if shortcuts is None else shortcuts
        check_ballots(ballots, tally, targets, sample, plain, self.precision, ways)

    def _written_out(self, stream: RandomStream) -> tuple[Tensor, Tensor]:
        r"""The indicator of a sample, and its features, written out."""
        selected = self.source.select(stream)
        return selected, self.source.written_out(selected, stream)

    def _structure(
        self, forward: Forward, selected: list[Tensor], streams: list[RandomStream]
    ) -> Any:
        r"""The noisy structure of as many copies of the objects as there are samples; :obj:`None`
        where the structure gets no noise.

        Edges get noise first, from a separate stream, and nodes are ablated of what it leaves.
        """
        of = self.transform.noise.of
        if not self.changes_structure:
            return None
        noised = getattr(forward, "noised", None)
        rows = torch.cat(selected)
        graph = self._with_noisy_edges(forward, streams)
        return ablated(graph, rows if noised is None else {noised: rows}, of)

    def _with_noisy_edges(self, forward: Forward, streams: list[RandomStream]) -> Any:
        r"""A draw of the objects' edges for each sample, side by side."""
        edges = self.options.edges
        if edges is None:
            return forward.copies_of(len(streams))
        if forward not in self._noisy_edges:
            self._noisy_edges[forward] = edges.prepare(forward.copies_of(1))
        noisy = self._noisy_edges[forward]
        if self.options.enumerate_outcomes:
            draws = [noisy.outcome(stream.path[-1] % edges.num_outcomes) for stream in streams]
        else:
            draws = [noisy.draw(stream.beyond(EDGES, device=noisy.device)) for stream in streams]
        return draws[0] if len(draws) == 1 else side_by_side(draws)

    @property
    def changes_structure(self) -> bool:
        r"""Whether the structure differs from sample to sample."""
        return self.options.edges is not None or self.transform.noise.of != "features"

    @cached_property
    def _noisy_edges(self) -> dict[Forward, NoisyEdges]:
        return {}

    def audit_among(
        self,
        larger: Any,
        stream: RandomStream,
        ballots: Ballots,
        targets: Tensor,
        nodes: Tensor,
        tally: Tally,
    ) -> None:
        r"""As :meth:`audit`, on a larger graph, for the votes on a neighborhood.

        Args:
            larger (Larger): The larger graph.
            stream (RandomStream): That of the sample.
            ballots (Ballots): What it says.
            targets (torch.Tensor): The nodes of the neighborhood that they are about.
            nodes (torch.Tensor): The nodes of the neighborhood, among all, int64, ascending.
            tally (Tally): How ballots are read from logits.
        """
        seed, sample = stream.seed(), stream.path[-1]
        own = self._written_out(stream)[1][: len(nodes)]
        features = larger.draw(AUDITED + sample)
        place = torch.searchsorted(larger.nodes, nodes).to(self.device)
        features = features.index_copy(0, place, own)
        plain = self.whole.plain(larger.forward)
        ways = [*self.shortcuts, "neighborhoods (pass num_hops=None)"]
        asked = place[targets]
        asked_of = Sample(sample, seed, features)
        check_ballots(ballots, tally, asked, asked_of, plain, self.precision, ways)

    def precise(self) -> IsolatedModel:
        r"""The model in the highest precision that it takes."""
        return self.prepared if self.precision is None else self.prepared.in_dtype(self.precision)

    @property
    def shortcuts(self) -> list[str]:
        r"""The shortcuts that sampling takes, with how to do without each."""
        taken = []
        if isinstance(self.source, ProjectedFeatures):
            taken.append(f"{self.source.description} (pass dense=True)")
        if self.adjacency is not None and not self.adjacency.as_given:
            taken.append(f"{self.adjacency.name} (pass dense=True)")
        if self.block_size > 1:
            taken.append(f"{self.block_size} copies side by side (pass block_size=1)")
        return taken

    @cached_property
    def smooth(self) -> Callable[[RandomStream], Tensor]:
        r"""Draws noisy features, written out."""
        draw = self.transform.prepare_given(self.x)
        selection, sizes = self.transform.selection, self.sizes
        return lambda stream: draw(selection.sample_batch(sizes, stream), stream)

    @cached_property
    def source(self) -> FeatureSource:
        r"""Where noisy features come from."""
        if self.why_dense is not None:
            return DenseFeatures(self.transform, self.x, self.sizes, self.why_dense)
        former = vars(self).pop("_former", None)
        return feature_source(self.transform, self.x, self.sizes, self.whole, former)

    def logits(self, streams: list[RandomStream]) -> Any:
        r"""Logits of as many samples as a block has, from their streams."""
        selected = [self.source.select(stream) for stream in streams]
        rows = None if self.part is None else [self.part.rows] * len(streams)
        left = selected if self.part is None else [each[self.part.rows] for each in selected]
        graph = self._structure(self.prepared.forward, left, streams)
        if self.transform.noise.of == "nodes":
            of = [torch.arange(len(each)) for each in selected] if rows is None else rows
            rows = [own[~kept] for own, kept in zip(of, left, strict=True)]
        features = self.source.draw_given(selected, streams, rows)
        try:
            with not_swallowed():
                return self.prepared(features, len(streams), streams[0].seed(), graph)
        except NotLinearError as error:
            # To draw this sample anew would favor the samples that did not get here.
            raise ImpureModelError(
                f"the model uses its features in other ways from sample to sample ('{error}'): "
                "pass dense=True"
            ) from error

    def answer(self, features: Tensor, copies: int, graph: Any = None) -> Tensor:
        r"""Logits for given features ``[copies * N, D (+ 1)]``, which enter the model as drawn ones
        do, perhaps on a noisy graph.
        """
        if isinstance(self.source, ProjectedFeatures):
            features = self.source.mapped(features)
        with not_swallowed():
            return self.prepared.answer(features, copies, graph=graph)

    @contextmanager
    def trying(self) -> Iterator[None]:
        r"""Tries a model as sampling calls it, and leaves no trace in the global generators."""
        with torch.no_grad(), single_thread(self.device), generators_put_back(self.device):
            yield

    def trial_stream(self, number: int) -> RandomStream:
        r"""A stream that no sample gets."""
        return RandomStream(0, TRIAL, number, device=self.device)

    def answers_as_plainly(self) -> bool:
        r"""Whether a draw that no sample gets has the logits of a pristine copy that takes no
        shortcut, in the highest precision that the model takes, and whether sampling itself is
        deterministic and depends on the draw.

        The pristine copy never meets the draw that this one met first, in case that is kept.
        """
        if not self.dense_fits:
            return False
        first, other, again = (self.logits([self.trial_stream(i)]).clone() for i in (0, 1, 0))
        if not torch.equal(first, again) or torch.equal(first, other):
            return False
        x = self.x if self.precision is None else cast(self.x, self.precision)
        precise = replace(self, whole=self.precise(), x=x)
        forward = self._one_at_a_time
        if self.precision is not None:
            forward = forward.in_dtype(self.precision)
        plain = precise.whole.plain(forward)
        drawn = [self._written_out(self.trial_stream(number)) for number in range(2)]
        draws = [features for _, features in drawn]
        graphs = [
            self._structure(forward, [selected], [self.trial_stream(number)])
            for number, (selected, _) in enumerate(drawn)
        ]
        called = [precise.answer(*each) for each in zip(draws, (1, 1), graphs, strict=True)][1]
        expected = plain.answer(draws[1], graph=graphs[1])
        if not (bool(torch.isfinite(expected).all()) and logits_match(called, expected)):
            return False
        return not (
            self.options.enumerate_outcomes and plain.draws_random_numbers(draws[0], graphs[0])
        )

    def try_block(self) -> None:
        r"""Calls the model once as sampling does."""
        self.logits([self.trial_stream(number) for number in range(self.block_size)])

    def trial_draw(self, number: int) -> Tensor:
        r"""A draw of features that no sample gets, ``[N, D (+ 1)]``: dense, unless they are so many
        that only their products fit in memory.
        """
        stream = self.trial_stream(number)
        if not self.dense_fits and isinstance(self.source, ProjectedFeatures):
            return self.source.draw([stream])
        return self.smooth(stream)

    def precise_draw(self, known: bool = True) -> Tensor:
        r"""The first trial draw in the highest precision that the model takes; of one whose
        products are :obj:`known`, these alone.
        """
        if known and self.products is not None and self.first_maps is not None:
            return known_draw(self.products, self.first_maps)
        draw = self.trial_draw(0)
        return draw if self.precision is None else cast(draw, self.precision)

    def draws_random_numbers(self) -> bool:
        r"""Whether the model draws from the global generators."""
        try:
            return self.prepared.draws_random_numbers(self.source.draw([self.trial_stream(0)]))
        except NotLinearError:  # it takes its features in other ways now and then
            return self.prepared.draws_random_numbers(self.trial_draw(0))

    @property
    def dense_fits(self) -> bool:
        r"""Whether a draw may be written out only to try the model."""
        return self.x.numel() * self.x.element_size() <= MAX_TRIAL_BYTES

    def renew(self, forward: Forward | None = None) -> None:
        r"""Starts over with a fresh copy of the model, perhaps on another form of the objects."""
        self.whole = self.whole.fresh(forward)
        if "source" in vars(self):  # made for the weights of one copy
            self._former = vars(self).pop("source")

    def elsewhere(
        self, forward: Forward, transform: HierarchicalNodeFeatureNoise, x: Tensor
    ) -> NoisyModel:
        r"""The same model on another object of one unit, called in the same way."""
        called = forward
        if isinstance(forward, GraphForward) and isinstance(self.whole.forward, GraphForward):
            called = forward.in_form_of(self.whole.forward, x.dtype)
        return replace(
            self,
            whole=self.whole.sharing(called),
            given=forward,
            transform=self.options.smoothing(transform),
            x=x,
            sizes=[x.size(0)],
            products=None,
            first_maps=None,
        )

    def on_units(self, units: list[int]) -> NoisyModel:
        r"""The same model, called on some of its units alone."""
        forward = self.prepared.forward
        rows = torch.arange(sum(forward.rows)) if self.part is None else self.part.rows.cpu()
        parts = rows.split(forward.rows)
        left = torch.cat([parts[unit] for unit in units]).to(self.device)
        block_size = self.block_size
        if self.options.block_size is None and not isinstance(forward, OneByOne):
            block_size = grown_block_size(block_size, len(rows), len(left))
        part = Part(self.prepared.sharing(forward.some(units)), left)
        fewer = replace(self, block_size=block_size, part=part)
        fewer.source = self.source
        return fewer

    def __getstate__(self) -> dict[str, Any]:
        made = ("source", "_former", "smooth", "_one_at_a_time", "_noisy_edges")
        return {key: each for key, each in vars(self).items() if key not in made}
