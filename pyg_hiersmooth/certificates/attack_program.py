r"""The most predictions that one attack can change: a linear program, and the bound it proves."""

from __future__ import annotations

import warnings
from typing import NamedTuple, get_args

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from pyg_hiersmooth.certificates.breaking_points import BreakingPoints
from pyg_hiersmooth.choices import AttackMethod

METHODS: tuple[AttackMethod, ...] = get_args(AttackMethod)

SMALLEST = 1e-5
r"""The smallest share of what a target needs that a program holds. The solver drops coefficients
below 1e-9 and takes 1e-6 for nothing."""


class AttackProgram(NamedTuple):
    r"""Maximize ``objective @ x`` subject to ``matrix @ x <= b_ub`` and ``0 <= x <= upper``.

    The variables are, in this order: for each breaking point, whether its target falls there; for
    each group of alike entities, how many are changed; and for each budget in turn, how much of it
    each group gets.
    """

    objective: np.ndarray
    matrix: sparse.csr_array
    b_ub: np.ndarray
    upper: np.ndarray
    integrality: np.ndarray
    r"""Which variables are whole numbers, bool."""


def max_changed_predictions(
    points: BreakingPoints,
    receptive_field: sparse.csr_array,
    totals: np.ndarray,
    per_entity: np.ndarray,
    integrality: np.ndarray,
    method: AttackMethod,
    time_limit: float,
) -> int:
    r"""An upper bound on the number of targets that fall to one attack.

    With :math:`b_j` for "entity :math:`j` is changed", :math:`u_{c,j}` what it gets of budget
    :math:`c`, and :math:`t_{v,k}` for "target :math:`v` falls at its breaking point :math:`k`",

    .. math::
        \max \sum_{v,k} t_{v,k} \quad \textrm{subject to} \quad
        \sum_k n_{v,k,c} \, t_{v,k} \le \sum_{j \in \mathrm{RF}(v)} u_{c,j}, \quad
        \sum_k t_{v,k} \le 1, \quad \sum_j u_{c,j} \le \mathrm{total}_c, \quad
        u_{c,j} \le \mathrm{most}_{c,j} \, b_j

    where :math:`u_0 = b`, and :math:`b_j \le \sum_{c > 0} u_{c,j}` for flips (Schuchardt et al.
    2021, *Collective Robustness Certificates*, for flat ones). Every attack is a solution, so every
    upper bound of the optimum is a proof.

    Args:
        points (BreakingPoints): What targets fall at.
        receptive_field (scipy.sparse.csr_array): How much of the changed entities that a target
            needs each entity stands for, ``[M, N]``: bool, or numbers that are 0 or not far from
            those needs.
        totals (numpy.ndarray): Most changed entities and all of each budget, ``[1 + B]``.
        per_entity (numpy.ndarray): Most of each budget for one entity, ``[B, N]``.
        integrality (numpy.ndarray): Which budgets are whole numbers, bool ``[B]``.
        method (str): ``"lp"``, the linear relaxation, or ``"milp"``, the better of its bound and
            that of branch and cut.
        time_limit (float): Seconds after which branch and cut takes the bound it has.

    Returns:
        int: At most the number of targets with points, which is the result if no bound is found.
    """
    receptive_field = receptive_field.astype(np.float64)
    points = _within_reach(points, receptive_field, totals, per_entity)
    every = len(np.unique(points.target))
    if every == 0:
        return 0
    scaled = _in_units(points, totals, per_entity, integrality)
    program = _program(*scaled, receptive_field, integrality)
    bounds = [_dual_bound(program)]
    if method == "milp":
        bounds.append(_integer_bound(program, time_limit))
    if None in bounds:
        warnings.warn(
            f"a solver found no bound for the attack (method='{method}', time_limit={time_limit}): "
            "the result uses only what is proved without it",
            RuntimeWarning,
            stacklevel=3,
        )
    return min([every, *(int(np.floor(bound)) for bound in bounds if bound is not None)])


