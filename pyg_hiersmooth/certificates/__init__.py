r"""Certificates: pure functions of vote counts; no model, no data, no sampling."""

from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.confidence import (
    VoteBounds,
    clopper_pearson_lower,
    clopper_pearson_upper,
    vote_bounds,
)
from pyg_hiersmooth.certificates.votes import certify_votes

__all__ = [
    "Certificate",
    "VoteBounds",
    "certify_votes",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "vote_bounds",
]
