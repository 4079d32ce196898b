r"""One experiment, from data to certificate, in a folder that keeps everything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, PredictionSets
from pyg_hiersmooth.experiment.collective_summary import CollectiveSummary
from pyg_hiersmooth.experiment.run_folder import RunFolder
from pyg_hiersmooth.experiment.sets_summary import SetsSummary
from pyg_hiersmooth.experiment.settings import UNIMPORTANT, Settings, differences
from pyg_hiersmooth.experiment.summary import Summary
from pyg_hiersmooth.experiment.task import TASKS, choose_device
from pyg_hiersmooth.experiment.weights import load_weights
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.nn.smoothed_classifier import Transform
from pyg_hiersmooth.sampling.ranks import collective, current_ranks


@dataclass(frozen=True, eq=False)
class Outcome:
    r"""The results of an experiment.

    Attributes:
        prediction (numpy.ndarray): Class of each certified object, int64 ``[M]``; :obj:`-1` where
            the smoothed classifier abstains.
        labels (numpy.ndarray): Their labels, int64 ``[M]``.
        certificate (Certificate or None): The certificate; :obj:`None` without noise.
        summary (Summary): Accuracies, certified accuracies and times.
    """

    prediction: np.ndarray
    labels: np.ndarray
    certificate: Certificate | None
    summary: Summary


class Experiment:
    r"""Sets the seed, builds, trains and certifies according to the settings.

    A folder that already holds this experiment is continued: finished work is not repeated, and the
    votes are those of an uninterrupted run. In a group of ranks
    (:func:`~pyg_hiersmooth.sampling.process_group`) all of them run it; the first one alone trains
    the model, and reads and writes the folder.

    Args:
        settings (Settings): What to do. They are checked here.
        folder (str, os.PathLike or RunFolder): Where it is kept.

    Raises:
        ValueError: If the settings do not fit each other or the data, the weights to load do not
            fit the model, the folder holds something else, or ranks were given other settings.
        OSError: If the data are missing or the folder cannot be written.
    """

    @collective()
    def __init__(self, settings: Settings, folder: str | os.PathLike[str] | RunFolder) -> None:
        self.settings = replace(settings, device=choose_device(settings.device))
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        ranks = current_ranks()
        ranks.compare({"folder": str(self.folder), **_important(self.settings)})
        is_new = ranks.from_rank_zero(self._check_folder)
        self.task = ranks.rank_zero_first(lambda: TASKS[settings.data.task](self.settings))
        self.model = self.task.new_model(self.task.transform)
        self.needs_training = not ranks.from_rank_zero(self._load_weights)
        if is_new and ranks.is_first:
            self.folder.create(self.settings, self.task.labels)

    @classmethod
    @collective()
    def resume(cls, folder: str | os.PathLike[str]) -> Experiment:
        r"""The experiment that a folder holds.

        Raises:
            ValueError: If there is none in it.
        """
        return cls(current_ranks().from_rank_zero(RunFolder(folder).read_settings), folder)

    @collective()
    def run(self, progress: bool = True, say: Callable[[str], None] = lambda _: None) -> Outcome:
        r"""Does what remains to be done, and keeps everything in the folder.

        Args:
            progress (bool): Whether to show progress bars. (default: :obj:`True`)
            say (Callable): Called with a sentence on how training went. (default: nothing is
                called)
        """
        transform, ranks = self.task.transform, current_ranks()
        if self.needs_training:
            self.model = self.task.new_model(transform)  # also after an interrupted training
            if ranks.is_first:
                self._train(progress, say)
        ranks.share_weights(self.model)
        self.needs_training = False
        if ranks.is_first and not self.folder.model.exists():
            self.folder.save_model(self.model)
        outcome = self._predict() if transform is None else self._certify(transform, progress)
        if ranks.is_first:
            self._save(outcome.summary)
        return outcome

    def _train(self, progress: bool, say: Callable[[str], None]) -> None:
        transform = self.task.transform
        history = self.task.train(self.model, transform, progress)
        condition = "" if transform is None else "under noise "
        say(
            f"Trained for {history.num_epochs} epochs, accuracy {condition}on the validation "
            f"{self.task.noun} {history.best_val_accuracy:.1%}"
        )

    def _predict(self) -> Outcome:
        prediction, labels = self.task.predict(self.model).numpy(), self.task.labels.numpy()
        return Outcome(prediction, labels, None, Summary.unprotected(prediction, labels))

    def _certify(self, transform: Transform, progress: bool) -> Outcome:
        settings, task = self.settings, self.task
        smoothed = task.smooth(self.model, transform)
        num_before, start = self.folder.num_samples(), time.perf_counter()
        certificate = self._voted(smoothed, task.index, self.folder.path, progress)
        seconds = time.perf_counter() - start
        labels = task.labels.numpy()
        sets = self._calibrated(smoothed, progress)

        def summarize() -> Summary:
            certificate.save(self.folder.certificate)
            num_drawn = self.folder.num_samples() - num_before
            a_sample = seconds / num_drawn if num_drawn > 0 else None
            summary = Summary.of(
                certificate, labels, smoothed.feature_path, a_sample, settings.questions
            )
            collective = self._collective(smoothed, certificate, progress)
            if sets is None:
                return replace(summary, collective=collective)
            sets.save(self.folder.sets)
            found = SetsSummary.of(sets, certificate, labels)
            return replace(summary, collective=collective, sets=found)

        summary = current_ranks().from_rank_zero(summarize)
        return Outcome(certificate.prediction, labels, certificate, summary)

    def _voted(
        self,
        smoothed: SmoothedNodeClassifier | SmoothedGraphClassifier,
        index: Tensor,
        checkpoint: Path,
        progress: bool,
    ) -> Certificate:
        r"""The certificate of some objects."""
        settings = self.settings
        sets = settings.prediction_sets
        certificate = smoothed.certify(
            **self.task.targets(index),
            **settings.sampling.arguments if settings.sampling else {},
            seed=settings.seed,
            progress=progress,
            kind=settings.kind,
            num_workers=settings.num_workers,
            checkpoint=checkpoint,
            approve=None if sets is None else sets.approve,
        )
        return replace(certificate, index=index.numpy())

    def _calibrated(
        self, smoothed: SmoothedNodeClassifier | SmoothedGraphClassifier, progress: bool
    ) -> PredictionSets | None:
        r"""Prediction sets, if they are asked for, calibrated on the calibration objects."""
        asked, task = self.settings.prediction_sets, self.task
        if asked is None:
            return None
        index = task.split.calibration_index
        certificate = self._voted(smoothed, index, self.folder.calibration, progress)
        labels = task.y[index].numpy()
        return PredictionSets.calibrate(certificate, labels, asked.sets, split=task.split)

    def _collective(
        self,
        smoothed: SmoothedNodeClassifier | SmoothedGraphClassifier,
        certificate: Certificate,
        progress: bool,
    ) -> CollectiveSummary | None:
        r"""The accuracy under one attack on all nodes: the stored one, unless its settings have
        changed.
        """
        kept, asked = self.folder.read_summary(), self.settings.collective
        known = None if kept is None else kept.collective
        if asked is None or not isinstance(smoothed, SmoothedNodeClassifier):
            return known
        method, limit = asked.method, asked.time_limit
        if known is not None and (known.method, known.time_limit) == (method, limit):
            return known
        field = None  # the adversary may link taken-over nodes to any node
        if certificate.noise.fixes_graph:
            field = smoothed.receptive_field(self.task.data, self.task.index)
        together = CollectiveCertificate(certificate, field)
        return CollectiveSummary.of(together, self.task.labels, method, limit, progress)

    def _save(self, summary: Summary) -> None:
        r"""Keeps what came out, with the time per sample of the run that drew some."""
        kept = self.folder.read_summary()
        if summary.seconds_per_sample is None and kept is not None:
            summary = replace(summary, seconds_per_sample=kept.seconds_per_sample)
        if summary != kept:
            self.folder.save_summary(summary)

    def _check_folder(self) -> bool:
        r"""Whether the folder is new, and does not hold this experiment; anything else raises."""
        if self.folder.settings.exists():
            self._check_same(self.folder.read_settings())
            return False
        self.folder.check_free()
        return True

    def _check_same(self, stored: Settings) -> None:
        differing = differences(stored.options, self.settings.options)
        if differing:
            raise ValueError(
                f"'{self.folder}' holds a run with another {', '.join(map(repr, differing))}: "
                "choose another folder, or delete it"
            )

    def _load_weights(self) -> bool:
        kept = self.folder.model if self.folder.model.exists() else self.settings.checkpoint
        if kept is not None:
            load_weights(self.model, kept)
        return kept is not None


def _important(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings.options.items() if name not in UNIMPORTANT}
