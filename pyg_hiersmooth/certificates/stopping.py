r"""Questions about robustness, and when votes have answered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.certificate import Certificate, Smoothing
from pyg_hiersmooth.certificates.checks import check_count, check_integers
from pyg_hiersmooth.certificates.confidence_sequences import (
    bounds_at,
    level_of_each,
    most_favorable,
)
from pyg_hiersmooth.certificates.new_nodes import check_only
from pyg_hiersmooth.certificates.vote_bounds import VoteBounds
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.noise import Noise

Question = Mapping[str, Any]
r"""An adversary in the words of :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`, such as
``{"r": 1, "deletions": 5}`` or ``{"r": 5, "only": "new_nodes"}``: is the prediction robust against
it?
"""


def check_questions(noise: Noise, until: Question | Sequence[Question]) -> list[dict[str, Any]]:
    r"""Questions that a certificate for a noise can answer, as a list.

    Args:
        noise (Noise): The lower level.
        until (dict or list of dict): A question, or several.

    Raises:
        TypeError: If they are no questions, or one has a budget that does not belong to the noise.
        ValueError: If there are none, or one allows no change, or a number is out of range.
    """
    if isinstance(until, str) or not isinstance(until, Mapping | Sequence):
        raise TypeError(
            "'until' must be a question such as {'r': 1}, or a list of them "
            f"(got {type(until).__name__})"
        )
    listed = [until] if isinstance(until, Mapping) else list(until)
    if not listed:
        raise ValueError("'until' must hold at least one question (got none)")
    return [_check_question(noise, question) for question in listed]


def _check_question(noise: Noise, question: Question) -> dict[str, Any]:
    if not isinstance(question, Mapping):
        raise TypeError(
            "a question of 'until' must be a dict such as {'r': 1} "
            f"(got {type(question).__name__})"
        )
    if "r" not in question:
        raise TypeError(f"a question of 'until' needs 'r' (got {dict(question)})")
    budget = {str(name): value for name, value in question.items() if name != "r"}
    named: dict[str, Any] = {}
    if "only" in budget:
        named["only"] = check_only(noise, budget.pop("only"))
    if noise.norm is not None and "norm" in budget:
        named["norm"] = budget.pop("norm")
    r = check_count("r", question["r"])
    budget = noise.check_budget(**budget)
    if noise.changes_nothing(r, **budget):
        raise ValueError(
            "a question of 'until' must allow the adversary a change: nothing changed never alters "
            f"a prediction (got {dict(question)})"
        )
    return {"r": r, **budget, **named}


class StoppingRule:
    r"""Tells which objects have answers to all questions, from votes whose number may differ from
    object to object.

    A question is answered *yes* where the bounds that hold at all numbers of votes
    (:func:`~pyg_hiersmooth.certificates.anytime_bounds`) certify it, and *no* where even the most
    favorable values within the bounds would not certify any class.

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing: a selection and a noise.
        until (dict or list of dict): The questions; an object is done when all are answered.
        num_objects (int): Number :math:`M` of objects.
        num_classes (int): Number :math:`C` of classes.
        alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        simultaneous (bool): Whether the bounds hold for all objects at once.
            (default: :obj:`False`)
        num_entities (array_like, optional): As in
            :meth:`~pyg_hiersmooth.certificates.Certificate.from_bounds`. (default: :obj:`None`)
        num_features (int, optional): As there. (default: :obj:`None`)

    Raises:
        TypeError, ValueError: As :func:`check_questions` and
            :func:`~pyg_hiersmooth.certificates.anytime_bounds`; or if a question needs
            :obj:`num_entities` or :obj:`num_features`.
    """

    def __init__(
        self,
        transform: Smoothing,
        until: Question | Sequence[Question],
        num_objects: int,
        num_classes: int,
        alpha: float = 0.01,
        kind: Kind = "multiclass",
        *,
        simultaneous: bool = False,
        num_entities: ArrayLike | None = None,
        num_features: int | None = None,
    ) -> None:
        self.transform, self.kind, self.num_features = transform, kind, num_features
        self.questions = check_questions(transform.noise, until)
        self.num_entities = None
        if num_entities is not None:
            each = np.broadcast_to(num_entities, num_objects)
            self.num_entities = check_integers("num_entities", each, num_objects, least=1)
        self.level = level_of_each(alpha, kind, num_classes, num_objects if simultaneous else 1)
        one_vote = np.eye(1, num_classes, dtype=np.int64).repeat(num_objects, axis=0)
        self.answered(one_vote, np.arange(num_objects))  # says before sampling what would fail

    def answered(self, votes: ArrayLike, objects: ArrayLike) -> np.ndarray:
        r"""Whether all questions about objects are answered.

        Args:
            votes (array_like): Their votes so far, at least one each, integers ``[K, C]``.
            objects (array_like): Which of the objects these are, integers ``[K]``.

        Returns:
            numpy.ndarray: bool ``[K]``.
        """
        votes, objects = np.asarray(votes), np.asarray(objects)
        certified = self._robust(bounds_at(votes, self.level, self.kind), objects)
        return (certified | ~self.possible(votes, objects)).all(axis=0)

    def possible(self, votes: ArrayLike, objects: ArrayLike) -> np.ndarray:
        r"""Whether objects may still be certified, by values within the bounds.

        Args:
            votes, objects: As in :meth:`answered`.

        Returns:
            numpy.ndarray: bool ``[Q, K]``, one row a question.
        """
        favorable = most_favorable(np.asarray(votes), self.level, self.kind)
        return self._robust(favorable, np.asarray(objects))

    def _robust(self, bounds: VoteBounds, objects: np.ndarray) -> np.ndarray:
        r"""What values of vote probabilities certify, bool ``[questions, K]``."""
        certificate = Certificate.from_bounds(
            self.transform,
            *bounds,
            self.kind,
            num_entities=None if self.num_entities is None else self.num_entities[objects],
            num_features=self.num_features,
        )
        return np.stack([certificate.is_robust(**question) for question in self.questions])
