r"""What a certificate says about one object, in words and in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_hiersmooth.certificates.views import grids
from pyg_hiersmooth.certificates.views.largest_budgets import largest_budgets, largest_r
from pyg_hiersmooth.words import numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyg_hiersmooth.certificates.certificate import Certificate

CHANGED = (1, 2, 3)
r"""Numbers of changed entities that are reported."""


@dataclass(frozen=True, repr=False)
class Explanation:
    r"""What a certificate says about one object.

    Args:
        certificate (Certificate): The certificate of this object alone.
        receptive_field (int, optional): How many entities can reach its prediction.
            (default: :obj:`None`)
    """

    certificate: Certificate
    receptive_field: int | None = None

    @property
    def index(self) -> int:
        r"""Which object this is."""
        return int(self.certificate.index[0])

    @property
    def prediction(self) -> int:
        r"""Its class; -1 where the smoothed classifier abstains."""
        return int(self.certificate.prediction[0])

    @property
    def p_lower(self) -> float:
        r"""A lower bound on the vote probability of its class."""
        return float(self.certificate.p_lower[0])

    @property
    def p_upper(self) -> float:
        r"""An upper bound on the vote probability of every other class."""
        return float(self.certificate.p_upper[0])

    @property
    def num_samples(self) -> int | None:
        r"""The votes that bound it; :obj:`None` where they are not known."""
        taken = self.certificate.num_samples
        return None if taken is None else int(taken[0])

    @property
    def largest_r(self) -> int | None:
        r"""The most entities that may be changed at will; :obj:`None` where there is a budget."""
        return None if self.certificate.noise.axes else int(largest_r(self.certificate)[0])

    def largest_budgets(self, r: int | None) -> dict[str, float]:
        r"""For each axis of the noise's budget, the largest strength, the others being 0, that it
        withstands at :obj:`r` changed entities, or at as many as that allows.
        """
        found = largest_budgets(self.certificate, r)
        return {name: strength[0].item() for name, strength in found.items()}

    def frontier(self, r: int, max_additions: int = 64) -> list[tuple[int, int]]:
        r"""For flips, the pairs of additions and most deletions that it withstands together.

        Args:
            r (int): Most entities that the adversary changes.
            max_additions (int): Where to stop. (default: :obj:`64`)
        """
        pairs = []
        most = int(self.largest_budgets(r)["deletions"])
        grid = grids.grid(self.certificate, r, max_additions, max(most, 0))[0, r]
        for additions, deletions in enumerate(grid):
            if not deletions.any():
                break
            pairs.append((additions, int(deletions.nonzero()[0][-1])))
        return pairs

    def rows(self) -> list[tuple[str, str]]:
        r"""All of it, one fact per row."""
        certificate = self.certificate
        rows = [("prediction", f"class {self.prediction}" if self.prediction >= 0 else "abstains")]
        if certificate.exact:
            shares = f"{self.p_lower:.1%} of all outcomes, the next class {self.p_upper:.1%}"
            rows.append(("votes", shares))
        else:
            bounds = f"at least {self.p_lower:.1%}, every other class at most {self.p_upper:.1%}"
            rows.append(("vote probability", bounds))
        if self.num_samples is not None and not certificate.exact:
            rows.append(("samples", f"{self.num_samples:,}"))
        if self.receptive_field is not None:
            rows.append(("receptive field", f"{self.receptive_field:,} {certificate.entities}"))
        rows.append(("smoothing", certificate.smoothing))
        rows.append(("against", certificate.threat))
        if self.prediction >= 0:
            rows += self._region()
        return rows

    def plot(self, ax: Axes | None = None) -> Figure:
        r"""Draws what it withstands: the numbers of changed entities over additions and deletions,
        the radius over the number of changed entities, or that number. Needs the extra ``plot``.

        Args:
            ax (matplotlib.axes.Axes, optional): Where to draw. (default: a new figure)
        """
        from pyg_hiersmooth.plotting import plot_explanation

        return plot_explanation(self, ax)

    def __repr__(self) -> str:
        lines = [f"  {name}: {value}" for name, value in self.rows()]
        return "\n".join([f"{type(self).__name__} of {self.index}", *lines])

    def _repr_html_(self) -> str:
        return html_table(f"Object {self.index}", self.rows())

    def _region(self) -> list[tuple[str, str]]:
        if self.largest_r is not None:
            changed = f"any change of {numbered(self.largest_r, self.certificate.counted)}"
            told = changed if self.certificate.noise.fixes_graph else f"r = {self.largest_r}"
            return [("withstands", told)]
        rows = []
        for r in (None,) if self.certificate.noise.budget_is_r else CHANGED:
            most = self.largest_budgets(r)
            axes = {axis.name: axis for axis in self.certificate.noise.axes}
            words = (
                f"{int(value)} {name}" if axes[name].whole else f"{name} = {value:.4g}"
                for name, value in most.items()
            )
            told = "withstands" if r is None else f"withstands, r = {r}"
            rows.append((told, " or ".join(words)))
        return rows


def html_table(title: str, rows: list[tuple[str, Any]]) -> str:
    r"""A table of two columns for a notebook."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def explanation_of(
    certificate: Certificate, position: int, receptive_field: Any = None
) -> Explanation:
    r"""What a certificate says about the object at a position.

    Args:
        certificate (Certificate): The certificate.
        position (int): Where the object is in it; negative ones count from the end.
        receptive_field (scipy.sparse, optional): Which entities can reach which object, bool
            ``[M, N]``. (default: :obj:`None`)

    Raises:
        IndexError: If there is no such object.
    """
    size = len(certificate)
    if not -size <= position < size:
        raise IndexError(f"position must lie in [{-size}, {size}) (got {position})")
    own = certificate.subset(np.array([position % size]))
    reached = None
    if receptive_field is not None:
        reached = int(receptive_field[[position % size]].sum())
    return Explanation(own, reached)
