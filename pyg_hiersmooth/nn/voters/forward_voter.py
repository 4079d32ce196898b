r"""Votes of a model that is called on noisy features of fixed objects."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.held_edges import check_no_edges
from pyg_hiersmooth.nn.isolation.held_features import check_no_features
from pyg_hiersmooth.nn.isolation.isolated_model import isolate
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.problems import collecting
from pyg_hiersmooth.nn.voters.block_size import cheapest_block_size
from pyg_hiersmooth.nn.voters.model_trial import ModelTrial, check_silence_of
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.nn.voters.noisy_model import NoisyModel
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.checkpoint import fingerprint
from pyg_hiersmooth.sampling.tally import Ballots, side_by_side
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FINGERPRINT_SAMPLES, PROJECTIONS = 2, 4


class ForwardVoter(ModelVoter):
    r"""Votes of a model under hierarchical noise on its features.

    Args:
        model (NoisyModel): The model, which was tried.
        targets (torch.Tensor): The outputs that are voted on, int64 ``[M]``.
        num_classes (int): Number of classes :math:`C`.
        options (VoterOptions): How votes are cast.
        path (tuple of int): What tells its streams from those of other voters of one seed.
        among_all (torch.Tensor, optional): The targets among the outputs of all units, where some
            have left, int64 ``[M]``.
    """

    def __init__(
        self,
        model: NoisyModel,
        targets: Tensor,
        num_classes: int,
        options: VoterOptions,
        path: tuple[int, ...] = (),
        among_all: Tensor | None = None,
    ) -> None:
        self.model, self.targets, self.num_classes = model, targets, num_classes
        self.options, self.path = options, path
        self.among_all = targets if among_all is None else among_all
        self.num_targets, self.block_size = targets.numel(), model.block_size
        self.device = model.device
        self._among: tuple[ForwardVoter, Tensor] | None = None

    @classmethod
    def tried(
        cls,
        model: torch.nn.Module,
        forward: Forward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        sizes: list[int],
        targets: Tensor,
        num_classes: int,
        options: VoterOptions,
        path: tuple[int, ...] = (),
    ) -> ForwardVoter:
        r"""That of a user's model, which is isolated and tried.

        Args:
            model (torch.nn.Module): The user's model; a private copy of it votes.
            forward (Forward): Calls the model on the objects.
            transform, x, sizes: As of :class:`~pyg_hiersmooth.nn.voters.noisy_model.NoisyModel`.
            targets, num_classes, options, path: As of the class.

        Raises:
            ValueError: If the model fails on the features, or returns no logits for the outputs.
            ImpureModelError: If it mixes the copies of a block, is no fixed function of its
                features, or holds clean edges where edges change.
        """
        if 0 in x.shape:
            raise ValueError(f"features 'x' must not be empty (got shape {list(x.shape)})")
        isolated = isolate(model, forward, x)
        noisy = NoisyModel(isolated, forward, options.smoothing(transform), x, sizes, options)
        if noisy.changes_structure:
            check_no_edges(isolated, forward.copies_of(1))
        ModelTrial(noisy, num_classes).run()
        return cls(noisy, targets, num_classes, options, path)

    def is_unchanged(self, x: Tensor) -> bool:
        r"""Whether all that was tried is as it was then, and the features are those given, also
        where the tensor that was tried has been written to.
        """
        if x is not self.model.x and fingerprint(x) != fingerprint(self.model.x):
            return False
        try:
            with collecting(None):
                self.verify()
        except ValueError:
            return False
        return True

    def again(self, options: VoterOptions, targets: Tensor) -> ForwardVoter:
        r"""The same model as it was tried, for another seed and other targets."""
        return ForwardVoter(self.model, targets, self.num_classes, options, self.path)

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
        model = self.model.elsewhere(forward, transform, x)
        if self.options.block_size is None:
            model.block_size = min(self.block_size, cheapest_block_size(x))
        with model.trying():
            try:
                model.try_block()
            except Exception as error:
                raise ValueError(f"the model failed: {one_line(error)}") from error
            model.prepared.watch()
        return ForwardVoter(model, targets, self.num_classes, self.options, path)

    def on_larger(
        self,
        forward: GraphForward,
        transform: HierarchicalNodeFeatureNoise,
        x: Tensor,
        targets: Tensor,
        path: tuple[int, ...],
    ) -> ForwardVoter:
        r"""The same model on the graph that the one it was tried on is a part of. There it is
        asked no more than whether it answers as a pristine copy does the plain way, one copy at a
        time, and whether silent nodes reach others.

        Args:
            forward, transform, x, targets, path: As of the class.

        Raises:
            ValueError: If the model holds the features, or edges that change, fails, or gives
                different logits.
            ImpureModelError: If silent nodes reach others.
        """
        check_no_features(self.model.whole.pristine, forward, x)
        voter = self.elsewhere(forward, transform, x, targets, path)
        if voter.model.changes_structure:
            check_no_edges(voter.model.whole, forward.copies_of(1))
        voter.block_size = voter.model.block_size = 1
        with voter.model.trying():
            if not voter.model.answers_as_plainly():
                raise ValueError("the model answers differently on the whole graph")
            tried = voter.model
            check_silence_of(tried, tried.precise(), tried.trial_draw(0))
        voter.verify()
        return voter

    @property
    def features(self) -> list[Tensor]:
        return [self.model.x]

    @property
    def objects(self) -> list[Tensor]:
        return self.model.prepared.forward.tensors()

    @property
    def adjacency_name(self) -> str | None:
        return None if self.model.adjacency is None else self.model.adjacency.name

    @property
    def among(self) -> tuple[ForwardVoter, Tensor | slice]:
        return self._among or (self, slice(None))

    def only(self, positions: Tensor) -> ForwardVoter:
        r"""As :meth:`~pyg_hiersmooth.sampling.Voter.only`. Noise is drawn for all objects, as it
        was; of several objects, the model is called on those that are left, if it is seen to
        answer for them as before.
        """
        if len(positions) == self.num_targets:
            return self
        positions = positions.to(self.device)
        voter = self._voting(self.model, self.targets[positions], self.among_all[positions])
        fewer = voter._on_fewer_units()
        if fewer is None:
            whole, rows = self.among
            voter._among = whole, torch.arange(whole.num_targets)[rows][positions.cpu()]
            return voter
        with self.model.trying():
            first = range(fewer.block_size)
            if not logits_match(fewer._logits(first), voter._logits(first)):
                return voter
            fewer.model.prepared.watch()
        return fewer

    def predict(self, samples: range) -> Tensor:
        return self.cast(samples).classes

    def cast(self, samples: range) -> Ballots:
        parts = []
        # Blocks start at multiples of their size, so that they are the same in every run.
        start = samples.start - samples.start % self.block_size
        for first in range(start, samples.stop, self.block_size):
            block = self._cast_block(range(first, first + self.block_size))
            inside = slice(max(samples.start - first, 0), samples.stop - first)
            parts.append(block.of(inside))
        return side_by_side(parts, 0)

    def answer(self, features: Tensor, copies: int) -> Tensor:
        r"""Logits of the targets, ``[copies, M, C]``, for given features ``[copies * N, D (+ 1)]``,
        which enter the model as drawn ones do.
        """
        return self._of_targets(self.model.answer(features, copies), copies)

    def verify(self) -> None:
        self.model.prepared.verify()

    def audit(self, sample: int, ballots: Ballots) -> None:
        self.model.audit(self.stream(sample), ballots, self.among_all, self.tally)

    def stream(self, sample: int) -> RandomStream:
        r"""The stream that a sample is drawn from."""
        return RandomStream(self.options.seed, *self.path, sample, device=self.device)

    def fingerprint(self) -> list[float]:
        with self.model.trying():
            model = self.model.precise()
            draws = [self.model.trial_draw(number) for number in range(FINGERPRINT_SAMPLES)]
            logits = torch.stack([model.answer(draw) for draw in draws]).cpu().double()
            logits -= logits.mean(-1, keepdim=True)
            generator = torch.Generator().manual_seed(0)
            signs = torch.randn(PROJECTIONS, *logits[0].shape, generator=generator).double()
            shares = torch.einsum("knc,pnc->kp", logits, signs).flatten() / logits[0].numel() ** 0.5
        digits = 6 if model.precision is None else 10
        return [float(f"{value:.{digits}g}") for value in shares.tolist()]

    def _cast_block(self, samples: range) -> Ballots:
        logits = self._logits(samples)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the model returned logits that are NaN or infinite")
        return self.tally.ballots(logits)

    def _logits(self, samples: range) -> Tensor:
        logits = self.model.logits([self.stream(sample) for sample in samples])
        return self._of_targets(logits, len(samples))

    def _of_targets(self, logits: Tensor, copies: int) -> Tensor:
        return logits.view(copies, self.model.num_outputs, -1).index_select(1, self.targets)

    def _on_fewer_units(self) -> ForwardVoter | None:
        r"""As this one, with the model called on those units alone that have targets;
        :obj:`None` where that are all, or edges get noise.
        """
        outputs = torch.tensor(self.model.prepared.forward.outputs)
        unit_of = torch.arange(len(outputs)).repeat_interleave(outputs)
        if self.options.edges is not None:
            return None  # their edges are drawn for all
        units, place = unit_of[self.targets.cpu()].unique(return_inverse=True)
        if len(units) == len(outputs):
            return None
        moved = _starts(outputs)[units] - _starts(outputs[units])
        targets = self.targets - moved[place].to(self.device)
        return self._voting(self.model.on_units(units.tolist()), targets, self.among_all)

    def _voting(self, model: NoisyModel, targets: Tensor, among_all: Tensor) -> ForwardVoter:
        r"""With the same streams, on some of the targets."""
        num_classes, options, path = self.num_classes, self.options, self.path
        return ForwardVoter(model, targets, num_classes, options, path, among_all)


def _starts(sizes: Tensor) -> Tensor:
    return sizes.cumsum(0) - sizes
