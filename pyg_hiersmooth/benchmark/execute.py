r"""Does one run of a benchmark."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from pyg_hiersmooth.benchmark.result import Result, Tally
from pyg_hiersmooth.benchmark.run import Run
from pyg_hiersmooth.certificates import certify_votes
from pyg_hiersmooth.certificates.vote_bounds import KINDS
from pyg_hiersmooth.cli.experiment import Experiment, certified_index, choose_device
from pyg_hiersmooth.cli.model_class import build_named
from pyg_hiersmooth.cli.run_folder import RunFolder, versions
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import MODELS
from pyg_hiersmooth.sampling.checkpoint import read_votes
from pyg_hiersmooth.training import train_node_classifier

Parts = dict[str, dict[str, Tally]]


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
    parts = _smoothed(run, root, folder) if run.method.noise else _unprotected(run, root)
    return Result(run, parts, round(time.perf_counter() - start, 1), versions())


def _smoothed(run: Run, root: str, folder: Path) -> Parts:
    run_folder = RunFolder(folder)
    settings = run.settings(root, choose_device(None))
    if run_folder.settings.exists():
        stored = run_folder.read_settings()
        if replace(stored, root=root, num_workers=settings.num_workers) != settings:
            raise ValueError(
                f"'{folder}' holds a run with other settings: choose another folder, or delete it"
            )
    experiment = Experiment(settings, run_folder)
    experiment.run(progress=False)

    pre_votes, votes = (
        read_votes(file)[0].numpy() for file in (run_folder.pre_votes, run_folder.votes)
    )
    labels = run_folder.read_labels()

    def tally(nodes: slice, kind: str) -> Tally:
        certificate = certify_votes(
            experiment.transform, pre_votes[nodes], votes[nodes], run.alpha, kind
        )
        return Tally.of(certificate, labels[nodes])

    parts, start = {}, 0
    for part in settings.parts:
        end = start + len(certified_index(experiment.split, [part]))
        parts[part] = {kind: tally(slice(start, end), kind) for kind in KINDS}
        start = end
    return parts


def _unprotected(run: Run, root: str) -> Parts:
    dataset = load_dataset(run.dataset, root)
    data = dataset[0]
    split = split_nodes(data.y, seed=run.seed)
    torch.manual_seed(run.seed)
    model = build_named(run.model, MODELS, data.num_features, dataset.num_classes)
    train_node_classifier(
        model,
        data,
        split,
        lr=run.lr,
        max_epochs=run.max_epochs,
        patience=run.patience,
        seed=run.seed,
        progress=False,
    )
    with torch.no_grad():
        right = model(data.x, data.edge_index).argmax(dim=-1) == data.y

    def tally(part: str) -> Tally:
        nodes = certified_index(split, [part])
        return Tally(len(nodes), int(right[nodes].sum()), 0, [])

    return {part: dict.fromkeys(KINDS, tally(part)) for part in run.part.split("+")}
