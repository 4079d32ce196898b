r"""Certificates: pure functions of vote counts; no model, no data, no sampling."""

from pyg_hiersmooth.certificates import composed, messages_of_type  # noqa: F401 (files name them)
from pyg_hiersmooth.certificates.approval import ApprovalChoice, choose_approval
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.certification import certify_anytime, certify_votes
from pyg_hiersmooth.certificates.collective import CollectiveCertificate
from pyg_hiersmooth.certificates.confidence_sequences import (
    anytime_bounds,
    anytime_lower,
    anytime_upper,
)
from pyg_hiersmooth.certificates.exact import certify_counts
from pyg_hiersmooth.certificates.masks import largest_certified_r
from pyg_hiersmooth.certificates.prediction_sets import PredictionSets
from pyg_hiersmooth.certificates.stopping import StoppingRule, check_questions
from pyg_hiersmooth.certificates.views.explanation import Explanation
from pyg_hiersmooth.certificates.views.largest_budgets import largest_budgets
from pyg_hiersmooth.certificates.vote_bounds import (
    VoteBounds,
    clopper_pearson_lower,
    clopper_pearson_upper,
    vote_bounds,
)

__all__ = [
    "ApprovalChoice",
    "Certificate",
    "CollectiveCertificate",
    "Explanation",
    "PredictionSets",
    "StoppingRule",
    "VoteBounds",
    "anytime_bounds",
    "anytime_lower",
    "anytime_upper",
    "certify_anytime",
    "certify_counts",
    "certify_votes",
    "check_questions",
    "choose_approval",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "largest_budgets",
    "largest_certified_r",
    "vote_bounds",
]
