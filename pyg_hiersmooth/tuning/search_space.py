r"""What a search tries: parameters of the noise of nodes, and of edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyg_hiersmooth.choices import SelectionName
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.noise import NOISES, Noise, SearchRange

if TYPE_CHECKING:
    import optuna

LEAST_GROUPS, MOST_GROUPS = 4, 24
r"""Groups of a partition that are tried."""


@dataclass(frozen=True)
class Level:
    r"""What is searched of the noise of nodes, or of edges.

    Attributes:
        prefix (str): What the names of its parameters begin with.
        selection (str): ``"bernoulli"`` or ``"partition"``.
        changed (int): How many nodes, or pairs, the adversary can change.
        at_will (bool): Whether they change at will.
        space (tuple of SearchRange): Where the parameters of the noise are.
    """

    prefix: str
    selection: SelectionName
    changed: int
    at_will: bool
    space: tuple[SearchRange, ...]


def find_levels(settings: Settings, noise: Noise, r: int, budget: dict[str, Any]) -> list[Level]:
    r"""What is searched, given the noise that certificates are made with and the adversary."""
    if noise.changes_nothing(r, **budget):
        raise ValueError(f"'r' and the budget must allow a change (got r={r} and {budget})")
    nodes, pairs = settings.smoothing, settings.pairs
    changed = int(min(r, noise.reach(**budget)))
    levels = []
    if nodes.noise != "none":
        kind = NOISES[nodes.noise]
        own = {axis.name: budget[axis.name] for axis in kind.axes}
        space = kind.search_space(**own)
        levels.append(Level("", nodes.selection, changed, not kind.axes, space))
    if pairs is not None:
        kind = NOISES[pairs.edges]
        if nodes.noise != "none":
            changed = sum(budget.values()) if kind.axes else budget["edges"]
        space = kind.search_space(**(budget if kind.axes else {}))
        selection = pairs.edges_selection or "bernoulli"
        levels.append(Level("edges_", selection, changed, not kind.axes, space))
    most = (MOST_GROUPS - 1) // 2
    for level in levels:
        if level.selection == "partition" and level.changed > most:
            what = "pairs of nodes" if level.prefix else "nodes"
            raise ValueError(
                f"'r' must be at most {most} for '{level.prefix}selection' partition, which "
                f"certifies less than half as many {what} as there are groups, of at most "
                f"{MOST_GROUPS} (got {level.changed})"
            )
    return levels


def suggest_parameters(trial: optuna.trial.BaseTrial, levels: Sequence[Level]) -> dict[str, Any]:
    r"""Parameters of a smoothing, to three digits, and more where many nodes change."""
    return {name: value for level in levels for name, value in _of_level(trial, level).items()}


def _of_level(trial: optuna.trial.BaseTrial, level: Level) -> dict[str, Any]:
    # Nothing is certified unless all changed nodes are selected with more than one half, and
    # nothing can be classified if all features are lost, where rows may change at will.
    changed = max(level.changed, 1)
    digits = 2 + len(str(changed))
    ranges, chosen = level.space, dict[str, Any]()
    if level.selection == "partition":
        least_groups = max(LEAST_GROUPS, 2 * changed + 1)
        name = f"{level.prefix}groups"
        chosen[name] = trial.suggest_int(name, least_groups, MOST_GROUPS)
    elif not level.prefix or level.at_will:  # to flip the edges of some pairs is to flip fewer
        least_p = math.ceil(0.5 ** (1.0 / changed) * 10**digits) / 10**digits
        most_p = 0.99 ** (1.0 / changed) if level.at_will else 1.0
        ranges = (SearchRange("p", least_p, most_p), *level.space)
    for each in ranges:
        name = f"{level.prefix}{each.name}"
        value = trial.suggest_float(name, each.low, each.high, log=each.log)
        chosen[name] = float(f"{value:.{digits}g}")
    return chosen
