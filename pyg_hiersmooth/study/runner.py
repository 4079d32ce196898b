r"""Does the runs of a study, several at a time, and none of them twice."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import (
    Certificate,
    CollectiveCertificate,
    certify_counts,
    certify_votes,
)
from pyg_hiersmooth.certificates.vote_bounds import KINDS
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.cores import num_cores
from pyg_hiersmooth.experiment import Experiment, Outcome, differences
from pyg_hiersmooth.experiment.run_folder import RunFolder, versions
from pyg_hiersmooth.experiment.task import Task, choose_device
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.sampling.cost import in_words
from pyg_hiersmooth.sampling.ranks import refuse_ranks
from pyg_hiersmooth.study.plan import Run
from pyg_hiersmooth.study.results import (
    CHANGED_IN_ALL,
    Result,
    Tally,
    load_results,
    results_file,
)

STOP_SECONDS = 0.7
r"""Seconds that a worker has to keep its votes when all is stopped."""


def run_all(
    runs: Sequence[Run],
    folder: Path,
    root: str = "data",
    jobs: int | None = None,
    progress: bool = True,
) -> list[Result]:
    r"""Does the runs whose results are not in the folder yet.

    A run has one core, so that its outcome does not depend on how many there are. Its result is a
    line of ``results.jsonl`` in the folder, and what it was made from is in ``runs/<name>``: a run
    that was stopped continues from there.

    Args:
        runs (list of Run): The runs, with different names.
        folder (pathlib.Path): The folder.
        root (str): Folder of the datasets. (default: :obj:`"data"`)
        jobs (int, optional): Runs at a time. (default: one per core, one on a GPU)
        progress (bool): Whether to show a progress bar of all samples, with the time that is left.
            (default: :obj:`True`)

    Returns:
        The results of all runs, in their order.

    Raises:
        ValueError: If the folder holds results of runs with the same names and other settings, or
            this is one of several ranks.
        RuntimeError: If runs failed; the others are done nevertheless.
        OSError: If the folder cannot be written.
    """
    refuse_ranks("a study")
    done = {result.run.name: result for result in load_results(folder)}
    missing = [run for run in runs if not _is_done(run, done, folder)]
    if missing:
        done |= _run_missing(missing, folder, root, jobs or _default_jobs(), progress)
    return [done[run.name] for run in runs]


def execute(run: Run, root: str, folder: Path) -> Result:
    r"""Trains, samples and certifies.

    Args:
        run (Run): What to do.
        root (str): Folder of the datasets.
        folder (pathlib.Path): Where the votes are kept while they come, and afterwards. What is
            there already is not done again.

    Raises:
        ValueError: If the run does not fit the data, or the folder holds another run.
        OSError: If the data are missing or the folder cannot be written.
    """
    start = time.perf_counter()
    experiment = Experiment(run.settings(root, choose_device(None)), folder)
    outcome = experiment.run(progress=False)
    seconds = round(time.perf_counter() - start, 1)
    parts: dict[str, dict[str, Tally]] = {}
    begin = 0
    for part, index in experiment.task.parts.items():
        objects = slice(begin, begin + len(index))
        parts[part] = {kind: _tally(run, experiment, outcome, objects, kind) for kind in KINDS}
        begin = objects.stop
    return Result(run, parts, seconds, versions())


def _tally(run: Run, experiment: Experiment, outcome: Outcome, objects: slice, kind: Kind) -> Tally:
    labels, transform = outcome.labels[objects], experiment.task.transform
    smoothing = experiment.task.smoothing
    if transform is None or smoothing is None:
        return Tally(len(labels), int((outcome.prediction[objects] == labels).sum()), 0, [])
    folder, index = experiment.folder, experiment.task.index[objects].numpy()
    if run.method.num_outcomes is not None:
        votes = folder.read_outcomes()[objects]
        certificate = at_once = certify_counts(smoothing, votes, kind, index=index)
    else:
        pre_votes, votes = (each[objects] for each in folder.read_votes())
        arguments = (smoothing, pre_votes, votes, run.sampling.alpha, kind)
        certificate = certify_votes(*arguments, index=index)
        at_once = certify_votes(*arguments, simultaneous=True, index=index)
    smoothed = experiment.task.smooth(experiment.model, transform)
    tally = Tally.of(certificate, labels)
    if not isinstance(smoothed, SmoothedNodeClassifier):
        return tally
    if run.method.noise != "ablation" or run.method.changes != "features" or kind != "multiclass":
        return tally
    return replace(tally, collective=_collective(smoothed, experiment.task, at_once, objects))


def _collective(
    smoothed: SmoothedNodeClassifier, task: Task, certificate: Certificate, objects: slice
) -> list[int]:
    r"""Nodes that are right and stay under one attack on all of them."""
    field = smoothed.receptive_field(task.data, task.index[objects])
    collective = CollectiveCertificate(certificate, field)
    right = certificate.prediction == task.labels.numpy()[objects]
    return [collective.num_robust(r, right, method="milp") for r in CHANGED_IN_ALL]


def _run_missing(
    runs: list[Run], folder: Path, root: str, jobs: int, progress: bool
) -> dict[str, Result]:
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
    with (
        ProcessPoolExecutor(min(jobs, len(runs)), context, _start_worker) as pool,
        tqdm(
            total=sum(run.num_samples for run in runs),
            bar_format="{percentage:3.0f}%|{bar}| {desc}",
            disable=not progress,
        ) as bar,
    ):
        futures = {pool.submit(_run_one, run, folder, root): run for run in runs}
        try:
            _watch(futures, folder, bar, min(jobs, len(runs)))
        except BaseException:
            _stop_workers()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    failed = {run.name: future.exception() for future, run in futures.items() if future.exception()}
    if failed:
        name, error = next(iter(failed.items()))
        raise RuntimeError(
            f"{len(failed)} of {len(runs)} runs failed, the others are done: {name}: {error}"
        )
    return {run.name: future.result() for future, run in futures.items()}


def _stop_workers() -> None:
    r"""Lets the workers keep their votes, and ends those that do not listen, as in a solver."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.join(max(deadline - time.monotonic(), 0.0))
        worker.kill()


