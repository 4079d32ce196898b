r"""Votes on what ablated messages leave around targets, sample by sample.

Where selected nodes are silent, few edges remain, and few steps along these lead to a target. So
each sample draws the selection of all nodes, as on the whole graph, cuts out what is left around
the targets, and calls the model on that.

Keep these invariants:

* The votes are, sample by sample, those on the whole graph, which audits compare with.
* All nodes that a model of so many hops can read are there as themselves, and so are all edges that
  end at them: a degree depends on which senders are silent.
* The model was tried on the whole graph, silent nodes as well, before anything is cut out of it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.private_copy import is_compiled
from pyg_hiersmooth.nn.isolation.probes import shuffled_probe, stretched_probe
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Neighborhood, rows_of
from pyg_hiersmooth.nn.neighborhoods.plan import COST_PER_CALL, MAX_COST_SHARE, cost
from pyg_hiersmooth.nn.neighborhoods.trial import MAX_WHOLE, Cut
from pyg_hiersmooth.nn.voters.audit import Sample
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.checkpoint import fingerprint
from pyg_hiersmooth.sampling.tally import Ballots
from pyg_hiersmooth.transforms.structure_ablation import without_messages

REAL_DRAWS = 2
r"""Draws of the selection that no sample gets, on which the model is compared."""

WIDE, WIDE_DRAWS, MOST_HALVINGS = 2**22, 2, 16
r"""Selections of fewer nodes, on which every step along the edges shows, and what tells their
streams from others; in each, half as many nodes send until most of the graph is out of reach."""

TRIED_ON_THE_WHOLE, FEW_SAMPLES = 10, 500
r"""About how many samples on the whole graph the comparison costs, and fewer samples than most runs
have whose outcomes are not listed."""

MOST_AROUND = 0.25
r"""Most of the nodes that then reach the targets."""


class RemainingVoter(ForwardVoter):
    r"""As a voter on a whole graph, at the cost of what is left around the targets.

    Args:
        whole (ForwardVoter): Votes of a model on the whole graph, with ablated messages.
        cut (Cut): The graph.
        centers (numpy.ndarray, optional): Nodes, the targets among them, that the model gets what
            is left around, int64 ``[K]``. (default: the targets)
    """

    def __init__(self, whole: ForwardVoter, cut: Cut, centers: np.ndarray | None = None) -> None:
        super().__init__(
            whole.model,
            whole.targets,
            whole.num_classes,
            whole.options,
            whole.path,
            whole.among_all,
        )
        self.whole, self.cut, self.block_size = whole, cut, 1
        self.centers = np.unique(self.targets.cpu().numpy()) if centers is None else centers

    @property
    def description(self) -> str:
        r"""How much is left, in words."""
        sizes = [len(self.around(self.real(number)).nodes) for number in range(REAL_DRAWS)]
        few = f"{min(sizes)}" if len(set(sizes)) == 1 else f"{min(sizes)}-{max(sizes)}"
        targets = "1 target" if self.num_targets == 1 else f"{self.num_targets} targets"
        return f"{few} of {self.cut.edges.num_nodes} nodes that are left around {targets}"

    def only(self, positions: Tensor) -> RemainingVoter:
        r"""As :meth:`~pyg_hiersmooth.sampling.Voter.only`: on what is left around fewer targets, if
        the model is seen to answer there as before.
        """
        whole = self.whole.only(positions)
        fewer, before = (RemainingVoter(whole, self.cut, at) for at in (None, self.centers))
        return fewer if fewer._answers_as(before) else before

    def audit(self, sample: int, ballots: Ballots) -> None:
        stream, way = self.stream(sample), "neighborhoods (pass num_hops=None)"
        self.model.audit(stream, ballots, self.among_all, self.tally, [way])

    def real(self, number: int) -> Tensor:
        r"""A draw of the selection that no sample gets, bool ``[N]``."""
        return self.model.source.select(self.model.trial_stream(number))

    def around(self, selected: Tensor) -> Neighborhood:
        r"""What is left around the centers."""
        return self.cut.remaining(self.centers, selected)

    def answer_to(self, selected: Tensor, stream: RandomStream, prepared: IsolatedModel) -> Tensor:
        r"""Logits of the targets, ``[M, C]``, where some nodes are selected, bool ``[N]``."""
        model, left = self.model, self.around(selected)
        selected = selected.to(self.device)[left.nodes.to(self.device)]
        features = model.transform.prepare_given(rows_of(model.x, left.nodes))(selected, stream)
        place = left.targets[np.searchsorted(self.centers, self.targets.cpu().numpy())]
        return _answer(prepared, left, features, stream)[place.to(self.device)]

    def _answers_as(self, other: RemainingVoter) -> bool:
        r"""Whether another voter on the same targets, around more, gets the same logits."""
        if len(self.centers) == len(other.centers):
            return True
        stream = self.model.trial_stream(0)
        selections = [self.real(number) for number in range(REAL_DRAWS)]
        with self.model.trying():
            precise = self.model.precise()
            try:
                for selected in (*selections, around_alone(self.cut.edges, self.centers)):
                    own, others = (
                        each.answer_to(selected, stream, precise) for each in (self, other)
                    )
                    if not logits_match(own, others):
                        return False
                return True
            except (MemoryError, torch.cuda.OutOfMemoryError):
                raise
            except Exception:  # a model may fail on few nodes
                return False

    def _logits(self, samples: range) -> Tensor:
        streams, model = [self.stream(sample) for sample in samples], self.model
        selections = [model.source.select(stream) for stream in streams]
        asked = zip(selections, streams, strict=True)
        return torch.stack([self.answer_to(*each, model.prepared) for each in asked])


def remaining_voter(whole: ForwardVoter, cut: Cut) -> RemainingVoter:
    r"""Votes on what is left around targets, where that is cheaper and the model answers the same.

    Args:
        whole (ForwardVoter): Votes of a model on the whole graph, with ablated messages.
        cut (Cut): The graph.

    Raises:
        NotTaken: If the whole graph is better.
    """
    voter, model = RemainingVoter(whole, cut), whole.model
    if not model.transform.noise.deterministic:
        raise NotTaken("features get noise as well")
    if is_compiled(model.prepared.model):
        raise NotTaken("the model is compiled")
    if not model.dense_fits:
        raise NotTaken("its features are too large to try the model on")
    tried = cut.num_hops, f"left around {fingerprint(whole.targets)}"
    with model.trying():
        try:
            _check_cost(voter)
            same = tried in model.hops_tried or _answers_the_same(voter, model.trial_draw(0))
        except (NotTaken, MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception:  # a model may take the whole graph alone
            same = False
    if not same:
        raise NotTaken("the model answers differently on neighborhoods")
    model.hops_tried.add(tried)
    return voter


def _answers_the_same(voter: RemainingVoter, draw: Tensor) -> bool:
    r"""Whether the logits of targets are those on the whole graph, whatever the features further
    away are than the model looks, and whether it keeps nothing of how many nodes there are.
    """
    model, cut, precise = voter.model, voter.cut, voter.model.precise()
    targets, stream = voter.centers, model.trial_stream(0)
    graph = without_messages(model.prepared.forward.copies_of(1), voter.real(0))
    if model.prepared.draws_random_numbers(draw, graph):
        raise NotTaken("the model draws random numbers")
    prepared = precise.sharing(precise.forward)
    Sample(0, stream.seed(), draw, graph).answer(prepared)
    prepared.watch()

    def same(selected: Tensor, of: np.ndarray, is_far_changed: bool = False) -> bool:
        x, left = draw, cut.remaining(of, selected)
        if model.transform.append_indicator:
            x = torch.cat([x[:, :-1], selected.view(-1, 1).to(x)], dim=1)
        at = left.targets.to(x.device)
        found = _answer(prepared, left, x[left.nodes.to(x.device)], stream)[at]
        prepared.verify()
        if is_far_changed:
            near = cut.edges.field(of, cut.num_hops, _sending(selected)).nodes
            rows = torch.from_numpy(near).to(x.device)
            x = stretched_probe(shuffled_probe(x, 0)).index_copy(0, rows, x[rows])
        graph = without_messages(prepared.forward.copies_of(1), selected)
        logits = Sample(0, stream.seed(), x, graph).answer(prepared)
        return logits_match(found, logits[torch.from_numpy(of).to(logits.device)], logits)

    if not all(same(voter.real(number), targets) for number in range(REAL_DRAWS)):
        return False
    for some in (targets, targets[:1]):
        if not same(around_alone(cut.edges, some).to(draw.device), some):
            return False
    for seed in range(WIDE_DRAWS):
        selected = _reaching_far(voter, seed)
        if not (same(selected, targets) and same(selected, targets, is_far_changed=True)):
            return False
    return True


def around_alone(edges: CSC, targets: np.ndarray) -> Tensor:
    r"""A selection that leaves no edges to some targets, but others: bool ``[N]``."""
    selected = torch.zeros(edges.num_nodes, dtype=torch.bool)
    selected[torch.from_numpy(edges.source[edges.ending_at(targets)])] = True
    return selected


def _reaching_far(voter: RemainingVoter, seed: int) -> Tensor:
    r"""A selection of so few nodes that much reaches the targets, and yet most of the graph does
    not: bool ``[N]``.
    """
    edges = voter.cut.edges
    draw = RandomStream(seed, WIDE, device=voter.device).uniform(edges.num_nodes)
    for halvings in range(MOST_HALVINGS):
        selected = draw > 0.5**halvings
        num_edges = int(_sending(selected)[edges.source].sum())
        fits = num_edges + edges.num_nodes <= max(MAX_WHOLE, 2 * edges.num_nodes)
        if fits and len(voter.around(selected).nodes) <= MOST_AROUND * edges.num_nodes:
            break
    return selected


def _sending(selected: Tensor) -> np.ndarray:
    sends: np.ndarray = ~selected.cpu().numpy()
    return sends


def _check_cost(voter: RemainingVoter) -> None:
    r"""Raises :class:`NotTaken` if all samples cost about as much on the whole graph."""
    edges, own, whole = voter.cut.edges, 0.0, 0.0
    for number in range(REAL_DRAWS):
        selected = voter.real(number)
        num_left = int(_sending(selected)[edges.source].sum())
        own += 2 * COST_PER_CALL + voter.around(selected).size
        whole += cost(edges.num_nodes, edges.num_nodes + num_left)
    num_samples = voter.options.num_outcomes or FEW_SAMPLES
    own += TRIED_ON_THE_WHOLE * whole / num_samples
    if own >= MAX_COST_SHARE * whole:
        raise NotTaken("cheaper")


def _answer(
    prepared: IsolatedModel, left: Neighborhood, features: Tensor, stream: RandomStream
) -> Tensor:
    r"""Logits of all that is left, ``[n, C]``."""
    graph = left.graph.to(features.device)
    logits = Sample(0, stream.seed(), features, graph).answer(prepared)
    if logits.dim() != 2 or len(logits) != len(left.nodes):
        raise ValueError(f"the model returned logits of shape {list(logits.shape)}")
    return logits
