r"""A model that is called on noisy features of fixed objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.nn.adjacency.choice import Adjacency
from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import side_by_side
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.voters.audit import check_ballots
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


class NoisyModel:
    r"""Logits of a prepared model on features under hierarchical noise, sample by sample.

    In which way it is called, :mod:`~pyg_hiersmooth.nn.voters.model_trial` finds out.

    Args:
        prepared (IsolatedModel): The model on the objects.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        x (torch.Tensor): Clean features ``[N, D]``, one row an entity.
        sizes (list of int): Entities of each object; they sum to ``N``.
        options (VoterOptions): The seed, and whether features are to be dense.
        path (tuple of int): What tells its streams from others of one seed.

    Attributes:
        block_size (int): Copies of the objects in one call.
        adjacency (Adjacency, optional): The form of the graph; :obj:`None` without one.
        why_dense (str, optional): Why noisy features are written out, if they have to be.
        precision (torch.dtype, optional): A higher precision that the model takes as well.
        hops_tried (set): Numbers of hops that were found right, with a digest of their targets.
    """

    def __init__(
        self,
        prepared: IsolatedModel,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        options: VoterOptions,
        path: tuple[int, ...],
    ) -> None:
        self.prepared, self.x, self.sizes, self.path = prepared, x, sizes, path
        self.transform, self.options, self.device = options.smoothing(transform), options, x.device
        self.block_size = 1
        self.adjacency: Adjacency | None = None
        self.why_dense = "as asked" if options.dense else None
        self.precision: torch.dtype | None = None
        self.hops_tried: set[tuple[int, str]] = set()
        self._given = prepared.forward
        # Of several units those that are left, and their rows; noise is drawn for all.
        self._whole = prepared
        self._rows: Tensor | None = None

    @property
    def num_outputs(self) -> int:
        r"""Rows of logits of one copy of the objects."""
        return sum(self.prepared.forward.outputs)

    @cached_property
    def plain(self) -> IsolatedModel:
        r"""The model without any shortcut: on the objects as given, one at a time."""
        given = self._given
        return self._whole.plain(OneByOne(given) if len(given.rows) > 1 else given)

    def audit(self, sample: int, ballots: Ballots, targets: Tensor, tally: Tally) -> None:
        r"""Checks the ballots of a sample on some outputs against those of a pristine copy.

        Raises:
            AuditError: If one is another.
        """
        stream, selected, features = self._written_out(sample)
        self.plain.renew()
        graph = self._structure(self.plain.forward, [selected], [stream])
        if self.transform.noise.of == "nodes":
            features = features[~selected]
        check_ballots(
            ballots,
            tally,
            targets,
            self.plain,
            self.precision,
            features,
            stream.seed(),
            sample,
            self.shortcuts,
            graph,
        )

    def _written_out(self, sample: int) -> tuple[RandomStream, Tensor, Tensor]:
        r"""The stream of a sample, its indicator, and its features, written out."""
        stream = self._stream(sample)
        selected = self.source.select(stream)
        return stream, selected, self.source.written_out(selected, stream)

    def _stream(self, sample: int) -> RandomStream:
        return RandomStream(self.options.seed, *self.path, sample, device=self.device)

    def _structure(
        self, forward: Forward, selected: list[Tensor], streams: list[RandomStream]
    ) -> Any:
        r"""The noisy structure of as many copies of the objects as there are samples; :obj:`None`
        where the structure gets no noise.

        Edges get noise first, from a stream of their own, and nodes are ablated of what it leaves.
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
            paths = (stream.path for stream in streams)
            device = noisy.device
            own = (RandomStream(self.options.seed, *path, EDGES, device=device) for path in paths)
            draws = [noisy.draw(stream) for stream in own]
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
        sample: int,
        ballots: Ballots,
        targets: Tensor,
        nodes: Tensor,
        tally: Tally,
    ) -> None:
        r"""As :meth:`audit`, on a larger graph, for the votes on a neighborhood.

        Args:
            larger (Larger): The larger graph.
            sample (int): The number of the sample.
            ballots (Ballots): What it says.
            targets (torch.Tensor): The nodes of the neighborhood that they are about.
            nodes (torch.Tensor): The nodes of the neighborhood, among all, int64, ascending.
            tally (Tally): How ballots are read from logits.
        """
        stream, _, own = self._written_out(sample)
        seed, own = stream.seed(), own[: len(nodes)]
        features = larger.draw(AUDITED + sample)
        place = torch.searchsorted(larger.nodes, nodes).to(self.device)
        features = features.index_copy(0, place, own)
        plain = self.prepared.plain(larger.forward)
        ways = [*self.shortcuts, "neighborhoods (pass num_hops=None)"]
        asked = place[targets]
        check_ballots(ballots, tally, asked, plain, self.precision, features, seed, sample, ways)

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
        return feature_source(self.transform, self.x, self.sizes, self._whole)

    def logits(self, samples: range) -> Any:
        r"""Logits of as many samples as a block has."""
        streams = [self._stream(sample) for sample in samples]
        selected = [self.source.select(stream) for stream in streams]
        rows = None if self._rows is None else [self._rows] * len(samples)
        left = selected if rows is None else [each[self._rows] for each in selected]
        graph = self._structure(self.prepared.forward, left, streams)
        if self.transform.noise.of == "nodes":
            of = [torch.arange(len(each)) for each in selected] if rows is None else rows
            rows = [own[~kept] for own, kept in zip(of, left, strict=True)]
        features = self.source.draw_given(selected, streams, rows)
        try:
            with not_swallowed():
                return self.prepared(features, len(samples), streams[0].seed(), graph)
        except NotLinearError as error:
            # To draw this sample anew would favor the samples that did not get here.
            raise ValueError(
                f"the model uses its features in other ways from sample to sample ('{error}'): "
                "pass dense=True"
            ) from error

    def answer(self, features: Tensor, copies: int) -> Tensor:
        r"""Logits for given features ``[copies * N, D (+ 1)]``, which enter the model as drawn ones
        do.
        """
        if isinstance(self.source, ProjectedFeatures):
            features = self.source.mapped(features)
        with not_swallowed():
            return self.prepared.answer(features, copies)

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
        if not self.dense_fits and isinstance(self.source, ProjectedFeatures):
            return self.source.draw([stream])
        return self.smooth(stream)

    @property
    def dense_fits(self) -> bool:
        r"""Whether a draw may be written out only to try the model."""
        return self.x.numel() * self.x.element_size() <= MAX_TRIAL_BYTES

    def renew(self) -> None:
        r"""Starts over with a fresh copy of the model."""
        self.prepared.renew()
        vars(self).pop("source", None)  # made for the weights of one copy

    def again(self, options: VoterOptions) -> NoisyModel:
        r"""The same model as it was tried, for samples of another seed."""
        other = NoisyModel.__new__(NoisyModel)
        vars(other).update(vars(self), options=options)
        return other

    def elsewhere(
        self,
        forward: Forward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        path: tuple[int, ...],
    ) -> NoisyModel:
        r"""The same model on another object of one unit, called in the same way."""
        prepared = self.prepared.sharing(forward)
        other = NoisyModel(prepared, transform, x, [x.size(0)], self.options, path)
        other.block_size, other.adjacency = self.block_size, self.adjacency
        other.why_dense, other.precision = self.why_dense, self.precision
        return other

    def on_units(self, units: list[int]) -> NoisyModel:
        r"""The same model, called on some of its units alone; noise is drawn for all."""
        forward = self.prepared.forward
        rows = torch.arange(sum(forward.rows)) if self._rows is None else self._rows.cpu()
        parts = rows.split(forward.rows)
        fewer = NoisyModel.__new__(NoisyModel)
        vars(fewer).update(vars(self))
        fewer.prepared = self.prepared.sharing(forward.some(units))
        fewer._rows = torch.cat([parts[unit] for unit in units]).to(self.device)
        if self.options.block_size is None and not isinstance(forward, OneByOne):
            fewer.block_size = grown_block_size(self.block_size, len(rows), len(fewer._rows))
        return fewer

    def __getstate__(self) -> dict[str, Any]:
        made = ("source", "smooth", "plain", "_noisy_edges")
        return {key: each for key, each in vars(self).items() if key not in made}
