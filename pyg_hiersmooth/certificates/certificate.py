r"""The result of certification: what can be asked of it, and how it is kept on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import curves, display, frame, grids, storage
from pyg_hiersmooth.certificates.certified_votes import CertifiedVotes
from pyg_hiersmooth.certificates.explanation import Explanation, explanation_of
from pyg_hiersmooth.chart import Chart

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(eq=False, repr=False)
class Certificate(CertifiedVotes):
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
    """

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
        r"""One row an object: its index, prediction, bounds and votes, the largest budgets that it
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
                (default: a figure of its own)
        """
        from pyg_hiersmooth.plotting import plot_certificates

        return plot_certificates({str(self.noise): (self, y)}, path, ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Writes a NumPy ``.npz`` file without pickled objects, all of it or nothing."""
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
