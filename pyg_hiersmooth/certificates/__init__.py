r"""Certificates: pure functions of vote counts; no model, no data, no sampling."""

from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.certification import certify_votes
from pyg_hiersmooth.certificates.collective import CollectiveCertificate
from pyg_hiersmooth.certificates.exact import certify_counts
from pyg_hiersmooth.certificates.masks import largest_certified_r
from pyg_hiersmooth.certificates.vote_bounds import (
    VoteBounds,
    clopper_pearson_lower,
    clopper_pearson_upper,
    vote_bounds,
)

__all__ = [
    "Certificate",
    "CollectiveCertificate",
    "VoteBounds",
    "certify_counts",
    "certify_votes",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "largest_certified_r",
    "vote_bounds",
]
