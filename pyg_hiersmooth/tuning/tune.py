r"""Searches for the smoothing that certifies the most against an adversary."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.data import Data
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import Certificate, StoppingRule, certify_anytime
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.vote_bounds import check_alpha
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.datasets.labels import as_labels
from pyg_hiersmooth.experiment.setting_parts import (
    EdgesSettings,
    SamplingSettings,
    SmoothingSettings,
    names,
)
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.experiment.smoothing import build_transform, certified_noise
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.inputs.graph import as_graph
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.model_call import adjacency
from pyg_hiersmooth.nn.smoothed_classifier import Transform
from pyg_hiersmooth.noise import NOISES, Noise
from pyg_hiersmooth.sampling.checkpoint import fingerprint
from pyg_hiersmooth.sampling.ranks import refuse_ranks
from pyg_hiersmooth.tuning.search_space import find_levels, suggest_parameters
from pyg_hiersmooth.tuning.stored_search import num_finished, stored_search

if TYPE_CHECKING:
    import optuna

FEW = SamplingSettings(n0=200, n=1_000)
r"""Samples of a trial, fewer than of a certificate."""

KEPT = (
    *("noise", "selection", "partitions", "ablate", "indicator"),
    *("edges", "edges_selection", "edges_partitions", "directed"),
)
r"""Settings of a smoothing that no search changes."""


@dataclass(frozen=True)
class TunedSmoothing:
    r"""A smoothing that was tried, and how it did.

    Attributes:
        transform (HierarchicalNodeFeatureNoise, HierarchicalEdgeNoise or Compose): The smoothing.
        parameters (dict): What was chosen of it: :obj:`p` or :obj:`groups`, and the parameters of
            the noise; those of noise on edges begin with :obj:`edges_`.
        clean_accuracy (float): Accuracy without an adversary; abstentions count as wrong, but for a
            trial that ended early.
        certified_accuracy (float): Certified accuracy against the adversary.
    """

    transform: Transform
    parameters: dict[str, float]
    clean_accuracy: float
    certified_accuracy: float


def tune_smoothing(
    train: Callable[[Any], torch.nn.Module],
    data: Data,
    node_index: ArrayLike | Tensor,
    num_classes: int,
    smoothing: SmoothingSettings | str,
    r: int | None = None,
    *,
    pairs: EdgesSettings | None = None,
    sampling: SamplingSettings | None = None,
    kind: Kind = "multiclass",
    min_clean_accuracy: float = 0.0,
    num_trials: int = 30,
    seed: int = 0,
    num_workers: int | None = None,
    storage: str | os.PathLike[str] | None = None,
    training: str = "",
    progress: bool = True,
    **budget: Any,
) -> list[TunedSmoothing]:
    r"""Searches the selection probability, or the groups of a partition, and the parameters of a
    noise for the highest certified accuracy against one adversary, with the tree-structured Parzen
    estimator of `Optuna <https://optuna.org>`_. Needs the extra ``tune``.

    Every trial trains a model under the smoothing it tries, and certifies it from samples, or
    exactly where a partition is ablated. A trial ends after its first :obj:`n0` votes if bounds
    that hold at any time show that it cannot certify more than the best one. Use validation nodes:
    accuracies on the nodes that chose the settings are too optimistic to report.

    Args:
        train (callable): Takes a transform and returns a model trained under it, of
            :obj:`D + 1` input features, or :obj:`D` where edges alone get noise.
        data (torch_geometric.data.Data): The graph, with :obj:`x`, :obj:`edge_index` and
            :obj:`y`.
        node_index (torch.Tensor): Mask ``[num_nodes]`` or indices ``[M]`` of the nodes that
            smoothings are judged on.
        num_classes (int): Number of classes.
        smoothing (SmoothingSettings or str): The noise of nodes, its selection, and what is
            ablated; a name stands for ``SmoothingSettings(name)``, and ``"none"`` for edges alone.
            The other parameters are searched, whatever they are here.
        r (int, optional): Most nodes that the adversary changes; 0 is for one who changes edges
            alone. If edges alone get noise, most pairs of nodes with other edges; to be left out
            where flips of edges change as many as the budget says. (default: :obj:`1`)
        pairs (EdgesSettings, optional): The noise of edges; its other parameters are searched, too,
            but flips may hit every pair. (default: :obj:`None`)
        sampling (SamplingSettings, optional): The samples of a trial; a certificate with more
            certifies more. (default: ``SamplingSettings(n0=200, n=1_000)``)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        min_clean_accuracy (float): Minimum clean accuracy, in :math:`[0, 1]`; smoothings below it
            rank last. (default: :obj:`0.0`)
        num_trials (int): Smoothings to try, those of an earlier search in :obj:`storage`
            included, at least 1. (default: :obj:`30`)
        seed (int): Seed of the search, the samples and the partitions. Certify with another one:
            samples that chose a smoothing must not bound what it certifies. (default: :obj:`0`)
        num_workers (int, optional): Processes that sample on a CPU. (default: one per core)
        storage (str, optional): File that keeps the trials, and that a search with the same
            arguments continues from, as if it had not been stopped. (default: :obj:`None`)
        training (str): Your own description of :obj:`train`: a stored search with another
            description is not continued. (default: :obj:`""`)
        progress (bool): Whether to show a progress bar. (default: :obj:`True`)
        **budget: The adversary's budget in the vocabulary of the certificate: :obj:`additions` and
            :obj:`deletions`, or :obj:`eps`, or :obj:`edges` beside nodes, or nothing for ablation.

    Returns:
        All smoothings that were tried, the best one first: those with enough clean accuracy by
        certified, then by clean accuracy, and behind them the others by clean accuracy.

    Raises:
        ImportError: If Optuna is not installed.
        TypeError: If the budget does not belong to the noise.
        ValueError: If an argument is out of range, what is searched is given, or :obj:`storage`
            holds another search or something else.
        OSError: If :obj:`storage` cannot be read or written.
    """
    num_trials = check_count("num_trials", num_trials, 1)
    num_classes = check_count("num_classes", num_classes, 2)
    refuse_ranks("tuning")
    if not 0.0 <= min_clean_accuracy <= 1.0:
        raise ValueError(f"'min_clean_accuracy' must be in [0, 1] (got {min_clean_accuracy})")
    seed = check_count("seed", seed)
    settings = _settings(smoothing, pairs, sampling, kind, seed)
    statistics = _statistics(settings.sampling)

    def built(**parameters: Any) -> Transform:
        return build_transform(settings.having(**parameters))

    built()
    example = certified_noise(settings.smoothing, settings.pairs)
    budget = example.check_budget(**budget)
    r = _changed(example, r, budget)
    suggest = partial(suggest_parameters, levels=find_levels(settings, example, r, budget))
    nodes, y = _nodes(data, node_index)
    if settings.smoothing.noise != "none":
        NOISES[settings.smoothing.noise].default().check_features(data.x)
    search = {
        **_fixed(settings),
        "r": r,
        **budget,
        "min_clean_accuracy": float(min_clean_accuracy),
        **statistics,
        "kind": kind,
        "seed": seed,
        "training": training,
        "data": fingerprint(data.x, data.edge_index, data.y),
        "node_index": fingerprint(nodes),
    }
    optuna = require("optuna", extra="tune")
    study = stored_search(storage, search)
    done = num_finished(study)
    total = max(done, num_trials)
    bar = tqdm(range(done, total), "Tuning", total, initial=done, disable=not progress)
    for number in bar:
        # A search that continues draws what it would have drawn: each trial has a sampler of its
        # own, which takes no account (constant_liar) of trials that never finished.
        study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, number), constant_liar=False)
        trial = study.ask()
        transform = built(**suggest(trial))
        smoothed = SmoothedNodeClassifier(train(transform), transform, num_classes)
        how = {"seed": seed, "node_index": nodes, "progress": False, "num_workers": num_workers}
        question = {"r": r, **budget}
        clean, certified = _accuracies(
            smoothed, data, y, statistics, kind, question, how, _best(study)
        )
        trial.set_user_attr("clean_accuracy", clean)
        trial.set_user_attr("certified_accuracy", certified)
        # Short of clean accuracy, the nearer the better, and always below the others.
        study.tell(trial, certified if clean >= min_clean_accuracy else clean - 1.0)
        bar.set_postfix(best=f"{max(0.0, study.best_value):.1%}")
    return _ranking(study, built, suggest)


def _changed(noise: Noise, r: int | None, budget: dict[str, Any]) -> int:
    r"""How many nodes or pairs of them change."""
    if not noise.budget_is_r:
        return 1 if r is None else check_count("r", r)
    if r is not None:
        raise ValueError(
            f"'r' does nothing where the budget says how many edges change: leave it out (got {r})"
        )
    return int(noise.reach(**budget))


def _accuracies(
    smoothed: SmoothedNodeClassifier,
    data: Data,
    y: np.ndarray,
    statistics: dict[str, Any],
    kind: Kind,
    question: dict[str, Any],
    how: dict[str, Any],
    best: float,
) -> tuple[float, float]:
    r"""Clean and certified accuracy of a trial; those of its first votes where these show that it
    cannot certify more than the best trial did.
    """
    if not statistics:
        return _of(smoothed.certify(data, kind=kind, **how), y, question)  # exact
    n0, alpha, transform = statistics["n0"], statistics["alpha"], smoothed.smoothing
    with TemporaryDirectory() as folder:
        kept = Path(folder, "pre_votes.npz")
        votes = smoothed.sample_votes(data, n0, checkpoint=kept, **how).numpy()
        num_objects, num_classes = votes.shape
        objects: dict[str, Any] = {
            "num_entities": None if transform.noise.changes_pairs else data.x.size(0),
            "num_features": data.x.size(1),
        }
        rule = StoppingRule(transform, question, num_objects, num_classes, alpha, kind, **objects)
        right = votes.argmax(1) == y
        possible = rule.possible(votes, np.arange(num_objects))[0] & right
        if possible.mean() < best:
            certificate = certify_anytime(transform, votes, alpha, kind, **objects)
            return float(right.mean()), certificate.certified_accuracy(y, **question)
        certificate = smoothed.certify(data, **statistics, kind=kind, checkpoint=folder, **how)
    return _of(certificate, y, question)


def _of(certificate: Certificate, y: np.ndarray, question: dict[str, Any]) -> tuple[float, float]:
    return certificate.clean_accuracy(y), certificate.certified_accuracy(y, **question)


def _best(study: optuna.Study) -> float:
    r"""The highest certified accuracy so far, of a trial of enough clean accuracy."""
    return max((trial.value for trial in study.trials if trial.value is not None), default=0.0)


def _settings(
    smoothing: SmoothingSettings | str,
    pairs: EdgesSettings | None,
    sampling: SamplingSettings | None,
    kind: Kind,
    seed: int,
) -> Settings:
    r"""What a search is about, as settings of an experiment."""
    if isinstance(smoothing, str):
        smoothing = SmoothingSettings(smoothing)
    if smoothing.noise == "none" and pairs is None:
        raise ValueError("'smoothing' must have a noise where there are no 'pairs' (got 'none')")
    for part in (smoothing, pairs):
        _check_open(part)
    chosen = FEW if sampling is None else sampling
    settings = Settings(smoothing=smoothing, pairs=pairs, sampling=chosen, kind=kind, seed=seed)
    if not settings.exact:
        return settings
    if sampling is not None:
        raise ValueError(
            f"'sampling' does nothing where all outcomes are enumerated: leave it out (got "
            f"{sampling})"
        )
    return replace(settings, sampling=None)


def _check_open(part: SmoothingSettings | EdgesSettings | None) -> None:
    r"""Refuses values of what is searched."""
    if part is None:
        return
    kept = {name: getattr(part, name) for name in names(type(part)) if name in KEPT}
    usual = type(part)(**kept)
    for name in names(type(part)):
        if getattr(part, name) != getattr(usual, name):
            raise ValueError(f"'{name}' is searched: leave it out (got {getattr(part, name)})")


def _fixed(settings: Settings) -> dict[str, Any]:
    r"""The settings of the smoothing that a search keeps, where they are not the usual ones."""
    kept = {name: settings.options[name] for name in KEPT}
    return {name: value for name, value in kept.items() if value not in (None, "features")}


def _statistics(sampling: SamplingSettings | None) -> dict[str, Any]:
    r"""What sampling needs, and nothing where all outcomes are listed."""
    if sampling is None:
        return {}
    if sampling.n0 is None or sampling.simultaneous:
        raise ValueError(
            "'sampling' of a search takes 'n0', 'n' and 'alpha' (got 'until' or 'simultaneous')"
        )
    check_alpha(sampling.alpha)
    return {
        "n0": check_count("n0", sampling.n0, 1),
        "n": check_count("n", sampling.n, 1),
        "alpha": float(sampling.alpha),
    }


def _nodes(data: Data, node_index: ArrayLike | Tensor) -> tuple[Tensor, np.ndarray]:
    r"""The nodes that smoothings are judged on, and their labels."""
    data = as_graph(data)
    adjacency(data)  # raises where there are no edges
    nodes = as_target_index(node_index, data.x.size(0), "node")
    if data.get("y") is None:
        raise ValueError("'data' must have labels 'y' (got none)")
    return nodes, as_labels(data.y, data.x.size(0), nodes).cpu()[nodes].numpy()


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _ranking(
    study: optuna.Study,
    built: Callable[..., Transform],
    suggest: Callable[[Any], dict[str, Any]],
) -> list[TunedSmoothing]:
    import optuna

    finished = [trial for trial in study.trials if trial.state.is_finished()]
    finished.sort(key=lambda trial: (-trial.value, -trial.user_attrs["clean_accuracy"]))
    ranking = []
    for trial in finished:
        parameters = suggest(optuna.trial.FixedTrial(trial.params))
        transform = built(**parameters)
        ranking.append(TunedSmoothing(transform, parameters, **trial.user_attrs))
    return ranking