def _dual_bound(program: AttackProgram) -> float | None:
    r"""The bound that the dual solution proves by itself, however exact the solver was: for *any*
    :math:`y \ge 0`, :math:`c^T x \le y^T b + \sum_i \mathrm{upper}_i \max(0, (c - A^T y)_i)`
    (Neumaier & Shcherbina 2004).
    """
    objective, matrix, b_ub, upper, _ = program
    box = np.column_stack([np.zeros_like(upper), upper])
    result = linprog(-objective, A_ub=matrix, b_ub=b_ub, bounds=box, method="highs")
    if result.status != 0:
        return None
    duals = np.maximum(-result.ineqlin.marginals, 0.0)
    bound = duals @ b_ub + upper @ np.maximum(objective - matrix.T @ duals, 0.0)
    return float(bound + 1e-9 * (bound + len(objective))) if np.isfinite(bound) else None


def _integer_bound(program: AttackProgram, time_limit: float) -> float | None:
    r"""The dual bound of branch and cut, which holds at any time; a margin for its tolerances."""
    result = milp(
        -program.objective,
        integrality=program.integrality,
        bounds=Bounds(0.0, program.upper),
        constraints=LinearConstraint(program.matrix, -np.inf, program.b_ub),
        options={"time_limit": time_limit},
    )
    bound = result.mip_dual_bound
    if result.status not in (0, 1) or bound is None or not np.isfinite(bound):
        return None
    return float(-bound + 1e-6 * (1 + len(program.objective)))


def _within_reach(
    points: BreakingPoints,
    receptive_field: sparse.csr_array,
    totals: np.ndarray,
    per_entity: np.ndarray,
) -> BreakingPoints:
    r"""Without the points that no attack inside the receptive field reaches."""
    most_of_one = receptive_field.max(axis=1).toarray().ravel()
    changed = np.minimum(totals[0] * most_of_one, receptive_field.sum(1))
    given = np.minimum((receptive_field > 0) @ per_entity.T, totals[1:])
    most = np.column_stack([changed, given])
    kept = (points.needs <= most[points.target] * (1.0 + 1e-9)).all(1)
    return BreakingPoints(points.target[kept], points.needs[kept])


def _in_units(
    points: BreakingPoints, totals: np.ndarray, per_entity: np.ndarray, integrality: np.ndarray
) -> tuple[BreakingPoints, np.ndarray, np.ndarray]:
    r"""The same with each distance in units of the most that a target needs of it, so that a solver
    can tell it from zero. What is too small a share of that is rounded against the claim: needs
    down to 0, what an entity takes up. More than a unit helps no attack.
    """
    needs, totals, per_entity = points.needs.copy(), totals.copy(), per_entity.copy()
    for budget in np.flatnonzero(~integrality):
        unit = max(needs[:, 1 + budget].max(), 1e-290)
        share = needs[:, 1 + budget] / unit * (1.0 - 1e-12)
        needs[:, 1 + budget] = np.where(share < SMALLEST, 0.0, share)
        takes = per_entity[budget]
        most = np.clip(np.minimum(takes, unit) / unit, SMALLEST, 1.0)
        per_entity[budget] = np.where(takes > 0.0, most, 0.0)
        totals[1 + budget] = min(totals[1 + budget], unit * per_entity[budget].sum()) / unit
    return points._replace(needs=needs), totals, per_entity


