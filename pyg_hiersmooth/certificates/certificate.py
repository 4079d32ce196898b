r"""The result of certification: bounds on votes, and the statements that follow from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import exposures, new_nodes, robustness, storage
from pyg_hiersmooth.certificates.checks import (
    ReceptiveField,
    changed_within,
    check_ballots,
    check_count,
    check_extends,
    check_integers,
    check_listed,
    check_probabilities,
)
from pyg_hiersmooth.certificates.views import curves, display, frame, grids
from pyg_hiersmooth.certificates.views.explanation import Explanation, explanation_of
from pyg_hiersmooth.certificates.vote_bounds import check_kind
from pyg_hiersmooth.chart import Chart
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.noise.axes import Norm
from pyg_hiersmooth.selection import Selection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self


class Smoothing(Protocol):
    r"""Anything with a selection and a noise, such as
    :class:`~pyg_hiersmooth.transforms.HierarchicalNodeFeatureNoise`.
    """

    selection: Selection
    noise: Noise


class Known(TypedDict, total=False):
    r"""What a certificate keeps of its objects, and of the samples besides votes: arguments of
    :meth:`Certificate.from_bounds`.
    """

    index: ArrayLike | None
    num_entities: ArrayLike | None
    num_features: int | None
    approvals: ArrayLike | None
    approve: float | None
    mask_predictions: ArrayLike | None
    entities: str


def check_known(known: Mapping[str, Any]) -> None:
    r"""Refuses arguments of :meth:`Certificate.from_bounds` that follow from the votes.

    Raises:
        TypeError: If there is one.
    """
    for name in set(known) - set(Known.__annotations__):
        raise TypeError(f"{name!r} is no keyword of certificates from votes")


@dataclass(eq=False, repr=False)
class Certificate:
    r"""What no adversary within budget can change about the votes of :math:`M` objects.

    Made by :func:`~pyg_hiersmooth.certificates.certify_votes`, :meth:`from_bounds` or the
    ``certify`` method of a smoothed classifier. Every statement about one object holds with
    probability :math:`1 - \alpha` over the sampling; about all objects at once only if the bounds
    are :attr:`simultaneous`. One that is :attr:`exact` was made of all outcomes of the smoothing,
    without sampling, and holds with certainty.

    An adversary changes at most :obj:`r` entities of an object, in total by at most a budget in
    the vocabulary of the noise:

    * ``eps``, a distance over all changed rows together, for continuous noise (in the noise's
      own norm, or in ``norm="l1" | "l2" | "linf"``);
    * ``additions`` and ``deletions`` of ones, for flips;
    * nothing more, for ablation.

    Where edges get noise, :obj:`r` counts pairs of nodes, and ``additions`` and ``deletions`` count
    edges. Where nodes do so as well, :obj:`r` counts nodes, and ``edges`` pairs, or ``additions``
    and ``deletions`` edges if those are flipped. Ablated messages or nodes are about more than
    features, too: :attr:`threat` says in a sentence who the adversary of a certificate is.

    Nothing changed (``r=0`` or a budget of zero) never alters a prediction.

    Attributes:
        selection (Selection): The upper level.
        noise (Noise): The lower level.
        kind (str): ``"multiclass"`` or ``"binary"``.
        prediction (numpy.ndarray): Predicted classes, int64 ``[M]``; -1 where it abstains.
        p_lower (numpy.ndarray): Lower bounds of the predicted class, float64 ``[M]``.
        p_upper (numpy.ndarray): Upper bounds of every other class, float64 ``[M]``.
        index (numpy.ndarray): Which nodes, graphs or images these are, int64 ``[M]``.
        num_entities (numpy.ndarray or None): Entities of each object, int64 ``[M]``.
        num_features (int or None): Features of an entity.
        simultaneous (bool): Whether the bounds hold for all objects at once.
        largest_r (numpy.ndarray or None): If exact, the most changed entities that never change the
            prediction, int64 ``[M]``; -1 where it abstains.
        num_samples (numpy.ndarray or None): Votes that bound each object, int64 ``[M]``.
        alpha (float or None): Probability that bounds fail, where they were sampled.
        n0 (int or None): Votes that chose the class of an object, where other ones bound it.
        votes (numpy.ndarray or None): The votes that bound it, int64 ``[M, C]``.
        approvals (numpy.ndarray or None): In how many of these samples a class was approved, int64
            ``[M, C]``.
        approve (float or None): The softmax probability from which on a class is approved.
        mask_predictions (numpy.ndarray or None): If exact, the class that each outcome votes for,
            integers ``[M, num_masks]``.
        entities (str): What an adversary changes, in the plural: ``"nodes"`` or ``"pixels"``.
    """

    selection: Selection
    noise: Noise
    kind: Kind
    prediction: np.ndarray
    p_lower: np.ndarray
    p_upper: np.ndarray
    index: np.ndarray
    num_entities: np.ndarray | None = None
    num_features: int | None = None
    simultaneous: bool = False
    largest_r: np.ndarray | None = None
    num_samples: np.ndarray | None = None
    alpha: float | None = None
    n0: int | None = None
    votes: np.ndarray | None = None
    approvals: np.ndarray | None = None
    approve: float | None = None
    mask_predictions: np.ndarray | None = None
    entities: str = "nodes"

    @classmethod
    def from_bounds(
        cls,
        transform: Smoothing,
        prediction: ArrayLike,
        p_lower: ArrayLike,
        p_upper: ArrayLike | None = None,
        kind: Kind = "multiclass",
        *,
        index: ArrayLike | None = None,
        num_entities: ArrayLike | None = None,
        num_features: int | None = None,
        simultaneous: bool = False,
        largest_r: ArrayLike | None = None,
        num_samples: ArrayLike | None = None,
        alpha: float | None = None,
        n0: int | None = None,
        votes: ArrayLike | None = None,
        approvals: ArrayLike | None = None,
        approve: float | None = None,
        mask_predictions: ArrayLike | None = None,
        entities: str = "nodes",
    ) -> Self:
        r"""A certificate from known bounds on vote probabilities.

        Args:
            transform (HierarchicalNodeFeatureNoise): The smoothing: a selection and a noise.
            prediction (array_like): Predicted classes, integers ``[M]``; negative to abstain.
            p_lower (array_like): Lower bounds of the predicted class, ``[M]`` in [0, 1].
            p_upper (array_like, optional): Upper bounds of every other class, ``[M]`` in [0, 1],
                for ``multiclass``; ``binary`` always takes ``1 - p_lower``. (default: :obj:`None`)
            kind (str): ``"multiclass"`` (the lower bound must beat every other class) or
                ``"binary"`` (it must beat 1/2). (default: :obj:`"multiclass"`)
            index (array_like, optional): Which objects these are, integers ``[M]``.
                (default: ``0, ..., M - 1``)
            num_entities (array_like, optional): Entities of the object or of each object; needed
                for :class:`~pyg_hiersmooth.selection.FixedSizeSelection`. (default: :obj:`None`)
            num_features (int, optional): Features of an entity; needed for budgets in another
                norm than the noise's. (default: :obj:`None`)
            simultaneous (bool): Whether the bounds hold for all objects at once.
                (default: :obj:`False`)
            largest_r (array_like, optional): If the bounds are the shares of *all* outcomes: the
                most changed entities that never change the prediction, integers ``[M]`` of at
                least -1, as :func:`~pyg_hiersmooth.certificates.certify_counts` finds them. Such
                bounds are simultaneous. (default: :obj:`None`)
            num_samples (array_like, optional): Votes that the bounds of each object were made of,
                integers ``[M]`` of at least 1. (default: those in :obj:`votes`)
            alpha (float, optional): Probability that the bounds fail, to be kept with them.
                (default: :obj:`None`)
            n0 (int, optional): Votes that chose the class, to be kept. (default: :obj:`None`)
            votes (array_like, optional): The votes that the bounds were made of, to be kept,
                integers ``[M, C]``. (default: :obj:`None`)
            approvals (array_like, optional): In how many samples each class was approved, to be
                kept, integers ``[M, C]``. (default: :obj:`None`)
            approve (float, optional): The softmax probability in [0, 1] from which on a class is
                approved; needed with :obj:`approvals`. (default: :obj:`None`)
            mask_predictions (array_like, optional): If exact, the class that each outcome votes
                for, to be kept, integers ``[M, num_masks]``. (default: :obj:`None`)
            entities (str): What tables and figures call the entities, in the plural.
                (default: :obj:`"nodes"`)

        Raises:
            TypeError: If :obj:`transform` is one of edges, not what certificates for it are made
                with (:class:`~pyg_hiersmooth.certificates.composed.EdgeSmoothing`); or if it
                ablates messages of one node type, which its classifier's ``smoothing`` is about.
            ValueError: If shapes disagree, a bound is not in [0, 1], :obj:`p_upper` is missing,
                :obj:`num_entities` does not fit the selection, or :obj:`largest_r` is given for a
                smoothing that draws.
        """
        check_kind(kind)
        if hasattr(transform, "certified_as"):
            raise TypeError(
                "'transform' of edges is certified as EdgeSmoothing(transform), the 'smoothing' of "
                f"its classifier (got {transform})"
            )
        if getattr(transform, "by_type", None) is not None and not transform.noise.fixes_graph:
            raise TypeError(
                "'transform' of one node type's messages is certified as the 'smoothing' of its "
                f"classifier (got {transform})"
            )
        check_extends(transform.selection, transform.noise)
        predicted = check_integers("prediction", prediction)
        size = len(predicted)
        lower = check_probabilities("p_lower", p_lower, size)
        if kind == "binary":
            upper = 1.0 - lower
        elif p_upper is None:
            raise ValueError("'p_upper' is needed for kind='multiclass' (got None)")
        else:
            upper = check_probabilities("p_upper", p_upper, size)
        if num_entities is not None:
            each = np.broadcast_to(num_entities, size)
            num_entities = check_integers("num_entities", each, size, least=1)
        transform.selection.prob_all_selected(0, num_entities)  # raises if they do not fit
        if num_features is not None:
            num_features = check_count("num_features", num_features, least=1)
        wins = (lower - upper > 2.0 * robustness.MARGIN) & (predicted >= 0)
        if largest_r is not None:
            check_listed(transform.selection, transform.noise, num_entities)
            largest_r = check_integers("largest_r", largest_r, size, least=-1)
            wins &= largest_r >= 0
            largest_r = np.where(wins, largest_r, -1)
        kept = check_ballots(
            size,
            transform.selection.num_outcomes(num_entities) if largest_r is not None else None,
            num_samples=num_samples,
            votes=votes,
            approvals=approvals,
            approve=approve,
            mask_predictions=mask_predictions,
        )
        return cls(
            transform.selection,
            transform.noise,
            kind,
            np.where(wins, predicted, -1),
            lower,
            upper,
            np.arange(size) if index is None else check_integers("index", index, size),
            num_entities,
            num_features,
            bool(simultaneous) or largest_r is not None,
            largest_r,
            alpha=alpha,
            n0=n0,
            entities=entities,
            **kept,
        )

    @property
    def n(self) -> int | None:
        r"""The votes that bound an object, the most where their numbers differ; :obj:`None` where
        they are not known.
        """
        known = self.num_samples is not None and len(self) > 0
        return int(self.num_samples.max()) if known else None  # type: ignore[union-attr]

    def subset(self, positions: ArrayLike) -> Self:
        r"""The certificate of some of the objects, which says the same about them.

        Args:
            positions (array_like): Where they are in this one, integers ``[K]``, or bool ``[M]``.
        """
        chosen = np.arange(len(self))[np.asarray(positions)]
        arrays: dict[str, Any] = {
            field.name: value[chosen]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **arrays)

    def __len__(self) -> int:
        return len(self.prediction)

    @property
    def abstained(self) -> np.ndarray:
        r"""Where no class is certain enough, bool ``[M]``."""
        return self.prediction < 0

    def correct(self, y: ArrayLike) -> np.ndarray:
        r"""Where it predicts the label, bool ``[M]``; :obj:`y` as in :meth:`certified_accuracy`."""
        return (self.prediction == check_integers("y", y, len(self))) & ~self.abstained

    @property
    def exact(self) -> bool:
        r"""Whether all outcomes were enumerated: :attr:`p_lower` and :attr:`p_upper` are the vote
        shares themselves, and whole numbers of votes decide.
        """
        return self.largest_r is not None

    @property
    def smoothing(self) -> str:
        r"""The selection and the noise, and whether the certificate is exact, in words."""
        return f"{self.selection}, {self.noise}{', exact' if self.exact else ''}"

    @property
    def threat(self) -> str:
        r"""The adversary that this certificate is about, in one sentence."""
        return self.noise.threat(self.entities)

    @property
    def counted(self) -> str:
        r"""What :obj:`r` counts, in the plural: :attr:`entities`, or edges."""
        return self.noise.counted or self.entities

    def is_robust(
        self,
        r: int | None = None,
        *,
        only: str | None = None,
        exposure: ReceptiveField | None = None,
        **budget: Any,
    ) -> np.ndarray:
        r"""Whether no adversary within budget can change the prediction, bool ``[M]``.

        Args:
            r (int, optional): Most entities that the adversary changes, non-negative; :obj:`None`
                means as many as a budget of additions and deletions allows. (default: :obj:`None`)
            only (str, optional): ``"new_nodes"`` for an adversary who appends :obj:`r` nodes with
                all their edges, and changes nothing else: for ablated messages or nodes, as
                :func:`~pyg_hiersmooth.certificates.new_nodes.robust_to_new_nodes` says.
                (default: :obj:`None`)
            exposure (scipy.sparse, optional): Through how many outcomes each node reaches each
                target, or with which probability, ``[M, N]``, for an adversary who changes the
                features of :obj:`r` other nodes of a fixed graph: for ablated messages, as
                :func:`~pyg_hiersmooth.certificates.exposures.robust_to_features` says.
                (default: :obj:`None`)
            **budget: ``eps`` (and ``norm``), ``additions`` and ``deletions``, or nothing.

        Raises:
            TypeError: If a budget does not belong to the noise, or is missing; or if another
                adversary is asked for than there is to the noise.
            ValueError: If a budget is negative or not a number of its kind, or the certificate
                lacks what :obj:`only` or :obj:`exposure` need.
        """
        r = changed_within(self.noise, budget) if r is None else check_count("r", r)
        if only is not None or exposure is not None:
            return self._robust_to_less(r, only, exposure, budget)
        own, scale = self.noise.norm, np.asarray(1.0)
        if own is not None:
            scale = self._distance_scale(own, budget.pop("norm", None), r)
        budget = self.noise.check_budget(**budget)
        if self.noise.changes_nothing(r, **budget):
            return ~self.abstained
        reached = int(min(r, self.noise.reach(**budget)))
        if self.largest_r is not None:
            changed = reached if self._present is None else np.minimum(r, self._present)
            return changed <= self.largest_r
        if own is not None:
            budget = {name: distance * scale for name, distance in budget.items()}
        robust = robustness.is_robust(
            self.noise, self.p_lower, self.p_upper, self.prob_all_selected(reached), **budget
        )
        return robust & ~self.abstained

    def _robust_to_less(
        self, r: int, only: str | None, exposure: ReceptiveField | None, budget: dict[str, Any]
    ) -> np.ndarray:
        r"""Against one of the adversaries that are weaker than :attr:`threat`."""
        if only is not None and exposure is not None:
            raise ValueError("'only' and 'exposure' are two adversaries: pass one (got both)")
        if only is not None:
            new_nodes.check_only(self.noise, only)
        if exposure is None:
            robust = new_nodes.robust_to_new_nodes(self, r)
        else:
            robust = exposures.robust_to_features(self, r, exposure)
        self.noise.check_budget(**budget)
        return robust

    def radius(self, r: int, norm: str | None = None) -> np.ndarray:
        r"""The largest certified ``eps`` for :obj:`r` changed entities, float64 ``[M]``; 0 where
        nothing is certified, infinite for ``r=0``, and nan where it abstains.

        Args:
            r (int): Most entities that the adversary changes, non-negative.
            norm (str, optional): ``"l1"``, ``"l2"`` or ``"linf"``; :obj:`None` means the noise's
                own. (default: :obj:`None`)

        Raises:
            TypeError: If the noise is not continuous.
        """
        own = self.noise.norm
        if own is None:
            raise TypeError(
                f"'radius' needs continuous noise (got {self.noise}); use 'grid' or 'is_robust'"
            )
        r = check_count("r", r)
        if r == 0:
            return np.where(self.abstained, np.nan, np.inf)
        radius = robustness.radius(
            self.noise, self.p_lower, self.p_upper, self.prob_all_selected(r)
        )
        radius = radius * (1.0 - 1e-15) / self._distance_scale(own, norm, r)
        return np.where(self.abstained, np.nan, radius)

    def certified_accuracy(self, y: ArrayLike, r: int | None = None, **budget: Any) -> float:
        r"""The share of objects whose prediction is robust *and* correct.

        Args:
            y (array_like): Labels of the objects, integers ``[M]``.
            r (int, optional): Most entities that the adversary changes, as in :meth:`is_robust`.
                (default: :obj:`None`)
            **budget: As there.
        """
        return self._share(self.is_robust(r, **budget) & self.correct(y))

    def certified_ratio(self, r: int | None = None, **budget: Any) -> float:
        r"""The share of objects whose prediction is robust, correct or not; arguments as in
        :meth:`is_robust`.
        """
        return self._share(self.is_robust(r, **budget))

    def clean_accuracy(self, y: ArrayLike) -> float:
        r"""The share of objects predicted right, counting abstentions as wrong; :obj:`y` as in
        :meth:`certified_accuracy`.
        """
        return self._share(self.correct(y))

    def _share(self, mask: np.ndarray) -> float:
        return float(mask.sum() / max(len(self), 1))

    def prob_all_selected(self, r: int) -> np.ndarray:
        r"""The probability :math:`q` that all of :obj:`r` entities are selected, float64, of one
        object or of each, ``[M]``.
        """
        return self.selection.prob_all_selected(r, self._present)

    @property
    def _present(self) -> np.ndarray | None:
        r"""How many entities there are to change; :obj:`None` if the adversary may add some."""
        return self.num_entities if self.noise.fixes_graph else None

    def _distance_scale(self, own: Norm, norm: str | None, r: int) -> np.ndarray:
        changed = r if self.num_entities is None else np.minimum(r, self.num_entities)
        return robustness.distance_scale(own, norm, changed, self.num_features)

    def __getitem__(self, position: int) -> Explanation:
        r"""What it says about the object at a position."""
        return explanation_of(self, position)

    def explain(self, index: int, receptive_field: Any = None) -> Explanation:
        r"""What it says about an object, such as the node of that number in its graph.

        Args:
            index (int): The object, as in :attr:`index`.
            receptive_field (scipy.sparse, optional): Which entities can reach which object, bool
                ``[M, N]``, to say how many there are. (default: :obj:`None`)

        Raises:
            ValueError: If the certificate is not about that object.
        """
        places = (self.index == index).nonzero()[0]
        if len(places) == 0:
            raise ValueError(f"'index' must be one of the {len(self)} objects (got {index})")
        return explanation_of(self, int(places[0]), receptive_field)

    def grid(self, max_r: int, max_additions: int = 0, max_deletions: int = 0) -> np.ndarray:
        r"""All cells ``is_robust(r, additions, deletions)`` up to the given ones at once.

        Returns:
            numpy.ndarray: bool ``[M, max_r + 1, max_additions + 1, max_deletions + 1]`` for
            flips, bool ``[M, max_r + 1]`` for ablation.

        Raises:
            TypeError: If the noise is continuous, or ablation is asked for a budget.
            ValueError: If a largest value is not a non-negative integer.
        """
        return grids.grid(self, max_r, max_additions, max_deletions)

    def certified_accuracy_grid(
        self, y: ArrayLike, max_r: int, max_additions: int = 0, max_deletions: int = 0
    ) -> np.ndarray:
        r"""Certified accuracy in all cells of :meth:`grid`, without the memory of the grid itself.

        Returns:
            numpy.ndarray: float64 ``[max_r + 1, max_additions + 1, max_deletions + 1]`` for
            flips, ``[max_r + 1]`` for ablation.

        Raises:
            TypeError, ValueError: As :meth:`grid`.
        """
        return grids.certified_accuracy_grid(self, y, max_r, max_additions, max_deletions)

    def to_frame(self, y: ArrayLike | None = None) -> pd.DataFrame:
        r"""One row per object: its index, prediction, bounds and votes, the largest budgets that it
        withstands at one to three changed entities (or how many may be changed at will), and its
        label if :obj:`y` is given. Needs the extra ``frame``.
        """
        return frame.to_frame(self, y)

    def chart(self, y: ArrayLike) -> Chart:
        r"""The curves that :meth:`plot` draws, as numbers; :obj:`y` as in
        :meth:`certified_accuracy`.
        """
        return curves.chart(self, y)

    def plot(
        self,
        y: ArrayLike,
        path: str | os.PathLike[str] | None = None,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> Figure:
        r"""Draws certified accuracy over the adversary's budget. Needs the extra ``plot``.

        Args:
            y (array_like): Labels of the objects, integers ``[M]``.
            path (str, optional): Where to save the figure. (default: :obj:`None`)
            ax (matplotlib.axes.Axes, optional): Where to draw, one for each axis of the budget.
                (default: a new figure)
        """
        from pyg_hiersmooth.plotting import plot_certificates

        return plot_certificates({str(self.noise): (self, y)}, path, ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Writes a NumPy ``.npz`` file without pickled objects, atomically."""
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        r"""Reads what :meth:`save` wrote.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is not a certificate, or is damaged.
        """
        return storage.load(cls, path)

    def __repr__(self) -> str:
        return display.in_one_line(self)

    def _repr_html_(self) -> str:
        return display.as_html(self)
