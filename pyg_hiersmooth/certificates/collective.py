r"""How many predictions no single attack can change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pyg_hiersmooth.certificates.attack_program import (
    METHODS,
    SMALLEST,
    max_changed_predictions,
)
from pyg_hiersmooth.certificates.breaking_points import POWER, BreakingPoints, breaking_points
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.checks import (
    ReceptiveField,
    as_matrix,
    check_count,
    check_integers,
    check_receptive_field,
)
from pyg_hiersmooth.certificates.exposures import check_exposure, exposed_needs, with_own
from pyg_hiersmooth.certificates.views import display
from pyg_hiersmooth.choices import AttackMethod, check_choice
from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.extras import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CHANGED = (0, 1, 2, 3, 5, 10, 20)
r"""Numbers of changed nodes that a table shows."""


class CollectiveCertificate:
    r"""How many of the predictions of a graph no single attack can change.

    Separate certificates let the adversary attack every target with the full budget. A single
    attack has one budget, and changes a prediction only if enough of it is spent in that target's
    receptive field. The most that can fall is an integer program; every upper bound of it is a
    proof (Schuchardt et al. 2021, *Collective Robustness Certificates*). A prediction that is
    certified by itself never counts as fallen, so there are never fewer than one by one.

    Where messages are ablated, the certificates are about *other* nodes, and of all targets those
    that are themselves changed count as fallen. Then there are two adversaries:

    * without :obj:`receptive_field`, the one of :attr:`Certificate.threat`, who takes over nodes
      and changes edges. He fells at most :obj:`r` targets besides those that one by one may fall;
    * with it, one who changes features, the graph fixed. Numbers instead of bools say more: the
      outcomes through which a node reaches a target, or the probability that it does (*exposures*;
      see :func:`~pyg_hiersmooth.certificates.exposures.exposed_needs`). What holds against the
      first adversary holds against this one: the better of both bounds counts.

    Args:
        certificate (Certificate): The certificates of the targets, all nodes of one graph, which
            must hold at once.
        receptive_field (scipy.sparse or array_like, optional): Which entities' features can reach
            which target, bool ``[M, N]``; for ablated messages also integers (of exact
            certificates) or floats. It is a fact about the model that is not checked here.
            (default: :obj:`None`)

    Raises:
        ValueError: If :obj:`certificate` does not hold for all targets at once, or
            :obj:`receptive_field` does not fit it, is about other targets, or is missing.
    """

    def __init__(
        self, certificate: Certificate, receptive_field: ReceptiveField | None = None
    ) -> None:
        if not certificate.simultaneous:
            raise ValueError(
                "'certificate' must hold for all targets at once (got one that holds for each): "
                "make it with certify(..., simultaneous=True), or exactly, with a "
                "PartitionSelection and AblationNoise"
            )
        if certificate.noise.changes_pairs:
            raise NotCertifiableError(
                "collective certificates count changed nodes, not pairs of them "
                f"(got {certificate.noise})"
            )
        of_one_type = certificate.noise.spares_target and not certificate.noise.bears_exposures
        if receptive_field is not None and of_one_type:
            raise ValueError(
                "'receptive_field' is for homogeneous graphs where messages are ablated (got "
                f"{certificate.noise}): leave it out"
            )
        sizes = certificate.num_entities
        if sizes is not None and len(np.unique(sizes)) > 1:
            raise ValueError(
                f"'certificate' must be of the nodes of one graph (got graphs of {sizes.min()} to "
                f"{sizes.max()} entities)"
            )
        num_entities = None if sizes is None or len(sizes) == 0 else int(sizes[0])
        self.certificate = certificate
        self.exposes = False
        self.receptive_field: sparse.csr_array | None = None
        if receptive_field is not None:
            kind = as_matrix(receptive_field).dtype.kind
            self.exposes = certificate.noise.spares_target and kind != "b"
        if self.exposes:
            self.receptive_field = check_exposure(certificate, receptive_field)
        elif receptive_field is not None:
            self.receptive_field = check_receptive_field(
                receptive_field, len(certificate), num_entities, certificate.index
            )
        elif not certificate.noise.spares_target:
            raise ValueError(
                f"'receptive_field' is needed for {certificate.noise} (got None): only of ablated "
                "messages there is a bound without it"
            )

    def __len__(self) -> int:
        return len(self.certificate)

    def num_robust(
        self,
        r: int,
        correct: ArrayLike | None = None,
        method: AttackMethod = "milp",
        time_limit: float = 10.0,
        max_per_node: Mapping[str, ArrayLike] | None = None,
        **budget: Any,
    ) -> int:
        r"""A lower bound on the number of predictions that stay, whatever one attack within budget
        does.

        Args:
            r (int): Most entities that the adversary changes in total.
            correct (array_like, optional): Which targets count, bool ``[M]``; never an abstention.
                (default: all that do not abstain)
            method (str): ``"lp"`` solves the linear relaxation, which is fast and proves less;
                ``"milp"`` then branches and takes the better bound it reaches.
                (default: :obj:`"milp"`)
            time_limit (float): Seconds to branch. (default: :obj:`10.0`)
            max_per_node (Mapping, optional): The most of a budget of the noise that one entity may
                take, a number or one for each entity ``[N]``, such as
                ``{"deletions": data.x.sum(1)}``. (default: :obj:`None`)
            **budget: The adversary's total strength: ``eps`` in the noise's own norm,
                ``additions`` and ``deletions``, or nothing.

        Returns:
            int: In ``[0, M]``. Where a solver finds no bound it warns, and only what is proven
            without it counts.

        Raises:
            TypeError: If a budget does not belong to the noise, or is missing.
            ValueError: If an argument is out of range or does not fit the targets.
        """
        r = check_count("r", r)
        check_choice("method", method, METHODS)
        if not time_limit > 0.0:
            raise ValueError(f"'time_limit' must be a positive number (got {time_limit})")
        noise = self.certificate.noise
        budget = noise.check_budget(**budget)
        per_entity = self._most_of_each(budget, max_per_node)
        counted = ~self.certificate.abstained
        if correct is not None:
            counted &= self._mask(correct)
        stay = 0
        if noise.spares_target:  # one by one against the stronger adversary, but for those changed
            robust = counted & self.certificate.is_robust(r)
            _, times = np.unique(self.certificate.index[robust], return_counts=True)
            stay = int(np.sort(times)[: max(len(times) - r, 0)].sum())
        if self.receptive_field is None:
            return stay
        r = int(min(r, noise.reach(**budget), self.receptive_field.shape[1]))
        points, reach = self._what_falls(self.receptive_field, r, budget)
        kept = counted[points.target]
        continuous = noise.norm is not None
        fallen = max_changed_predictions(
            points._replace(target=points.target[kept], needs=points.needs[kept]),
            reach,
            np.array([r, *([1.0] if continuous else budget.values())], dtype=np.float64),
            per_entity,
            np.full(len(per_entity), not continuous),
            method,
            time_limit,
        )
        return max(int(counted.sum()) - fallen, stay)

    def _what_falls(
        self, field: sparse.csr_array, r: int, budget: dict[str, Any]
    ) -> tuple[BreakingPoints, sparse.csr_array]:
        r"""What an attack must reach to change predictions, and how far each entity goes."""
        certificate = self.certificate
        if not certificate.noise.spares_target:
            return breaking_points(certificate, r, **budget), field
        if self.exposes:
            needs, reach = exposed_needs(certificate, field, SMALLEST)
        else:
            needs = certificate.grid(r).sum(1).astype(np.float64)  # one more than it withstands
            reach = with_own(certificate, field.astype(np.float64), needs)
        falls = np.flatnonzero(needs > 0) if r > 0 else np.zeros(0, dtype=np.int64)
        return BreakingPoints(falls, needs[falls, None]), reach

    @property
    def threat(self) -> str:
        r"""The adversary that this certificate is about, in one sentence."""
        noise = self.certificate.noise
        if not noise.spares_target or self.receptive_field is None:
            return noise.threat_to_all(self.certificate.entities)
        return (
            "the features of at most r nodes change to anything, the graph is fixed; one attack on "
            "all targets, of which those that are changed count as fallen"
        )

    def certified_accuracy(self, y: ArrayLike, r: int, **options: Any) -> float:
        r"""A lower bound on the share of targets that are correct and stay.

        Args:
            y (array_like): Labels of the targets, integers ``[M]``.
            r (int): Most entities that the adversary changes in total.
            **options: As in :meth:`num_robust`.
        """
        return self._share(r, self.certificate.correct(y), **options)

    def certified_ratio(self, r: int, **options: Any) -> float:
        r"""A lower bound on the share of targets that stay, correct or not; arguments as in
        :meth:`num_robust`.
        """
        return self._share(r, None, **options)

    def curve(
        self,
        y: ArrayLike | None = None,
        changed: Sequence[int] = CHANGED,
        progress: Callable[[list[int]], Iterable[int]] = iter,
        **options: Any,
    ) -> np.ndarray:
        r"""Certified accuracy, or the certified ratio without :obj:`y`, for each number of changed
        entities.

        What stays for more of them stays for fewer: a solver that was stopped early takes the
        better bound of a larger attack.

        Args:
            y (array_like, optional): Labels of the targets, integers ``[M]``.
                (default: :obj:`None`)
            changed (sequence of int): Numbers of changed entities, increasing.
            progress (callable): Takes the numbers that a program is solved for and hands them out
                one by one, such as :class:`tqdm.tqdm`. (default: :func:`iter`)
            **options: As in :meth:`num_robust`.

        Returns:
            numpy.ndarray: float64 ``[len(changed)]``.
        """
        changed = check_integers("changed", changed, least=0).tolist()
        if sorted(changed) != changed:
            raise ValueError(f"'changed' must increase (got {changed})")
        correct = None if y is None else self.certificate.correct(y)
        noise, budget = self.certificate.noise, self._budget(options)
        reach = noise.reach(**noise.check_budget(**budget))
        reached = [int(min(r, reach)) for r in changed]
        solved = {r: self._share(r, correct, **options) for r in progress(sorted(set(reached)))}
        shares = np.array([solved[r] for r in reached], dtype=np.float64)
        return np.maximum.accumulate(shares[::-1])[::-1]

    def one_by_one(
        self, y: ArrayLike | None = None, changed: Sequence[int] = CHANGED, **options: Any
    ) -> np.ndarray:
        r"""The same for a separate attack on every target (if messages are ablated, on others than
        itself): what the certificates say one by one. Arguments and result as in :meth:`curve`.
        """
        certificate, budget = self.certificate, self._budget(options)
        if self.exposes:
            budget["exposure"] = self.receptive_field
        if y is None:
            return np.array([certificate.certified_ratio(r, **budget) for r in changed])
        return np.array([certificate.certified_accuracy(y, r, **budget) for r in changed])

    def to_frame(
        self, y: ArrayLike | None = None, changed: Sequence[int] = CHANGED, **options: Any
    ) -> pd.DataFrame:
        r"""One row per number of changed entities: what is certified for one attack on all targets
        (``collective``) and for one attack on each (``one_by_one``). Arguments as in
        :meth:`curve`. Needs the extra ``frame``.
        """
        pandas = require("pandas", extra="frame")
        table = pandas.DataFrame(
            {
                "r": list(changed),
                "collective": self.curve(y, changed, **options),
                "one_by_one": self.one_by_one(y, changed, **options),
            }
        )
        table.attrs["threat"] = self.threat
        return table

    def plot(
        self,
        y: ArrayLike,
        path: str | os.PathLike[str] | None = None,
        changed: Sequence[int] = range(21),
        **options: Any,
    ) -> Figure:
        r"""Draws certified accuracy over the number of changed entities, for one attack on all
        targets and for one attack on each, and saves it where :obj:`path` is given. Arguments as
        in :meth:`curve`. Needs the extra ``plot``.
        """
        from pyg_hiersmooth.plotting import plot_collective

        curves: dict[str, ArrayLike] = {
            "one attack on all": self.curve(y, changed, **options),
            "one attack on each": self.one_by_one(y, changed, **options),
        }
        clean_accuracy = self.certificate.clean_accuracy(y)
        title = f"{self.certificate.smoothing}\nagainst: {self.threat}"
        return plot_collective(changed, curves, clean_accuracy, title, path)

    def _budget(self, options: Mapping[str, Any]) -> dict[str, Any]:
        names = self.certificate.noise.budget
        return {name: options[name] for name in names if name in options}

    def _share(self, r: int, correct: np.ndarray | None, **options: Any) -> float:
        return self.num_robust(r, correct, **options) / max(len(self), 1)

    def _mask(self, correct: ArrayLike) -> np.ndarray:
        mask = np.asarray(correct)
        if mask.dtype != bool or mask.shape != (len(self),):
            raise ValueError(
                f"'correct' must be a bool mask [{len(self)}], one for each target "
                f"(got {mask.dtype} {list(mask.shape)})"
            )
        return mask

    def _most_of_each(
        self, budget: Mapping[str, float], max_per_node: Mapping[str, ArrayLike] | None
    ) -> np.ndarray:
        r"""The most of each budget that one entity can take, in the units of breaking points:
        float64 ``[B, N]``.
        """
        noise = self.certificate.noise
        num_entities = 0 if self.receptive_field is None else self.receptive_field.shape[1]
        limits = dict(max_per_node or {})
        foreign = sorted(set(limits) - set(noise.budget))
        if foreign:
            raise TypeError(
                f"'max_per_node' takes the budgets of {noise}, {list(noise.budget)} "
                f"(got '{foreign[0]}')"
            )
        most = np.empty((len(budget), num_entities))
        for row, (name, total) in zip(most, budget.items(), strict=True):
            limit = np.asarray(limits.get(name, total), dtype=np.float64)
            if limit.shape not in ((), (num_entities,)) or not (limit >= 0.0).all():
                raise ValueError(
                    f"'max_per_node' must hold for '{name}' a number of at least 0 or one for each "
                    f"of {num_entities} entities (got shape {list(limit.shape)})"
                )
            row[:] = np.minimum(limit, total)
            if noise.norm is not None:
                share = (row / max(total, 1e-300)) ** POWER[noise.norm]
                row[:] = np.where(row > 0.0, np.maximum(share, 1e-300), 0.0)
            else:
                row[:] = np.floor(row)
        return most

    def __repr__(self) -> str:
        certificate = display.described(self.certificate)
        reach = ""
        if self.receptive_field is not None:
            _, num_entities = self.receptive_field.shape
            mean = self.receptive_field.nnz / max(len(self), 1)
            reach = f", {num_entities} entities, {mean:.1f} in a receptive field"
        return f"{type(self).__name__}({certificate}{reach}) against: {self.threat}"
