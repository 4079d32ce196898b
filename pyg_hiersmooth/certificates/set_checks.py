r"""Checks of the votes, objects and labels that prediction sets are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.ballots import Ballots
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.checks import check_integers
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection
from pyg_hiersmooth.serialization import to_dict

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.prediction_sets import PredictionSets


def check_labels(y: ArrayLike, ballots: Ballots) -> np.ndarray:
    r"""Labels of the objects, integers ``[M]`` in ``[0, C)``, as int64 ``[M]``."""
    labels = check_integers("y", y, len(ballots.counts))
    wrong = labels[(labels < 0) | (labels >= ballots.num_classes)]
    if wrong.size:
        raise ValueError(f"'y' must hold classes in [0, {ballots.num_classes}) (got {wrong[0]})")
    return labels


def check_once(certificate: Certificate, ballots: Ballots) -> None:
    r"""Refuses calibration objects that come twice, or took different numbers of samples."""
    if len(np.unique(certificate.index)) < len(certificate.index):
        raise ValueError("'certificate' must hold each calibration object once (got one twice)")
    if not ballots.anytime and len(np.unique(ballots.trials)) > 1:
        raise ValueError(
            "'certificate' must hold equally many samples of each calibration object (got "
            f"{ballots.trials.min()} to {ballots.trials.max()})"
        )


def check_same_ballots(sets: PredictionSets, certificate: Certificate) -> None:
    r"""Refuses votes under another smoothing than the calibration's, or counted otherwise."""
    for name in ("selection", "noise"):
        ours, theirs = getattr(sets, name), getattr(certificate, name)
        if not same(ours, theirs):
            raise ValueError(
                f"'certificate' must have the smoothing of the calibration, {ours} (got {theirs})"
            )
    if sets.entities not in (None, certificate.entities):
        raise ValueError(
            f"'certificate' must be about {sets.entities}, as in calibration (got "
            f"{certificate.entities})"
        )
    ballots = Ballots.of(certificate)
    if ballots.exact != sets.exact:
        kinds = {True: "exact", False: "sampled"}
        raise ValueError(
            f"'certificate' must hold {kinds[sets.exact]} votes, as in calibration (got "
            f"{kinds[ballots.exact]} ones)"
        )
    if certificate.approve != sets.approve:
        raise ValueError(
            f"'certificate' must count ballots as in calibration, with approve={sets.approve} "
            f"(got approve={certificate.approve})"
        )
    if ballots.num_classes != sets.num_classes:
        raise ValueError(
            f"'certificate' must be about the {sets.num_classes} classes of the calibration "
            f"(got {ballots.num_classes})"
        )


def check_unused(sets: PredictionSets, index: np.ndarray) -> None:
    r"""Refuses objects that calibration or a choice before it used, or that are no test objects."""
    check_apart(index, sets.index, "calibration used")
    if sets.chosen_index is not None:
        check_apart(index, sets.chosen_index, "the choice of 'approve' used")
    if sets.test_index is not None:
        check_among(index, sets.test_index, "test")


def check_apart(index: np.ndarray, used: np.ndarray, told: str) -> None:
    r"""Refuses objects that were used; :obj:`told` says for what."""
    both = np.intersect1d(index, used)
    if both.size:
        raise ValueError(
            f"'certificate' must be about other objects than {told} (got {both.size} of them, such "
            f"as {both[0]}; give objects of another dataset other numbers in its 'index')"
        )


def check_among(index: np.ndarray, allowed: ArrayLike, part: str) -> None:
    r"""Refuses objects that are not of a part of the split."""
    others = np.setdiff1d(index, np.asarray(allowed))
    if others.size:
        raise ValueError(
            f"'certificate' must be about objects of the split's '{part}_index', the others are "
            f"not exchangeable with those (got {others.size} others, such as {others[0]})"
        )


def same(ours: Selection | Noise, theirs: Selection | Noise) -> bool:
    r"""Whether two selections or noises are known to be the same."""
    try:
        return ours is theirs or to_dict(ours) == to_dict(theirs)
    except ValueError:  # of a kind that cannot be compared: not known to be the same
        return False
