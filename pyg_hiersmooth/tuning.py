r"""Searches for the smoothing that certifies most against an adversary."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import NOISES, AblationNoise, GaussianNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.sampling.checkpoint import fingerprint
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class TunedSmoothing:
    r"""A smoothing that was tried, and how it did.

    Attributes:
        transform (HierarchicalNodeFeatureNoise): The smoothing.
        parameters (dict): What was chosen of it: :obj:`p`, and the parameters of the noise.
        clean_accuracy (float): Accuracy without an adversary; abstentions count as wrong.
        certified_accuracy (float): Certified accuracy against the adversary.
    """

    transform: HierarchicalNodeFeatureNoise
    parameters: dict[str, float]
    clean_accuracy: float
    certified_accuracy: float


def tune_smoothing(
    train: Callable[[HierarchicalNodeFeatureNoise], torch.nn.Module],
    data: Data,
    node_index: ArrayLike | Tensor,
    num_classes: int,
    noise: str,
    r: int = 1,
    *,
    min_clean_accuracy: float = 0.0,
    num_trials: int = 30,
    n0: int = 200,
    n: int = 1_000,
    alpha: float = 0.01,
    kind: str = "multiclass",
    seed: int = 0,
    num_workers: int | None = None,
    storage: str | os.PathLike[str] | None = None,
    training: str = "",
    progress: bool = True,
    **budget: Any,
) -> list[TunedSmoothing]:
    r"""Searches the selection probability and the parameters of a noise for the highest certified
    accuracy against one adversary, with the tree-structured Parzen estimator of `Optuna
    <https://optuna.org>`_. Needs the extra ``tune``.

    Every trial trains a model under the smoothing it tries, and certifies it with :obj:`n0` and
    :obj:`n` samples. Judge on validation nodes: accuracies of nodes that settings were chosen on
    are too good to report.

    Args:
        train (callable): Takes a transform and returns a model trained under it, of
            :obj:`D + 1` input features.
        data (torch_geometric.data.Data): The graph, with :obj:`x`, :obj:`edge_index` and
            :obj:`y`.
        node_index (torch.Tensor): Mask ``[num_nodes]`` or indices ``[M]`` of the nodes that
            smoothings are judged on.
        num_classes (int): Number of classes.
        noise (str): ``"flips"``, ``"ablation"``, ``"gaussian"``, ``"laplace"`` or ``"uniform"``.
        r (int): Most nodes that the adversary changes, at least 1. (default: :obj:`1`)
        min_clean_accuracy (float): Least clean accuracy of a smoothing, in :math:`[0, 1]`; others
            rank behind. (default: :obj:`0.0`)
        num_trials (int): Smoothings to try, those of an earlier search in :obj:`storage`
            included, at least 1. (default: :obj:`30`)
        n0 (int): Samples that select the class of a node. (default: :obj:`200`)
        n (int): Samples that bound its probability; a certificate with more certifies more.
            (default: :obj:`1_000`)
        alpha (float): Error probability of a certificate, in :math:`(0, 1)`.
            (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        seed (int): Seed of the search and of the samples. (default: :obj:`0`)
        num_workers (int, optional): Processes that sample on a CPU. (default: one a core)
        storage (str, optional): File that keeps the trials, and that a search with the same
            arguments goes on from, as if it had not been stopped. (default: :obj:`None`)
        training (str): What :obj:`train` does, in words of yours: a search that was kept with
            other words is not gone on with. (default: :obj:`""`)
        progress (bool): Whether to show a progress bar. (default: :obj:`True`)
        **budget: The adversary's budget in the vocabulary of the noise: :obj:`additions` and
            :obj:`deletions`, or :obj:`eps`, or nothing for ablation.

    Returns:
        All smoothings that were tried, the best one first: with enough clean accuracy, then by
        certified, then by clean accuracy.

    Raises:
        ImportError: If Optuna is not installed.
        TypeError: If the budget does not belong to the noise.
        ValueError: If an argument is out of range, or :obj:`storage` holds another search.
    """
    _check(noise, num_trials, min_clean_accuracy)
    changed = _num_changed(noise, r, budget)
    optuna = require("optuna", extra="tune")
    search = {"noise": noise, "r": r, **budget, "min_clean_accuracy": min_clean_accuracy}
    sampling = {"n0": n0, "n": n, "alpha": alpha, "kind": kind, "seed": seed}
    origin = {"training": training, "data": fingerprint(data.x, data.edge_index, data.y)}
    study = _study(storage, {**search, **sampling, **origin})
    bar = tqdm(range(_num_finished(study), num_trials), disable=not progress, desc="Tuning")
    for number in bar:
        # A sampler of its own for each trial: a search that goes on draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, number))
        trial = study.ask()
        transform = _smoothing(noise, **_suggest(trial, noise, changed, budget))
        smoothed = SmoothedNodeClassifier(train(transform), transform, num_classes)
        certificate = smoothed.certify(
            data, n0, n, alpha, seed, node_index, False, kind=kind, num_workers=num_workers
        )
        y = data.y.cpu().numpy()[certificate.index]
        clean = certificate.clean_accuracy(y)
        certified = certificate.certified_accuracy(y, r, **budget)
        trial.set_user_attr("clean_accuracy", clean)
        trial.set_user_attr("certified_accuracy", certified)
        # Short of clean accuracy, the nearer the better, and always below the others.
        study.tell(trial, certified if clean >= min_clean_accuracy else clean - 1.0)
        bar.set_postfix(best=f"{max(0.0, study.best_value):.1%}")
    return _ranking(study, noise, changed, budget)


def _study(storage: str | os.PathLike[str] | None, settings: dict[str, Any]) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        journal = (
            None if storage is None else JournalStorage(JournalFileBackend(os.fspath(storage)))
        )
        study = optuna.create_study(
            storage=journal, study_name="tuning", load_if_exists=True, direction="maximize"
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"'storage' must be the file of a search, but '{storage}' is not"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
    kept = study.user_attrs.get("settings", settings)
    if kept != settings:
        differing = [name for name in settings if kept.get(name) != settings[name]]
        raise ValueError(
            f"'storage' must be free or hold the same search, but that in '{storage}' has other "
            f"settings of {', '.join(differing) or 'its budget'}"
        )
    study.set_user_attr("settings", settings)
    return study


def _num_finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _suggest(
    trial: optuna.trial.BaseTrial, noise: str, changed: int, budget: dict[str, Any]
) -> dict[str, float]:
    r"""Parameters of a smoothing, to three digits."""
    # Nothing is certified unless all changed nodes are selected with more than one half.
    least_p = 0.5 ** (1.0 / changed)
    raw = {"p": trial.suggest_float("p", least_p, 0.99 if noise == "ablation" else 1.0)}
    if noise == "flips":
        raw["p_plus"] = trial.suggest_float("p_plus", 1e-4, 0.2, log=True)
        raw["p_minus"] = trial.suggest_float("p_minus", 0.05, 0.95)
    elif noise != "ablation":
        eps, name = budget["eps"], "std" if noise == "gaussian" else "scale"
        raw[name] = trial.suggest_float(name, 0.25 * eps, 16.0 * eps, log=True)
    return {name: float(f"{value:.3g}") for name, value in raw.items()}


def _smoothing(noise: str, p: float, **parameters: float) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(p, NOISES[noise](**parameters))


def _ranking(
    study: optuna.Study, noise: str, changed: int, budget: dict[str, Any]
) -> list[TunedSmoothing]:
    import optuna

    finished = [trial for trial in study.trials if trial.state.is_finished()]
    finished.sort(key=lambda trial: (-trial.value, -trial.user_attrs["clean_accuracy"]))
    ranking = []
    for trial in finished:
        parameters = _suggest(optuna.trial.FixedTrial(trial.params), noise, changed, budget)
        transform = _smoothing(noise, **parameters)
        ranking.append(TunedSmoothing(transform, parameters, **trial.user_attrs))
    return ranking


def _check(noise: str, num_trials: int, min_clean_accuracy: float) -> None:
    if noise not in NOISES:
        raise ValueError(f"'noise' must be one of {', '.join(NOISES)}, got {noise!r}")
    if num_trials < 1:
        raise ValueError(f"'num_trials' must be at least 1, got {num_trials}")
    if not 0.0 <= min_clean_accuracy <= 1.0:
        raise ValueError(f"'min_clean_accuracy' must be in [0, 1], got {min_clean_accuracy}")


def _num_changed(noise: str, r: int, budget: dict[str, Any]) -> int:
    r"""How many nodes the adversary can change within both :obj:`r` and the budget."""
    example: Noise = SparseFlipNoise(0.1, 0.1) if noise == "flips" else AblationNoise()
    if noise in ("gaussian", "laplace", "uniform"):
        example = GaussianNoise(1.0)  # with the budget of any continuous noise
    changed = int(min(check_count("r", r), example.reach(**example.check_budget(**budget))))
    if changed == 0:
        raise ValueError(f"'r' and the budget must allow a change, got r={r} and {budget}")
    return changed
