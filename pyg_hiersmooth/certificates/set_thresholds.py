r"""From the clean threshold of prediction sets to the one that holds after an attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyg_hiersmooth.certificates import robustness
from pyg_hiersmooth.certificates.checks import changed_within, check_count
from pyg_hiersmooth.certificates.new_nodes import check_independent, check_only
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection


@dataclass(frozen=True)
class Attack:
    r"""An adversary against a noise, checked.

    Attributes:
        r (int): Most entities that change, no more than the budget reaches.
        strength (dict): The budget, all of it; empty where nothing was said and nothing changes.
        norm (str or None): The norm of a distance; :obj:`None` means the noise's own.
        new_nodes (bool): Whether nodes are added and nothing else changes.
        nothing (bool): Whether there is nothing to do.
    """

    r: int
    strength: dict[str, Any]
    norm: str | None
    new_nodes: bool
    nothing: bool

    @classmethod
    def of(cls, noise: Noise, r: int | None, budget: Mapping[str, Any]) -> Attack:
        r"""The adversary that a budget, as in
        :meth:`~pyg_hiersmooth.certificates.PredictionSets.sets`, describes.

        Raises:
            TypeError: If a budget does not belong to the noise, or is missing.
            ValueError: If it is no number of its kind.
        """
        left = dict(budget)
        only = left.pop("only", None)
        if only is not None:
            check_only(noise, only)
        if r is None:
            r = changed_within(noise, left) if left or only is not None else 0
        r = check_count("r", r)
        norm = left.pop("norm", None) if noise.norm is not None else None
        if r == 0 and not left:
            return cls(0, {}, None, only is not None, nothing=True)
        strength = noise.check_budget(**left)
        nothing = noise.changes_nothing(r, **strength)
        reached = int(min(r, noise.reach(**strength)))
        return cls(reached, strength, norm, only is not None, nothing)


def thresholds(
    selection: Selection,
    noise: Noise,
    clean: np.ndarray,
    attack: Attack,
    num_entities: int | np.ndarray | None = None,
    num_features: int | None = None,
    *,
    exact: bool,
) -> np.ndarray:
    r"""What a class must reach after an attack, if it reached :obj:`clean` before.

    Of exact votes, those of the outcomes that see an attacked entity may be lost,
    :math:`v - h(r)`. Of a probability :math:`p`, the theorem leaves
    :math:`q L((p - (1 - q)) / q)` (:func:`~pyg_hiersmooth.certificates.robustness.worst_case`), and
    :math:`q p` where nodes are only added: while all of them are selected, which is independent of
    all else, none of them sends anything
    (:func:`~pyg_hiersmooth.certificates.new_nodes.robust_to_new_nodes`).

    Args:
        selection (Selection): The upper level.
        noise (Noise): The lower level.
        clean (numpy.ndarray): Clean thresholds, votes (int64) if exact, else float64: ``[1]``, or
            ``[C]`` of each class.
        attack (Attack): The adversary.
        num_entities (int or numpy.ndarray, optional): Entities of all objects or of each, ``[M]``.
            (default: many)
        num_features (int, optional): Features of an entity; needed for a distance in another norm.
            (default: :obj:`None`)
        exact (bool): Whether they are votes.

    Returns:
        numpy.ndarray: ``[1 or M, 1 or C]``, of the dtype of :obj:`clean`.

    Raises:
        ValueError: If a number is needed and not known, or new nodes need another selection.
    """
    if not noise.fixes_graph:  # entities may be added, so r may exceed their number
        num_entities = None
    entities = None if num_entities is None else np.atleast_1d(num_entities)[:, None]
    if exact:
        return np.atleast_2d(clean - selection.num_exposing(attack.r, entities))
    clean = clean[None, :]
    if attack.nothing:
        return clean - robustness.MARGIN
    strength = attack.strength
    if noise.norm is not None:
        changed = attack.r if entities is None else np.minimum(attack.r, entities)
        scale = robustness.distance_scale(noise.norm, attack.norm, changed, num_features)
        strength = {name: distance * scale for name, distance in strength.items()}
    present = None if num_entities is None else np.atleast_1d(num_entities)
    q = np.atleast_1d(selection.prob_all_selected(attack.r, present))[:, None]
    if attack.new_nodes:
        check_independent(selection)
        return q * clean - robustness.MARGIN
    return robustness.worst_case(noise, clean, q, **strength)
