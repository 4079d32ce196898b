from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.attacks.attack_result import AttackResult
from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.attacked_node import EXTREME, NUM_DONORS, AttackedNode
from pyg_hiersmooth.attacks.changes import Changes
from pyg_hiersmooth.attacks.edges import edge_attacks
from pyg_hiersmooth.attacks.features import feature_attacks
from pyg_hiersmooth.attacks.plain_votes import PlainVotes
from pyg_hiersmooth.attacks.takeovers import takeovers
from pyg_hiersmooth.certificates import Certificate, certify_counts, certify_votes
from pyg_hiersmooth.certificates.checks import changed_within, check_count
from pyg_hiersmooth.certificates.set_checks import same
from pyg_hiersmooth.errors import ContradictionError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index

ERROR = 1e-6
r"""Error probability of the certificate of an attacked graph, where votes are sampled."""

ATTACKS = {"features": feature_attacks, "messages": takeovers, "edges": edge_attacks}
r"""By what gets noise, the attempts on a node."""


class SmoothedAttack:
    r"""Attacks on smoothed node classifiers, within the threats of their certificates: bounds on
    the worst case from above, where certificates bound it from below.

    Each node is attacked on a separate graph, up to :obj:`num_restarts` times until its
    prediction falls. What an attempt is depends on what gets noise:

    * features: of :obj:`r` nodes among those that reach the node, within the budget
      (:func:`~pyg_hiersmooth.attacks.features.feature_attacks`);
    * messages: :obj:`r` other nodes are taken over or added, and wired to the node
      (:func:`~pyg_hiersmooth.attacks.takeovers.takeovers`);
    * edges: :obj:`r` of them are added or removed
      (:func:`~pyg_hiersmooth.attacks.edges.edge_attacks`).

    The search is cheap and may err; what counts are the votes on the attacked graph
    (:class:`~pyg_hiersmooth.attacks.plain_votes.PlainVotes`): all of them where they are listed,
    and :obj:`num_samples` where they are drawn, and as many fresh ones before a node counts as
    fallen. So a node that fell has fallen, up to the sampling error of these votes, and one that
    did not may fall to a stronger attack.

    Args:
        smoothed (SmoothedNodeClassifier): The smoothed classifier, of noise on nodes or on edges.
        num_restarts (int): Most attempts on a node. (default: :obj:`4`)
        num_samples (int): Votes that judge an attempt, where votes are drawn.
            (default: :obj:`1_000`)
        seed (int): Non-negative seed of the search and of these votes. (default: :obj:`0`)

    Raises:
        TypeError: If :obj:`smoothed` classifies no nodes.
        ValueError: If it has transforms before the noise, node types, attributes to keep, or noise
            on nodes and edges both; or if a number is out of range.

    Example:
        >>> attack = SmoothedAttack(smoothed)
        >>> result = attack(data, certificate, r=3)
        >>> certificate.certified_accuracy(y, r=3) <= result.accuracy(y)
        True
    """

    def __init__(
        self,
        smoothed: SmoothedNodeClassifier,
        num_restarts: int = 4,
        num_samples: int = 1_000,
        seed: int = 0,
    ) -> None:
        self.model = AttackedModel(smoothed)
        self.num_restarts = check_count("num_restarts", num_restarts, 1)
        self.num_samples = check_count("num_samples", num_samples, 1)
        self.seed = check_count("seed", seed, 0)

    def __call__(
        self,
        data: Data,
        certificate: Certificate,
        r: int | None = None,
        node_index: ArrayLike | Tensor | None = None,
        *,
        only: str | None = None,
        progress: bool = True,
        **budget: Any,
    ) -> AttackResult:
        r"""Attacks nodes, one by one.

        Args:
            data (Data): The clean graph, with ``x`` and ``edge_index``.
            certificate (Certificate): The certificate of :obj:`smoothed` on it.
            r (int, optional): Most entities that change; :obj:`None` means as many as a budget of
                additions and deletions allows. (default: :obj:`None`)
            node_index (torch.Tensor, optional): Mask or indices of nodes of the certificate.
                (default: all of them)
            only (str, optional): ``"new_nodes"`` for nodes that are added and nothing else, as in
                :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`. (default: :obj:`None`)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            **budget: ``eps``, ``additions`` and ``deletions``, or nothing, as there.

        Returns:
            AttackResult: For these nodes, in their order.

        Raises:
            ContradictionError: If a certified prediction falls, and the certificate of the attacked
                graph is of another class. It holds the result so far, with the attacked graph.
            TypeError: If :obj:`data` is no ``Data``, or the budget not the noise's.
            ValueError: If the certificate is not that of the classifier, is not about a node, or
                the graph or the budget are out of order.
        """
        graph = self.model.graph(data)
        self._check(certificate, graph)
        asked = dict(budget)
        certified = certificate.is_robust(r, only=only, **budget)
        noise = certificate.noise
        r = changed_within(noise, budget) if r is None else check_count("r", r)
        budget = noise.check_budget(**budget)
        donors = self._donors(graph)
        positions = _positions(certificate, node_index, len(graph.x))
        masks, attempts = certificate.mask_predictions, []
        for position in tqdm(positions, desc="Attacks", disable=not progress):
            prediction = int(certificate.prediction[position])
            node = AttackedNode(
                model=self.model,
                graph=graph,
                node=int(certificate.index[position]),
                prediction=prediction,
                rivals=self._rivals(certificate, position),
                outcomes=None if masks is None else masks[position],
                r=r,
                budget=budget,
                only_new=only is not None,
                donors=donors,
                seed=self.seed,
            )
            idle = prediction < 0 or noise.changes_nothing(r, **budget)
            attempt = self._untouched(node) if idle else self._attack(node, certificate)
            contradicted = bool(certified[position]) and self._contradicts(
                node, attempt, certificate
            )
            attempts.append((attempt, contradicted))
            if contradicted:
                break
        done = positions[: len(attempts)]
        result = AttackResult(
            threat=certificate.threat,
            budget={"r": r, **asked, **({} if only is None else {"only": only})},
            index=certificate.index[done],
            prediction=certificate.prediction[done],
            certified=certified[done],
            fallen=np.array([attempt.lead < 0 for attempt, _ in attempts], dtype=bool),
            contradicted=np.array([found for _, found in attempts], dtype=bool),
            votes=np.stack([attempt.votes for attempt, _ in attempts]),
            graph=graph,
            changes=[attempt.changes for attempt, _ in attempts],
        )
        if result.contradicted.any():
            raise ContradictionError(_sentence(result, certificate), result)
        return result

    def _attack(self, node: AttackedNode, certificate: Certificate) -> _Attempt:
        r"""The first attempt by which a node falls, or the one that leaves the smallest lead."""
        attempts = self._attempts(node, certificate)
        best = next(attempts)
        while best.lead >= 0 and (attempt := next(attempts, None)) is not None:
            best = min(best, attempt, key=lambda each: each.lead)
        return best

    def _attempts(self, node: AttackedNode, certificate: Certificate) -> Iterator[_Attempt]:
        for changes in islice(ATTACKS[certificate.noise.of](node), self.num_restarts):
            attempt = self._judged(node, changes, certificate, 1)
            if attempt.lead < 0 and not self.model.exact:  # chosen for these votes: ask others
                attempt = self._judged(node, changes, certificate, 2)
            yield attempt

    def _judged(
        self, node: AttackedNode, changes: Changes, certificate: Certificate, purpose: int
    ) -> _Attempt:
        r"""An attempt with votes of one purpose; each purpose has separate draws."""
        votes = self._count(node, changes, purpose)
        return _Attempt(changes, votes, self._lead(votes, node.prediction, certificate))

    def _untouched(self, node: AttackedNode) -> _Attempt:
        votes = np.zeros(self.model.smoothed.num_classes, dtype=np.int64)
        return _Attempt(Changes.of(node.graph), votes, 0)

    def _count(self, node: AttackedNode, changes: Changes, purpose: int) -> np.ndarray:
        r"""Votes for the node on its attacked graph, int64 ``[C]``."""
        selection = self.model.smoothed.smoothing.selection
        number = selection.num_outcomes() if self.model.exact else self.num_samples
        attacked = changes.applied(node.graph)
        return PlainVotes(self.model, attacked, node.node, self.seed, purpose).count(
            range(number or 0)
        )

    def _lead(self, votes: np.ndarray, prediction: int, certificate: Certificate) -> int:
        r"""Votes by which a class is ahead; of listed votes, a tie counts as one behind."""
        others = np.delete(votes, prediction)
        rival = others.sum() if certificate.kind == "binary" else others.max()
        return int(votes[prediction] - rival) - int(self.model.exact)

    def _contradicts(self, node: AttackedNode, attempt: _Attempt, certificate: Certificate) -> bool:
        r"""Whether the certificate of the attacked graph is not the one of the clean graph: of
        listed votes, it has another class, or none; of fresh ones, it has another class.
        """
        if attempt.lead >= 0:
            return False
        smoothing, kind = self.model.smoothed.smoothing, certificate.kind
        if self.model.exact:
            attacked = certify_counts(smoothing, attempt.votes[None], kind)
            return int(attacked.prediction[0]) != node.prediction
        num_nodes = len(attempt.changes.applied(node.graph).x)
        attacked = certify_votes(
            smoothing,
            attempt.votes[None],
            self._count(node, attempt.changes, 3)[None],
            ERROR,
            kind,
            num_entities=None if certificate.noise.changes_pairs else num_nodes,
        )
        return int(attacked.prediction[0]) not in (-1, node.prediction)

    def _rivals(self, certificate: Certificate, position: int) -> list[int]:
        r"""The other classes, those with most votes first."""
        votes = np.zeros(self.model.smoothed.num_classes, dtype=np.int64)
        if certificate.votes is not None:
            votes = certificate.votes[position]
        order = (-votes).argsort(kind="stable").tolist()
        return [rival for rival in order if rival != certificate.prediction[position]]

    @torch.no_grad()
    def _donors(self, graph: Data) -> Tensor:
        r"""Nodes that speak most for each class if nothing but their features is known, int64
        ``[C, NUM_DONORS]`` at most; where features may be anything, if they are sent to an extreme.
        """
        noise = self.model.smoothed.smoothing.noise
        scale = EXTREME if not noise.axes and noise.of != "edges" else 1.0
        logits = self.model(self.model.unselected(graph.x * scale), graph.edge_index[:, :0])
        return logits.log_softmax(1).topk(min(NUM_DONORS, len(logits)), dim=0).indices.t()

    def _check(self, certificate: Certificate, graph: Data) -> None:
        smoothing = self.model.smoothed.smoothing
        for name in ("selection", "noise"):
            ours, theirs = getattr(smoothing, name), getattr(certificate, name)
            if not same(ours, theirs):
                raise ValueError(f"'certificate' must be one for {ours} (got one for {theirs})")
        size, index, sizes = len(graph.x), certificate.index, certificate.num_entities
        of_another = sizes is not None and not certificate.noise.changes_pairs and (sizes != size)
        if len(index) == 0 or index.min() < 0 or index.max() >= size or np.any(of_another):
            raise ValueError(
                f"'certificate' must be about nodes of 'data', which has {size} (got one of other "
                "nodes, or none)"
            )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.model.smoothed.smoothing.noise}, "
            f"num_restarts={self.num_restarts}, num_samples={self.num_samples}, seed={self.seed})"
        )


