r"""A certificate as a table of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.checks import check_integers
from pyg_hiersmooth.certificates.views.explanation import CHANGED
from pyg_hiersmooth.certificates.views.largest_budgets import largest_budgets, largest_r
from pyg_hiersmooth.extras import require

if TYPE_CHECKING:
    import pandas as pd

    from pyg_hiersmooth.certificates.certificate import Certificate


def to_frame(certificate: Certificate, y: ArrayLike | None) -> pd.DataFrame:
    r"""As :meth:`Certificate.to_frame`."""
    columns = {
        "index": certificate.index,
        "prediction": certificate.prediction,
        "abstained": certificate.abstained,
        "p_lower": certificate.p_lower,
        "p_upper": certificate.p_upper,
    }
    if certificate.num_samples is not None:
        columns["num_samples"] = certificate.num_samples
    if not certificate.noise.axes:
        columns["largest_r"] = largest_r(certificate)
    for r in CHANGED if certificate.noise.axes else ():
        for name, strength in largest_budgets(certificate, r).items():
            columns[f"{name}_r{r}"] = strength
    if y is not None:
        columns["y"] = check_integers("y", y, len(certificate))
        columns["correct"] = certificate.correct(y)
    table = require("pandas", extra="frame").DataFrame(columns)
    table.attrs["threat"] = certificate.threat
    return table
