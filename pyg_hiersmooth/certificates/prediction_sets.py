r"""Sets of classes that hold the right one with a stated probability, also after an attack."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import robustness, sets_on_disk
from pyg_hiersmooth.certificates.ballots import Ballots
from pyg_hiersmooth.certificates.calibration import ETA, allowed_error, calibrated_thresholds
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.checks import check_count, check_integers
from pyg_hiersmooth.certificates.views.explanation import html_table
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection
from pyg_hiersmooth.serialization import to_dict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGED = (0, 1, 2, 3, 5)
r"""Numbers of changed entities that a table shows."""


class Chosen(Protocol):
    r"""How ballots were chosen: an :class:`~pyg_hiersmooth.certificates.ApprovalChoice`."""

    @property
    def approve(self) -> float | None:
        r"""The probability from which on a class is approved."""

    @property
    def index(self) -> np.ndarray:
        r"""The objects that it was chosen on, int64 ``[K]``."""


class CalibrationSplit(Protocol):
    r"""What a model was not trained on, such as a :class:`~pyg_hiersmooth.datasets.NodeSplit`."""

    @property
    def calibration_index(self) -> Any:
        r"""The calibration objects, int64 ``[n]``."""

    @property
    def test_index(self) -> Any:
        r"""The test objects, int64 ``[M]``."""


@dataclass(frozen=True, eq=False, repr=False)
class PredictionSets:
    r"""Sets of classes that hold the right one with at least the stated probability, whatever an
    adversary does within budget.

    Made by :meth:`calibrate`, from votes on clean objects with known labels. The score of a class
    is its vote probability. If :math:`a` is the :math:`\lfloor \alpha (n + 1) \rfloor`-th smallest
    score of the right class over :math:`n` calibration objects, then the score of the right class
    of a test object is at least :math:`a` with probability :math:`1 - \alpha` (split conformal
    prediction: Vovk, Gammerman & Shafer 2005). An attack leaves at least :math:`c(a)` of it, the
    bound that certificates rest on, so the classes that reach :math:`c(a)` *after* an attack hold
    the right one whenever those that reach :math:`a` before it do (for flat smoothing: Zargarbashi
    & Bojchevski, ICLR 2025, *Robust Conformal Prediction with a Single Binary Certificate*).

    **Exact** votes are compared as whole numbers, :math:`v_y \ge v_a - h(r)`, where
    :math:`h(r)` outcomes at most see an attacked entity. For **sampled** votes, :math:`a` is made
    of lower bounds of the calibration scores, upper bounds of a test object's scores are compared
    with it, and the probability :math:`\eta` that the bounds fail is taken off :math:`\alpha`.

    **What the probability is over**: the random choice of the calibration and the test objects
    among all objects that the model and the choice of ballots did not see (and the samples). It is
    about an average test object: see ``class_conditional`` for one of each class.

    **What is not covered**: an attack on the calibration objects' votes or labels (calibrate before
    any attack); an adversary who knows the seed of the test object's samples before attacking
    (exact votes have none).

    Attributes:
        selection (Selection): The upper level.
        noise (Noise): The lower level.
        nominal (float): The probability that a set holds the right class, at least.
        eta (float): The probability that bounds on sampled votes fail; 0 if :attr:`exact`.
        clean_threshold (numpy.ndarray): :math:`a`, of all classes, ``[1]``, or of each, ``[C]``:
            votes (int64) if exact, else shares of votes (float64).
        num_classes (int): Number :math:`C` of classes.
        num_outcomes (int or None): Outcomes of the smoothing, if exact.
        approve (float or None): The probability from which on a sample approves a class;
            :obj:`None` for votes.
        index (numpy.ndarray): The calibration objects, int64 ``[n]``.
        chosen_index (numpy.ndarray or None): The objects that the ballots were chosen on, int64.
        test_index (numpy.ndarray or None): The objects that may be asked about, int64;
            :obj:`None` if that is not known.
        num_entities (int or None): Entities of every calibration object, if they have equally many.
        num_features (int or None): Features of an entity.
    """

    selection: Selection
    noise: Noise
    nominal: float
    eta: float
    clean_threshold: np.ndarray
    num_classes: int
    num_outcomes: int | None
    approve: float | None
    index: np.ndarray
    chosen_index: np.ndarray | None = None
    test_index: np.ndarray | None = None
    num_entities: int | None = None
    num_features: int | None = None

    @classmethod
    def calibrate(
        cls,
        certificate: Certificate,
        y: ArrayLike,
        coverage: float | Fraction = 0.9,
        *,
        eta: float | Fraction = ETA,
        class_conditional: bool = False,
        approval: Chosen | None = None,
        split: CalibrationSplit | None = None,
    ) -> PredictionSets:
        r"""Sets calibrated on the votes of clean objects that were used for nothing else.

        Args:
            certificate (Certificate): The votes, or approvals where it has them, of the calibration
                objects, before any attack.
            y (array_like): Their labels, integers ``[n]`` in ``[0, C)``.
            coverage (float): The probability, in :math:`(0, 1)`, that a set holds the right class,
                read as the decimal number it is written as. (default: :obj:`0.9`)
            eta (float): The probability, in :math:`(0, 1 - \mathrm{coverage})`, that bounds on
                sampled votes fail: half of it for the calibration objects and half for a test
                object, without a correction for their number (the bounds of the calibration objects
                are exchangeable with one of the test object's own clean votes, and of its classes
                only the right one matters). Exact votes need none. (default: :obj:`0.01`)
            class_conditional (bool): Whether the coverage holds for the objects of each class by
                themselves (Mondrian: Vovk, Gammerman & Shafer 2005). Every class then needs enough
                calibration objects. (default: :obj:`False`)
            approval (ApprovalChoice, optional): How the probability from which on a class is
                approved was chosen, on other objects. (default: fixed in advance)
            split (NodeSplit, optional): The split that the model was trained with: refuses
                calibration objects that are not its, and then test objects that are not its.
                (default: not known)

        Raises:
            ValueError: If an argument is out of range, labels do not fit, objects are too few (and
                how many it takes), come twice, or were used to train or to choose ballots.
        """
        ballots = Ballots.of(certificate)
        error, failing = allowed_error(coverage, eta, ballots.exact)
        labels = _labels(y, ballots)
        index = certificate.index
        if len(np.unique(index)) < len(index):
            raise ValueError("'certificate' must hold each calibration object once (got one twice)")
        if not ballots.anytime and len(np.unique(ballots.trials)) > 1:
            raise ValueError(
                "'certificate' must hold equally many samples of each calibration object (got "
                f"{ballots.trials.min()} to {ballots.trials.max()})"
            )
        if approval is not None:
            _check_apart("certificate", index, approval.index, "'approval' was chosen on")
            if approval.approve != certificate.approve:
                raise ValueError(
                    f"'certificate' must count ballots at approve={approval.approve}, as chosen "
                    f"(got approve={certificate.approve})"
                )
        if split is not None:
            _check_among("certificate", index, split.calibration_index, "calibration")

        scores = ballots.of_class(labels).lower(float(failing / 2))[:, 0]
        own = ballots.num_classes if class_conditional else None
        sizes = certificate.num_entities
        if certificate.noise.of == "nodes and edges":
            raise ValueError(
                f"'certificate' must be about nodes or about edges alone (got {certificate.noise})"
            )
        return cls(
            selection=certificate.selection,
            noise=certificate.noise,
            nominal=float(1 - error - failing),
            eta=float(failing),
            clean_threshold=calibrated_thresholds(scores, labels, error, own),
            num_classes=ballots.num_classes,
            num_outcomes=int(ballots.trials[0]) if ballots.exact else None,
            approve=certificate.approve,
            index=index.copy(),
            chosen_index=None if approval is None else approval.index.copy(),
            test_index=None if split is None else np.asarray(split.test_index).copy(),
            num_entities=int(sizes[0]) if sizes is not None and len(set(sizes)) == 1 else None,
            num_features=certificate.num_features,
        )

    @property
    def exact(self) -> bool:
        r"""Whether the votes are those of all outcomes."""
        return self.num_outcomes is not None

    @property
    def class_conditional(self) -> bool:
        r"""Whether the coverage holds for the objects of each class by themselves."""
        return len(self.clean_threshold) > 1

    def sets(self, certificate: Certificate, r: int = 0, **budget: Any) -> np.ndarray:
        r"""The set of each object, bool ``[M, C]``.

        The objects are as they are *found*, clean or attacked: the sets hold the right class if an
        adversary within budget made them from what they were. So at :math:`r = 0` they are the
        plain conformal sets, and larger budgets give larger sets. A set may be empty.

        Args:
            certificate (Certificate): Votes of other objects than the calibration's, under the same
                smoothing and counted in the same way.
            r (int): Most entities that the adversary changed. (default: :obj:`0`)
            **budget: The adversary's strength as in
                :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`; not needed at
                :math:`r = 0`.

        Warns:
            UserWarning: If classes are in every set whatever the votes.

        Raises:
            TypeError: If a budget does not belong to the noise, or is missing.
            ValueError: If a budget is no number of its kind, the votes are of another smoothing or
                counted otherwise, or an object was used for calibration or before it.
        """
        approved, always = self._sets(certificate, r, budget)
        if always.any():
            some = np.unique(always.nonzero()[1]).tolist()
            told = "".join(f", {name}={value}" for name, value in budget.items())
            which = "every class" if len(some) == self.num_classes else f"the classes {some}"
            warnings.warn(
                f"at r={r}{told} {which} must be in a set whatever the votes: "
                "these sets say nothing about them",
                stacklevel=2,
            )
        return approved

    def coverage(self, certificate: Certificate, y: ArrayLike, r: int = 0, **budget: Any) -> float:
        r"""The share of objects whose set holds the label. Of a finite number of test objects it
        spreads around its mean, which is at least :attr:`nominal`.

        Args:
            certificate (Certificate): As in :meth:`sets`.
            y (array_like): Labels, integers ``[M]`` in ``[0, C)``.
            r (int): As in :meth:`sets`. (default: :obj:`0`)
            **budget: As in :meth:`sets`.
        """
        approved = self.sets(certificate, r, **budget)
        return _covered(approved, _labels(y, Ballots.of(certificate)))

    def size(self, certificate: Certificate, r: int = 0, **budget: Any) -> float:
        r"""The average number of classes in a set; arguments as in :meth:`sets`."""
        return _mean(self.sets(certificate, r, **budget).sum(1))

    def singletons(self, certificate: Certificate, r: int = 0, **budget: Any) -> float:
        r"""The share of sets with a single class; arguments as in :meth:`sets`."""
        return _mean(self.sets(certificate, r, **budget).sum(1) == 1)

    def calibration_size(self, certificate: Certificate, r: int = 0, **budget: Any) -> float:
        r"""The average size of the sets of the calibration objects themselves. Nothing is
        guaranteed for them: it serves to compare ways to count ballots. Arguments as in
        :meth:`sets`, with the certificate of the calibration.

        Raises:
            ValueError: If the certificate is about other objects.
        """
        if not np.array_equal(certificate.index, self.index):
            raise ValueError("'certificate' must be the one of the calibration (got other objects)")
        self._check_ballots(certificate)
        return _mean(self._approved(certificate, r, budget)[0].sum(1))

    def threshold(self, r: int = 0, **budget: Any) -> float | np.ndarray:
        r"""The share of votes from which on a class is in a set: a float, or float64 ``[C]`` if
        :attr:`class_conditional`. Of sampled votes the upper bound is compared with it. It is that
        of an object of as many entities as every calibration object, or of many if these differ.
        Arguments as in :meth:`sets`.

        Raises:
            ValueError: If the selection asks for a number of entities, and these differ.
        """
        found = self._thresholds(r, budget, self.num_entities, self.num_features)[0]
        shares = np.maximum(found / (self.num_outcomes or 1), 0.0)
        return shares if self.class_conditional else float(shares[0])

    def statement(self, r: int = 0, **budget: Any) -> str:
        r"""What is guaranteed, in a sentence; arguments as in :meth:`sets`."""
        r, budget = self._checked(r, budget)
        who = " of each class" if self.class_conditional else ""
        over = self.noise.spares_target and r > 0
        taken_over = ", or the object itself is taken over" if over else ""
        attack = "without an attack"
        if r > 0:
            strength = f", by {self.noise.describe(**budget)} in total" if self.noise.axes else ""
            whom = "1 entity" if r == 1 else f"{r} entities"
            attack = f"under any change of at most {whom}{strength}"
        return (
            f"With probability at least {self.nominal:g}, over the random choice of calibration "
            f"and test objects{who}, the right class is in the set{taken_over}, {attack}."
        )

    def to_frame(
        self,
        certificate: Certificate,
        y: ArrayLike | None = None,
        changed: Sequence[int] = CHANGED,
        **budget: Any,
    ) -> pd.DataFrame:
        r"""The :meth:`rows` as a table. Needs the extra ``frame``."""
        return require("pandas", extra="frame").DataFrame(
            self.rows(certificate, y, changed, **budget)
        )

    def rows(
        self,
        certificate: Certificate,
        y: ArrayLike | None = None,
        changed: Sequence[int] = CHANGED,
        **budget: Any,
    ) -> list[dict[str, Any]]:
        r"""For each number ``r`` of changed entities: the average ``size`` of the sets, the share
        of ``singletons``, the share of sets that hold the label if :obj:`y` is given
        (``coverage``), and whether classes are in every set whatever the votes
        (``uninformative``). Other arguments as in :meth:`sets`.
        """
        labels = None if y is None else _labels(y, Ballots.of(certificate))
        rows = []
        for r in check_integers("changed", changed, least=0).tolist():
            approved, always = self._sets(certificate, r, budget)
            size = approved.sum(1)
            row: dict[str, Any] = {"r": r, "size": _mean(size), "singletons": _mean(size == 1)}
            if labels is not None:
                row["coverage"] = _covered(approved, labels)
            rows.append({**row, "uninformative": bool(always.any())})
        return rows

    def plot(
        self,
        certificate: Certificate,
        path: str | os.PathLike[str] | None = None,
        ax: Axes | None = None,
        changed: Sequence[int] = range(11),
        **budget: Any,
    ) -> Figure:
        r"""Draws the average size of the sets over the number of changed entities. Needs the extra
        ``plot``.

        Args:
            certificate (Certificate): As in :meth:`sets`.
            path (str, optional): Where to save the figure. (default: :obj:`None`)
            ax (matplotlib.axes.Axes, optional): Where to draw. (default: a new figure)
            changed (sequence of int): Numbers of changed entities. (default: ``range(11)``)
            **budget: As in :meth:`sets`.
        """
        from pyg_hiersmooth.plotting import plot_set_sizes

        changed = check_integers("changed", changed, least=0).tolist()
        sizes = [_mean(self._sets(certificate, r, budget)[0].sum(1)) for r in changed]
        title = f"{self.nominal:.4g} coverage, {self.selection}, {self.noise}"
        return plot_set_sizes(
            changed, {"sets": sizes}, self.num_classes, title, path, ax, certificate.entities
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Writes a NumPy ``.npz`` file without pickled objects, atomically."""
        sets_on_disk.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PredictionSets:
        r"""Reads what :meth:`save` wrote.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds no prediction sets, or is damaged.
        """
        return sets_on_disk.load(cls, path)

    def __repr__(self) -> str:
        told = "".join(f", {name}={value}" for name, value in self._facts() if value is not None)
        return (
            f"{type(self).__name__}(coverage={self.nominal:g}, {len(self.index)} calibration "
            f"objects, {self.selection}, {self.noise}{told})"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("coverage", f"{self.nominal:g}{', of each class' if self.class_conditional else ''}"),
            ("calibrated on", f"{len(self.index):,} objects"),
            ("smoothing", f"{self.selection}, {self.noise}{', exact' if self.exact else ''}"),
            *((name, f"{value:g}") for name, value in self._facts() if value is not None),
            ("classes", str(self.num_classes)),
            ("guarantee", self.statement()),
        ]
        return html_table("Prediction sets", rows)

    def _facts(self) -> list[tuple[str, float | None]]:
        return [("approve", self.approve), ("eta", None if self.exact else self.eta)]

    def _sets(
        self, certificate: Certificate, r: int, budget: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""The sets, and which classes are in them whatever the votes; both bool ``[M, C]``."""
        self._check_ballots(certificate)
        self._check_objects(certificate)
        return self._approved(certificate, r, budget)

    def _approved(
        self, certificate: Certificate, r: int, budget: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""As :meth:`_sets`, of any objects."""
        ballots = Ballots.of(certificate)
        thresholds = self._thresholds(
            r, budget, certificate.num_entities, certificate.num_features or self.num_features
        )
        level = self.eta / 2.0
        return ballots.upper(level) >= thresholds, ballots.none().upper(level) >= thresholds

    def _checked(self, r: int, budget: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        r"""How many entities a budget reaches, at most :obj:`r`, and the budget in its own norm."""
        r = check_count("r", r)
        if r == 0 and not budget:
            return 0, {}
        strength = {name: value for name, value in budget.items() if name != "norm"}
        if self.noise.norm is None and "norm" in budget:
            strength["norm"] = budget["norm"]  # refused below, by name
        strength = self.noise.check_budget(**strength)
        return int(min(r, self.noise.reach(**strength))), strength

    def _thresholds(
        self,
        r: int,
        budget: Mapping[str, Any],
        num_entities: int | np.ndarray | None,
        num_features: int | None,
    ) -> np.ndarray:
        r"""What a class must reach, of all objects or of each, and for all classes or for each:
        ``[1 or M, 1 or C]``, votes if exact.
        """
        reached, strength = self._checked(r, budget)
        if not self.noise.fixes_graph:  # entities may be added, so r may exceed their number
            num_entities = None
        entities = None if num_entities is None else np.atleast_1d(num_entities)[:, None]
        if self.exact:
            return np.atleast_2d(
                self.clean_threshold - self.selection.num_exposing(reached, entities)
            )
        clean = self.clean_threshold[None, :]
        if reached == 0:
            return clean - robustness.MARGIN
        if self.noise.norm is not None:
            changed = reached if entities is None else np.minimum(reached, entities)
            scale = robustness.distance_scale(
                self.noise.norm, budget.get("norm"), changed, num_features
            )
            strength = {name: distance * scale for name, distance in strength.items()}
        q = self.selection.prob_all_selected(
            reached, None if num_entities is None else np.atleast_1d(num_entities)
        )
        return robustness.worst_case(self.noise, clean, np.atleast_1d(q)[:, None], **strength)

    def _check_ballots(self, certificate: Certificate) -> None:
        for name in ("selection", "noise"):
            ours, theirs = getattr(self, name), getattr(certificate, name)
            if not _same(ours, theirs):
                raise ValueError(
                    f"'certificate' must have the smoothing of the calibration, {ours} (got "
                    f"{theirs})"
                )
        ballots = Ballots.of(certificate)
        if ballots.exact != self.exact:
            kinds = {True: "exact", False: "sampled"}
            raise ValueError(
                f"'certificate' must hold {kinds[self.exact]} votes, as in calibration (got "
                f"{kinds[ballots.exact]} ones)"
            )
        if certificate.approve != self.approve:
            raise ValueError(
                f"'certificate' must count ballots as in calibration, with approve={self.approve} "
                f"(got approve={certificate.approve})"
            )
        if ballots.num_classes != self.num_classes:
            raise ValueError(
                f"'certificate' must be about the {self.num_classes} classes of the calibration "
                f"(got {ballots.num_classes})"
            )

    def _check_objects(self, certificate: Certificate) -> None:
        _check_apart("certificate", certificate.index, self.index, "calibration used")
        if self.chosen_index is not None:
            told = "the choice of 'approve' used"
            _check_apart("certificate", certificate.index, self.chosen_index, told)
        if self.test_index is not None:
            _check_among("certificate", certificate.index, self.test_index, "test")


def _same(ours: Selection | Noise, theirs: Selection | Noise) -> bool:
    try:
        return ours is theirs or to_dict(ours) == to_dict(theirs)
    except ValueError:  # of a kind that cannot be compared: not known to be the same
        return False


def _check_apart(name: str, index: np.ndarray, used: np.ndarray, told: str) -> None:
    both = np.intersect1d(index, used)
    if both.size:
        raise ValueError(
            f"'{name}' must be about other objects than {told} (got {both.size} of them, such as "
            f"{both[0]}; objects of another dataset need numbers of their own in its 'index')"
        )


def _check_among(name: str, index: np.ndarray, allowed: ArrayLike, part: str) -> None:
    others = np.setdiff1d(index, np.asarray(allowed))
    if others.size:
        raise ValueError(
            f"'{name}' must be about objects of the split's '{part}_index', the others are not "
            f"exchangeable with those (got {others.size} others, such as {others[0]})"
        )


def _labels(y: ArrayLike, ballots: Ballots) -> np.ndarray:
    labels = check_integers("y", y, len(ballots.counts))
    wrong = labels[(labels < 0) | (labels >= ballots.num_classes)]
    if wrong.size:
        raise ValueError(f"'y' must hold classes in [0, {ballots.num_classes}) (got {wrong[0]})")
    return labels


def _covered(approved: np.ndarray, labels: np.ndarray) -> float:
    return _mean(np.take_along_axis(approved, labels[:, None], axis=1))


def _mean(values: np.ndarray) -> float:
    return float(values.sum() / max(len(values), 1))