class _Attempt(NamedTuple):
    r"""What was changed, the votes then, and by how many the class that is to lose is ahead."""

    changes: Changes
    votes: np.ndarray
    lead: int


def _positions(
    certificate: Certificate, node_index: ArrayLike | Tensor | None, num_nodes: int
) -> np.ndarray:
    r"""Where nodes are in a certificate, int64 ``[M]``."""
    if node_index is None:
        return np.arange(len(certificate))
    places = {node: place for place, node in enumerate(certificate.index.tolist())}
    nodes = as_target_index(node_index, num_nodes, "node").tolist()
    missing = [node for node in nodes if node not in places]
    if missing:
        raise ValueError(f"'node_index' must name nodes of 'certificate' (got {missing[0]})")
    return np.array([places[node] for node in nodes])


def _sentence(result: AttackResult, certificate: Certificate) -> str:
    budget = ", ".join(f"{name}={value}" for name, value in result.budget.items())
    sure = (
        "both were made of all outcomes"
        if certificate.exact
        else f"the certificate errs with probability {certificate.alpha}, that of the attacked "
        f"graph with probability {ERROR}"
    )
    return (
        f"node {result.index[-1]} was certified as class {result.prediction[-1]} against "
        f"{budget}, and an attack within that changed it ({sure}): 'error.result' holds the "
        "attacked graph"
    )
