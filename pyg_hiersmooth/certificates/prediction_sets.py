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

from pyg_hiersmooth.certificates import sets_on_disk
from pyg_hiersmooth.certificates.ballots import Ballots
from pyg_hiersmooth.certificates.calibration import ETA, allowed_error, calibrated_thresholds
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.set_checks import (
    check_among,
    check_apart,
    check_labels,
    check_once,
    check_same_ballots,
    check_unused,
)
from pyg_hiersmooth.certificates.set_thresholds import Attack, thresholds
from pyg_hiersmooth.certificates.views import prediction_sets as views
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        entities (str or None): What the adversary changes, in the plural; :obj:`None` in files of
            earlier versions.
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
    entities: str | None = None

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
        labels, index = check_labels(y, ballots), certificate.index
        check_once(certificate, ballots)
        if approval is not None:
            check_apart(index, approval.index, "'approval' was chosen on")
            if approval.approve != certificate.approve:
                raise ValueError(
                    f"'certificate' must count ballots at approve={approval.approve}, as chosen "
                    f"(got approve={certificate.approve})"
                )
        if split is not None:
            check_among(index, split.calibration_index, "calibration")

        scores = ballots.of_class(labels).lower(float(failing / 2))[:, 0]
        own = ballots.num_classes if class_conditional else None
        sizes = certificate.num_entities
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
            entities=certificate.entities,
        )

    @property
    def exact(self) -> bool:
        r"""Whether the votes are those of all outcomes."""
        return self.num_outcomes is not None

    @property
    def class_conditional(self) -> bool:
        r"""Whether the coverage holds for the objects of each class by themselves."""
        return len(self.clean_threshold) > 1

    def sets(self, certificate: Certificate, r: int | None = None, **budget: Any) -> np.ndarray:
        r"""The set of each object, bool ``[M, C]``.

        The objects are as they are *found*, clean or attacked: the sets hold the right class if an
        adversary within budget made them from what they were. So at :math:`r = 0` they are the
        plain conformal sets, and larger budgets give larger sets. A set may be empty.

        Args:
            certificate (Certificate): Votes of other objects than the calibration's, under the same
                smoothing and counted in the same way.
            r (int, optional): Most entities that the adversary changed. (default: 0 without a
                budget, else as many as it allows, where it bounds them)
            **budget: The adversary's strength as in
                :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`; not needed at
                :math:`r = 0`. With ``only="new_nodes"``, :obj:`r` nodes were appended with all
                their edges and nothing else was changed (ablated messages or nodes): sampled votes
                give smaller sets for it, exact ones the same.

        Warns:
            UserWarning: If classes are in every set whatever the votes.

        Raises:
            TypeError: If a budget does not belong to the noise, or is missing.
            ValueError: If a budget is no number of its kind, the votes are of another smoothing or
                counted otherwise, or an object was used for calibration or before it.
        """
        approved, always = self._found(certificate, r, budget)
        if always.any():
            some = np.unique(always.nonzero()[1]).tolist()
            asked = budget if r is None else {"r": r, **budget}
            told = ", ".join(f"{name}={value}" for name, value in asked.items()) or "r=0"
            which = "every class" if len(some) == self.num_classes else f"the classes {some}"
            warnings.warn(
                f"at {told} {which} must be in a set whatever the votes: "
                "these sets say nothing about them",
                stacklevel=2,
            )
        return approved

    def coverage(
        self, certificate: Certificate, y: ArrayLike, r: int | None = None, **budget: Any
    ) -> float:
        r"""The share of objects whose set holds the label. Of a finite number of test objects it
        spreads around its mean, which is at least :attr:`nominal`.

        Args:
            certificate (Certificate): As in :meth:`sets`.
            y (array_like): Labels, integers ``[M]`` in ``[0, C)``.
            r (int, optional): As in :meth:`sets`. (default: :obj:`None`)
            **budget: As in :meth:`sets`.
        """
        approved = self.sets(certificate, r, **budget)
        return views.share_covered(approved, check_labels(y, Ballots.of(certificate)))

    def size(self, certificate: Certificate, r: int | None = None, **budget: Any) -> float:
        r"""The average number of classes in a set; arguments as in :meth:`sets`."""
        return views.mean(self.sets(certificate, r, **budget).sum(1))

    def singletons(self, certificate: Certificate, r: int | None = None, **budget: Any) -> float:
        r"""The share of sets with a single class; arguments as in :meth:`sets`."""
        return views.mean(self.sets(certificate, r, **budget).sum(1) == 1)

    def calibration_size(
        self, certificate: Certificate, r: int | None = None, **budget: Any
    ) -> float:
        r"""The average size of the sets of the calibration objects themselves. Nothing is
        guaranteed for them: it serves to compare ways to count ballots. Arguments as in
        :meth:`sets`, with the certificate of the calibration.

        Raises:
            ValueError: If the certificate is about other objects.
        """
        if not np.array_equal(certificate.index, self.index):
            raise ValueError("'certificate' must be the one of the calibration (got other objects)")
        return views.mean(self._approved(certificate, r, budget)[0].sum(1))

    def threshold(self, r: int | None = None, **budget: Any) -> float | np.ndarray:
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

    def statement(self, r: int | None = None, **budget: Any) -> str:
        r"""What is guaranteed, in a sentence; arguments as in :meth:`sets`."""
        return views.statement(self, r, budget)

    def to_frame(
        self,
        certificate: Certificate,
        y: ArrayLike | None = None,
        changed: Sequence[int] = views.CHANGED,
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
        changed: Sequence[int] = views.CHANGED,
        **budget: Any,
    ) -> list[dict[str, Any]]:
        r"""For each number ``r`` of changed entities: the average ``size`` of the sets, the share
        of ``singletons``, the share of sets that hold the label if :obj:`y` is given
        (``coverage``), and whether classes are in every set whatever the votes
        (``uninformative``). Other arguments as in :meth:`sets`.
        """
        labels = None if y is None else check_labels(y, Ballots.of(certificate))
        return views.rows(lambda r: self._found(certificate, r, budget), labels, changed)

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
        sizes = self.rows(certificate, None, changed, **budget)
        return views.plot(self, sizes, path, ax, certificate.counted)

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
        return views.in_one_line(self)

    def _repr_html_(self) -> str:
        return views.as_html(self)

    def _found(
        self, certificate: Certificate, r: int | None, budget: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""The sets, and which classes are in them whatever the votes; both bool ``[M, C]``."""
        check_unused(self, certificate.index)
        return self._approved(certificate, r, budget)

    def _approved(
        self, certificate: Certificate, r: int | None, budget: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""As :meth:`_found`, of any objects."""
        check_same_ballots(self, certificate)
        ballots = Ballots.of(certificate)
        reached = self._thresholds(
            r, budget, certificate.num_entities, certificate.num_features or self.num_features
        )
        level = self.eta / 2.0
        return ballots.upper(level) >= reached, ballots.none().upper(level) >= reached

    def _thresholds(
        self,
        r: int | None,
        budget: Mapping[str, Any],
        num_entities: int | np.ndarray | None,
        num_features: int | None,
    ) -> np.ndarray:
        attack = Attack.of(self.noise, r, budget)
        return thresholds(
            self.selection,
            self.noise,
            self.clean_threshold,
            attack,
            num_entities,
            num_features,
            exact=self.exact,
        )