def _program(
    points: BreakingPoints,
    totals: np.ndarray,
    per_entity: np.ndarray,
    receptive_field: sparse.csr_array,
    integrality: np.ndarray,
) -> AttackProgram:
    reach, target, needs, weight = _merge_targets(points, receptive_field)
    reach, size, most = _merge_entities(reach, per_entity)
    num_targets, num_entities = reach.shape
    num_points, num_budgets = needs.shape[0], len(most)
    point = np.arange(num_points)
    rows: list[list[sparse.sparray | None]] = []
    b_ub = []
    none = [None] * (1 + num_budgets)
    one = sparse.eye_array(num_entities, format="csr")

    for budget, total in enumerate(totals):
        needed = sparse.csr_array(
            (needs[:, budget], (target, point)), shape=(num_targets, num_points)
        )
        asks = np.flatnonzero(needed.sum(1))
        spent = none.copy()
        spent[budget] = -(reach if budget == 0 else reach > 0)[asks].astype(np.float64)
        rows.append([needed[asks], *spent])
        b_ub.append(np.zeros(len(asks)))
        spent = none.copy()
        spent[budget] = sparse.csr_array(np.ones((1, num_entities)))
        rows.append([None, *spent])
        b_ub.append(np.array([total]))
    for budget in range(num_budgets):
        spent = none.copy()
        spent[0], spent[1 + budget] = sparse.diags_array(-most[budget]), one
        rows.append([None, *spent])
        b_ub.append(np.zeros(num_entities))
    if integrality.any():  # an entity without a single flip is not changed
        rows.append([None, one, *[-one] * num_budgets])
        b_ub.append(np.zeros(num_entities))
    if num_points > num_targets:
        once = sparse.csr_array((np.ones(num_points), (target, point)))
        rows.append([once, *none])
        b_ub.append(np.ones(num_targets))

    return AttackProgram(
        objective=np.concatenate([weight[target], np.zeros((1 + num_budgets) * num_entities)]),
        matrix=sparse.block_array(rows, format="csr"),
        b_ub=np.concatenate(b_ub),
        upper=np.concatenate(
            [
                np.ones(num_points),
                np.minimum(size, totals[0]),
                np.minimum(most * size, totals[1:, None]).ravel(),
            ]
        ),
        integrality=np.concatenate(
            [np.ones(num_points + num_entities, bool), np.repeat(integrality, num_entities)]
        ),
    )


def _merge_targets(
    points: BreakingPoints, receptive_field: sparse.csr_array
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray, np.ndarray]:
    r"""Targets of equal receptive field and equal points fall together: the field of one of each,
    their points, and how many each stands for.
    """
    order = np.argsort(points.target, kind="stable")
    targets, start = np.unique(points.target[order], return_index=True)
    own_points = np.split(order, start[1:])
    alike: dict[tuple[bytes, ...], list[int]] = {}
    for position, (target, own) in enumerate(zip(targets, own_points, strict=True)):
        first, last = receptive_field.indptr[target : target + 2]
        reached = receptive_field.indices[first:last], receptive_field.data[first:last]
        key = *(values.tobytes() for values in reached), points.needs[own].tobytes()
        alike.setdefault(key, []).append(position)
    chosen = [positions[0] for positions in alike.values()]
    kept = np.concatenate([own_points[position] for position in chosen])
    number = np.repeat(np.arange(len(chosen)), [len(own_points[position]) for position in chosen])
    weight = np.array([len(positions) for positions in alike.values()], dtype=np.float64)
    return receptive_field[targets[chosen]], number, points.needs[kept], weight


def _merge_entities(
    field: sparse.csr_array, per_entity: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    r"""Entities that reach the same targets and take as much are alike: the field of one of each,
    their numbers, and the most that each takes. Those that reach no target are left out.
    """
    by_entity = field.tocsc()
    by_entity.sort_indices()
    alike: dict[tuple[bytes, ...], list[int]] = {}
    for entity in np.flatnonzero(np.diff(by_entity.indptr)):
        first, last = by_entity.indptr[entity : entity + 2]
        reached = by_entity.indices[first:last], by_entity.data[first:last]
        key = *(values.tobytes() for values in reached), per_entity[:, entity].tobytes()
        alike.setdefault(key, []).append(int(entity))
    chosen = [entities[0] for entities in alike.values()]
    size = np.array([len(entities) for entities in alike.values()], dtype=np.float64)
    return by_entity[:, chosen].tocsr(), size, per_entity[:, chosen]