def _watch(futures: dict[Future[Result], Run], folder: Path, bar: tqdm, jobs: int) -> None:
    r"""Keeps each result as it comes, and shows what is being done, and how long it takes, until
    all is done.
    """
    pending, clock, last = set(futures), None, time.monotonic()
    while pending:
        completed, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in completed:
            if future.exception() is None:
                results_file(folder).append(future.result().as_record())
        waiting = [futures[future] for future in pending]
        left = sum(run.num_samples - _num_drawn(run, folder) for run in waiting)
        untrained = [run for run in waiting if not _is_trained(run, folder)]
        num_training = sum(_is_started(run, folder) for run in untrained)
        clock = clock or TimeLeft(jobs, left, len(untrained))
        elapsed, last = time.monotonic() - last, time.monotonic()
        busy = min(jobs, len(pending))
        seconds = clock.after(elapsed, left, len(untrained), num_training, busy)
        told = f"{len(futures) - len(pending)} of {len(futures)} runs"
        told += f", {num_training} in training" if num_training else ""
        told += "" if seconds is None else f", about {in_words(seconds)} left"
        bar.n = bar.total - left
        bar.set_description_str(told)


class TimeLeft:
    r"""How long runs take, from what sampling and training took up to now, each by itself.

    Args:
        jobs (int): Runs at a time.
        num_samples (int): Samples that are to be drawn.
        num_models (int): Models that are to be trained.
    """

    def __init__(self, jobs: int, num_samples: int, num_models: int) -> None:
        self.jobs, self.num_samples, self.num_models = jobs, num_samples, num_models
        self.sampling = self.training = 0.0

    def after(
        self, elapsed: float, num_samples: int, num_models: int, num_training: int, num_busy: int
    ) -> float | None:
        r"""Seconds that are left; :obj:`None` before a model was trained and sampled.

        Args:
            elapsed (float): Seconds since the last call.
            num_samples (int): Samples that are left.
            num_models (int): Models that are not trained yet.
            num_training (int): Runs that are training meanwhile.
            num_busy (int): Runs that are being done meanwhile.
        """
        self.training += elapsed * num_training
        self.sampling += elapsed * (num_busy - num_training)
        drawn, trained = self.num_samples - num_samples, self.num_models - num_models
        if drawn == 0 or (trained == 0 and num_models > 0):
            return None
        work = num_samples * self.sampling / drawn + num_models * self.training / max(trained, 1)
        return work / self.jobs


def _num_drawn(run: Run, folder: Path) -> int:
    return RunFolder(_votes(run, folder)).num_samples()


def _is_started(run: Run, folder: Path) -> bool:
    return RunFolder(_votes(run, folder)).settings.exists()


def _is_trained(run: Run, folder: Path) -> bool:
    return RunFolder(_votes(run, folder)).model.exists()


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leaves a run, which keeps its votes
    tqdm.set_lock(threading.RLock())  # its own would be left behind by a worker that is ended
    torch.set_num_threads(1)


def _run_one(run: Run, folder: Path, root: str) -> Result:
    return execute(run, root, _votes(run, folder))


def _is_done(run: Run, done: dict[str, Result], folder: Path) -> bool:
    if run.name not in done:
        return False
    differing = differences(done[run.name].run.options, run.options)
    if differing:
        raise ValueError(
            f"'{results_file(folder).path}' holds {run.name} with another "
            f"{', '.join(map(repr, differing))}: choose another folder, or delete it"
        )
    return True


def _votes(run: Run, folder: Path) -> Path:
    return folder / "runs" / run.name


def _default_jobs() -> int:
    return 1 if torch.cuda.is_available() else num_cores()
