r"""Which runs a benchmark takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyg_hiersmooth.benchmark.methods import METHODS, Method
from pyg_hiersmooth.benchmark.run import Run
from pyg_hiersmooth.datasets import load_dataset

SEEDS = (13, 17, 26, 35, 69)
r"""The seeds of the reference."""


def fitting_methods(dataset: str, root: str = "data") -> list[Method]:
    r"""The methods of :obj:`METHODS` for the features of a dataset: flips where they are binary,
    Gaussian noise where they are not, and those that take any.

    Args:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        root (str): Folder of the datasets. (default: :obj:`"data"`)

    Raises:
        ValueError: If the name is unknown, or that of many graphs.
        OSError: If the data are missing.
    """
    graphs = load_dataset(dataset, root)
    if len(graphs) != 1:
        raise ValueError(f"'dataset' must be one graph, but {dataset} holds {len(graphs)}")
    x = graphs[0].x
    binary = bool(((x == 0) | (x == 1)).all())
    other = "gaussian" if binary else "flips"
    return [method for method in METHODS.values() if method.noise != other]


def plan(
    datasets: Sequence[str],
    models: Sequence[str],
    methods: Mapping[str, Sequence[Method]],
    seeds: Sequence[int] = SEEDS,
    **protocol: Any,
) -> list[Run]:
    r"""All runs of datasets, models, methods and seeds; a seed is finished before the next.

    Args:
        datasets (list of str): Names of datasets.
        models (list of str): Names of models.
        methods (dict): The methods for each dataset.
        seeds (list of int): Seeds. (default: :obj:`SEEDS`)
        **protocol: Further attributes of every :class:`~pyg_hiersmooth.benchmark.run.Run`.
    """
    return [
        Run(dataset, model, method, seed, **protocol)
        for seed in seeds
        for dataset in datasets
        for model in models
        for method in methods[dataset]
    ]
