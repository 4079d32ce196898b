r"""Votes on the targets' own neighborhoods, exact and tried against the whole graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, refuse_change
from pyg_hiersmooth.nn.isolation.model_state import State, first_difference, state_of
from pyg_hiersmooth.nn.neighborhoods.neighborhood import (
    BOUNDARIES,
    Neighborhood,
    rows_of,
    telling_nodes,
)
from pyg_hiersmooth.nn.neighborhoods.plan import plan
from pyg_hiersmooth.nn.neighborhoods.trial import (
    MAX_WHOLE,
    Cut,
    Trial,
    WholeTrial,
    WideTrial,
)
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.noisy_model import MAX_TRIAL_BYTES, TRIAL
from pyg_hiersmooth.nn.voters.sharded_voter import ShardedVoter
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.linear_input import LinearInput, NotLinearError
from pyg_hiersmooth.sampling.row_selection import RowSelection
from pyg_hiersmooth.sampling.tally import Ballots
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HOLDS_ALL = "the model holds something of all nodes"

TARGETS_OF_PART = 64
r"""Nodes on which, and on whose neighbors, the model of a large graph is tried."""

PART = (2**20,)
r"""Tells the streams of that part from those of neighborhoods."""

AUDITED_AT_ONCE = 4
r"""Neighborhoods that one sample audits."""

MakeVoter = Callable[
    [GraphForward, HierarchicalNodeFeatureNoise, Tensor, Tensor, tuple[int, ...]], ForwardVoter
]


class NeighborhoodVoter(ShardedVoter):
    r"""Puts the votes on several neighborhoods side by side, each with separate streams.

    Args:
        voters (list of ForwardVoter): One per neighborhood.
        nodes (list of torch.Tensor): The nodes of each, int64.
        order (torch.Tensor): Where each target is among those of all voters, int64 ``[M]``.
        trial (Trial): Knows the larger graph that samples are audited on.
    """

    def __init__(
        self, voters: list[ForwardVoter], nodes: list[Tensor], order: Tensor, trial: Trial
    ) -> None:
        super().__init__(voters, order)
        self.nodes, self._trial = nodes, trial
        self._baseline = self._state()

    @property
    def asked(self) -> Tensor:
        numbers = zip(self.nodes, self.voters, strict=True)
        nodes = [nodes[voter.targets.cpu()] for nodes, voter in numbers]
        return torch.cat(nodes)[self.targets.cpu()]

    @property
    def objects(self) -> list[Tensor]:
        return [*super().objects, *self.nodes]

    @property
    def description(self) -> str:
        r"""How many neighborhoods of what sizes there are, in words."""
        sizes = [len(nodes) for nodes in self.nodes]
        some, most = min(sizes), max(sizes)
        between = f"{some}" if some == most else f"{some}-{most}"
        neighborhoods = "1 neighborhood" if len(sizes) == 1 else f"{len(sizes)} neighborhoods"
        targets = "1 target" if self.num_targets == 1 else f"{self.num_targets} targets"
        return f"{neighborhoods} of {between} nodes for {targets}"

    def only(self, positions: Tensor) -> NeighborhoodVoter:
        r"""As :meth:`~pyg_hiersmooth.sampling.Voter.only`; neighborhoods without targets are left
        out, and the rest stay as they are.
        """
        self.verify()
        voters, order = self._left(positions)
        return NeighborhoodVoter(
            list(voters.values()), [self.nodes[number] for number in voters], order, self._trial
        )

    def audit_of(self, number: int, sample: int, ballots: Ballots) -> None:
        r"""Compares with the larger graph, whose other nodes get separate draws; each sample
        audits a few of many neighborhoods.
        """
        if (number + sample) % -(-len(self.voters) // AUDITED_AT_ONCE) == 0:
            voter, nodes = self.voters[number], self.nodes[number]
            larger = self._trial.larger(nodes[voter.targets.cpu()].numpy())
            stream = voter.stream(sample)
            voter.model.audit_among(larger, stream, ballots, voter.targets, nodes, self.tally)

    def verify(self) -> None:
        path = first_difference(self._baseline, self._state())
        if path is not None:
            for voter in self.voters:  # names it
                voter.verify()
            refuse_change(path)

    def _state(self) -> State:
        # All at once, so that what they share is looked at once.
        return state_of(voters=[voter.model.prepared.kept() for voter in self.voters])


@dataclass
class NeighborhoodSampling:
    r"""Plans the neighborhoods of targets, and tries the model on them.

    Args:
        cut (Cut): The graph without its features.
        x (torch.Tensor): Its features ``[N, D]``; only rows of neighborhoods are read.
        check_features (Callable): Checks rows of features, and returns them as the model takes
            them.
        make_voter (Callable): A voter that tries the model on one object, from how it is called,
            the smoothing, features, targets and a path.
        transform (HierarchicalNodeFeatureNoise): The smoothing.
    """

    cut: Cut
    x: Tensor
    check_features: Callable[[Tensor], Tensor]
    make_voter: MakeVoter
    transform: HierarchicalNodeFeatureNoise

    def voter(self, targets: Tensor) -> NeighborhoodVoter:
        r"""Votes on neighborhoods.

        Args:
            targets (torch.Tensor): Target nodes, int64 ``[M]``.

        Raises:
            NotTaken: If the whole graph is better.
            ValueError: If the model looks further than it says, with the number of hops that would
                do.
        """
        distinct, place = targets.unique(return_inverse=True)
        trial: Trial | None = None
        for boundary in BOUNDARIES:
            groups = plan(self.cut.edges, distinct.numpy(), self.cut.num_hops, boundary)
            if groups is None:
                raise NotTaken("cheaper")
            parts = [self.cut.neighborhood(group, boundary) for group in groups]
            try:
                lead = self._lead(parts)
                model = lead.model
                if _holds_all_entities(model.prepared, self.x):
                    raise NotTaken(HOLDS_ALL)
                draw = model.trial_draw(0)
                if not isinstance(draw, LinearInput) and model.prepared.draws_random_numbers(draw):
                    raise NotTaken("the model draws random numbers")
                trial = trial or self._trial(lead, distinct.numpy())
                voters = list(self._voters(lead, trial, parts, groups))
            except NotTaken:
                raise
            except (Exception, NotLinearError):  # shows again on the whole graph, if it is there
                continue
            with model.trying():
                trial.check_hops()
            order = torch.from_numpy(np.concatenate(groups)).argsort()
            return NeighborhoodVoter(voters, [part.nodes for part in parts], order[place], trial)
        if trial is not None:
            trial.check_hops()
        raise NotTaken("the model answers differently on neighborhoods")

    @property
    def is_large(self) -> bool:
        r"""Whether the graph is too large for a model to be tried on all of it."""
        num_bytes = self.cut.edges.num_nodes * self.x.size(1) * self.x.element_size()
        return self.cut.edges.size > MAX_WHOLE or num_bytes > MAX_TRIAL_BYTES

    def tried_on_a_part(self) -> ForwardVoter:
        r"""A voter on a part of the graph, on which the model was tried instead.

        Raises:
            NotTaken: If the model holds something of all nodes.
            ValueError: If the model is refused.
        """
        targets = telling_nodes(self.cut.edges, TARGETS_OF_PART)
        voter = self.make_voter(*self._objects(self.cut.neighborhood(targets, hops=1)), PART)
        if _holds_all_entities(voter.model.whole, self.x):
            raise NotTaken(HOLDS_ALL)
        return voter

    def check_hops(self, voter: ForwardVoter, targets: Tensor) -> None:
        r"""Checks on neighborhoods of a few targets that the model looks no further than it says.

        Args:
            voter (ForwardVoter): Votes of the model.
            targets (torch.Tensor): Target nodes, int64 ``[M]``.
        """
        with voter.model.trying():
            self._trial(voter, targets.unique().numpy()).check_hops()

    def _lead(self, parts: list[Neighborhood]) -> ForwardVoter:
        r"""The voter that the model is tried with, on the smallest neighborhood with edges."""
        sizes = [(part.graph.num_edges == 0, int(part.graph.num_nodes or 0)) for part in parts]
        number = min(range(len(parts)), key=lambda i: sizes[i])
        return self.make_voter(*self._objects(parts[number]), (number,))

    def _voters(
        self,
        lead: ForwardVoter,
        trial: Trial,
        parts: list[Neighborhood],
        groups: list[np.ndarray],
    ) -> Iterator[ForwardVoter]:
        for number, (part, group) in enumerate(zip(parts, groups, strict=True)):
            voter = lead
            if lead.path != (number,):
                voter = lead.elsewhere(*self._objects(part), (number,))
            with voter.model.trying():
                if not trial.passes(voter, part, group):
                    raise ValueError("the model's logits differ from those on a larger graph")
            yield voter

    def _objects(
        self, part: Neighborhood
    ) -> tuple[GraphForward, HierarchicalNodeFeatureNoise, Tensor, Tensor]:
        rows = self._rows(part.nodes)
        rows = part.extended(rows, 0 * rows.index_select(0, torch.zeros_like(part.targets[:1])))
        smoothing = self._smoothing(part.nodes, part.num_ghosts)
        targets = part.targets.to(self.cut.device)
        return self.cut.forward_on(part.graph), smoothing, rows, targets

    def _trial(self, lead: ForwardVoter, targets: np.ndarray) -> Trial:
        cut = self.cut

        def draw_rows(nodes: Tensor, number: int) -> Tensor:
            stream = RandomStream(0, TRIAL, number, device=cut.device)
            return self._smoothing(nodes).prepare(self._rows(nodes))(stream)

        with lead.model.trying():
            kind = WideTrial if self.is_large else WholeTrial
            return kind(cut, lead.model.precise(), targets, draw_rows)

    def _rows(self, nodes: Tensor) -> Tensor:
        return self.check_features(rows_of(self.x, nodes))

    def _smoothing(self, nodes: Tensor, num_ghosts: int = 0) -> HierarchicalNodeFeatureNoise:
        return HierarchicalNodeFeatureNoise(
            RowSelection(self.transform.selection, nodes, self.x.size(0), num_ghosts),
            self.transform.noise,
            self.transform.append_indicator,
        )


def _holds_all_entities(prepared: IsolatedModel, x: Tensor) -> bool:
    r"""Whether a model, or a function that calls it, holds something of the size of all features,
    or with a number for each entity: only beside all clean features can it be told what that is.
    """
    return any(x.size(0) in held.shape or held.numel() == x.numel() for _, held in prepared.held())
