r"""The choices that arguments and options offer, and the errors for other values."""

from __future__ import annotations

import os
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

Kind = Literal["multiclass", "binary"]
r"""A kind of certificate: what a class must beat, every other class or one half."""

TaskName = Literal["node", "graph"]
r"""What is classified."""

SelectionName = Literal["bernoulli", "partition"]
r"""How entities are selected: independently, or all but one group of a partition."""

Ablated = Literal["features", "messages", "nodes"]
r"""What is ablated of selected entities."""

EdgesNoise = Literal["ablation", "flips"]
r"""The noise of pairs of nodes."""

AttackMethod = Literal["lp", "milp"]
r"""How the effect of one attack is bounded: by the linear relaxation, or by branch and bound."""

Part = Literal["test", "val", "val+test"]
r"""The part of a split that is certified."""


DATASETS = (
    *("CitationSBM", "Cora", "CiteSeer", "PubMed", "Cora_ML", "RandomMolecules", "MUTAG"),
    *("ogbn-arxiv", "ogbg-molhiv"),
)
r"""The datasets that :func:`~pyg_hiersmooth.datasets.load_dataset` knows by name."""


def did_you_mean(value: object, choices: Collection[str]) -> str:
    r"""The end of an error that suggests the most similar choice; empty if none is similar."""
    spelled = {_normalize(choice): choice for choice in choices}
    close = get_close_matches(_normalize(value), spelled, n=1)
    return f": did you mean {spelled[close[0]]!r}?" if close else ""


def dataset_name(name: str | os.PathLike[str], argument: str = "name") -> str:
    r"""The canonical name of a dataset; the path of a file is returned as it is.

    Args:
        name (str): The name or the path of an ``.npz`` file, as
            :func:`~pyg_hiersmooth.datasets.load_dataset` takes it.
        argument (str, optional): What the caller calls it. (default: :obj:`"name"`)

    Raises:
        ValueError: If there is no such dataset.
    """
    if is_file(name):
        return os.fspath(name)
    known = {_normalize(each): each for each in DATASETS}
    if _normalize(name) not in known:
        raise ValueError(
            f"'{argument}' must be one of {', '.join(DATASETS)} in any case, or the path of an "
            f".npz file (got {name!r})"
            f"{did_you_mean(name, DATASETS)}"
        )
    return known[_normalize(name)]


def is_file(name: str | os.PathLike[str]) -> bool:
    r"""Whether a dataset is named by the path of a file."""
    return os.fspath(name).lower().endswith(".npz")


def short_name(dataset: str) -> str:
    r"""What a dataset is called in titles and in names of files."""
    return Path(dataset).stem if is_file(dataset) else dataset


def _normalize(name: object) -> str:
    return str(name).lower().replace("-", "_")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    r"""Checks that an argument is one of its choices.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(
            f"'{name}' must be one of {', '.join(choices)} (got {value!r})"
            f"{did_you_mean(value, choices)}"
        )
