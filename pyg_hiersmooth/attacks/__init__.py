r"""Attacks on smoothed classifiers, within the threats of their certificates: bounds from above."""

from pyg_hiersmooth.attacks.accuracies import Accuracies, attacked_accuracies
from pyg_hiersmooth.attacks.attack_result import AttackResult
from pyg_hiersmooth.attacks.changes import Changes
from pyg_hiersmooth.attacks.smoothed_attack import SmoothedAttack

__all__ = ["Accuracies", "AttackResult", "Changes", "SmoothedAttack", "attacked_accuracies"]
